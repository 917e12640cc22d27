"""What a server keeps of its users, keys, entities, members and projects, as records.

Times are seconds since 1970.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, get_args

from store.errors import UsageError

Role = Literal["admin", "member", "viewer"]
ROLES: Final[tuple[str, ...]] = get_args(Role)
Visibility = Literal["private", "team", "public", "open"]
VISIBILITIES: Final[tuple[str, ...]] = get_args(Visibility)
RESERVED: Final = frozenset(
    "local api static files graphql login logout account settings sql licenses".split()
    + "new search health".split()
)
"""What no user or team may be called: the entity of runs at home, addresses of the server."""
_OWN_FILES: Final = ("store.", "accounts.", "settings.")
"""Beginnings of the files beside the folders of the entities."""
NAME: Final = "[a-z0-9][a-z0-9._-]{0,63}"
"""Of a user or a team, as a regular expression."""
_NAME: Final = re.compile(NAME, re.ASCII)


class User(NamedTuple):
    """A user, as kept."""

    name: str
    admin: bool
    disabled: bool
    created: float


class KeyRecord(NamedTuple):
    """What is kept of a key; `prefix` are its first characters."""

    id: str
    prefix: str
    user: str
    scopes: tuple[str, ...]
    label: str | None
    created: float
    expires: float | None
    last_used: float | None
    revoked: float | None


class Holder(NamedTuple):
    """A key that was found by its hash, and its user's standing."""

    key: KeyRecord
    admin: bool
    disabled: bool


class Entity(NamedTuple):
    """A user's or a team's name, which projects belong to."""

    name: str
    kind: Literal["user", "team"]
    created: float


class Member(NamedTuple):
    """A member of an entity, or (with a project) of one of its projects."""

    entity: str
    project: str | None
    user: str
    role: str


class Project(NamedTuple):
    """A project, as kept."""

    entity: str
    name: str
    visibility: str
    created: float


class Standing(NamedTuple):
    """A user beside an entity and a project: None is what there is not."""

    kind: str | None
    role: str | None
    project_role: str | None
    visibility: str | None


def check_name(name: str, what: str) -> None:
    """UsageError, which says why, for what cannot be the name of a user or a team."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot be the name of a {what}",
            hint="1 to 64 lower-case letters, digits and . _ -, a letter or digit first",
        )
    if name in RESERVED or name.startswith(_OWN_FILES):
        why = "runs that belong to nobody yet" if name == "local" else "the server itself"
        raise UsageError(f"the name {name!r} is kept for {why}", hint="choose another one")

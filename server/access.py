"""Who may do what: the rules, and what is said to those who may not.

* READ of what one may not see is 404 `not_found`, the same whether it is there or not; without a
  key it is 401, also in both cases.
* WRITE without the right is 403 `not_allowed`, which names entity, user and remedy, and is the
  same whether the project is there or not; to an unknown entity it is 404 `entity_unknown`.
* A key counts only for its scopes: read, write, admin (admin includes the others). A key with
  the scope write alone sends rows to its user's entities and reads nothing.
* private: who may write in the entity, and the project's own members; team: every member of the
  entity; public: anybody; open: public, and everybody with a key may write.
* A server administrator (admin key of an admin user) may do everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from store.server.accounts import Accounts
from store.server.keys import is_key
from store.server.problems import Problem
from store.server.records import Holder, Project, Standing

WRITERS: Final = ("admin", "member")
"""The roles that may write."""


class Caller(NamedTuple):
    """Who sent a request: nobody, or the user of a key, with the key's scopes."""

    user: str | None
    scopes: frozenset[str]
    key_id: str | None
    admin_user: bool = False

    @property
    def is_signed_in(self) -> bool:
        return self.user is not None

    @property
    def is_admin(self) -> bool:
        """Whether it may administer the server."""
        return self.admin_user and "admin" in self.scopes

    def has_scope(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


NOBODY: Final = Caller(None, frozenset(), None)


class Access:
    """The rules, on the accounts of a server. Nothing is remembered between calls."""

    def __init__(self, accounts: Accounts, *, clock: Callable[[], float] = time.time) -> None:
        self._accounts = accounts
        self._clock = clock

    # -- who -----------------------------------------------------------------------------------

    def identify(self, authorization: str | None) -> Caller:
        """The caller that an Authorization line means; nobody without one.

        Raises:
            Problem: 401, the key does not count, and why.
        """
        if authorization is None:
            return NOBODY
        scheme, _, text = authorization.strip().partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not is_key(text):
            raise bad_key("malformed", "that is not a key: a key is st- and 40 hex digits")
        holder = self._accounts.find_key(text)
        if holder is None:
            raise bad_key("unknown", "the server does not know this key")
        self._check(holder)
        self._accounts.note_use(holder.key)
        return _caller(holder)

    def identify_session(self, token: str | None) -> Caller:
        """The caller that a session's token means; nobody where it or its key counts no more."""
        holder = self._accounts.find_session(token) if token and token.isascii() else None
        if holder is None:
            return NOBODY
        try:
            self._check(holder)
        except Problem:
            return NOBODY
        self._accounts.note_use(holder.key)
        return _caller(holder)

    def _check(self, holder: Holder) -> None:
        key = holder.key
        if key.revoked is not None:
            raise bad_key("revoked", f"the key {key.prefix}... was revoked")
        if key.expires is not None and key.expires <= self._clock():
            raise bad_key("expired", f"the key {key.prefix}... has expired")
        if holder.disabled:
            raise bad_key("disabled", f"the user {key.user} is disabled")

    def require_sign_in(self, caller: Caller, scope: str | None = None) -> str:
        """The user's name.

        Raises:
            Problem: 401 without a key, 403 where the key lacks `scope`.
        """
        if caller.user is None:
            raise Problem(
                *(401, "not_signed_in", "this needs a key"),
                "`store login` keeps one for this server, or set STORE_API_KEY",
            )
        if scope is not None and not caller.has_scope(scope):
            raise Problem(
                *(403, "not_allowed", f"this key of {caller.user} has not the scope {scope}"),
                f"its scopes are {', '.join(sorted(caller.scopes))}: use a key with {scope}",
                user=caller.user,
                scope=scope,
            )
        return caller.user

    # -- reading -------------------------------------------------------------------------------

    def may_read(self, caller: Caller, entity: str, project: str) -> bool:
        """Whether the project is there and the caller may read it."""
        if caller.is_signed_in and not caller.has_scope("read"):
            return False
        return self._accounts.is_readable(caller.user, entity, project, all_of_them=caller.is_admin)

    def require_read(self, caller: Caller, entity: str, project: str) -> None:
        """Let pass who may read the project.

        Raises:
            Problem: 404, 401 without a key, 403 where the key may not read at all.
        """
        if caller.is_signed_in:
            self.require_sign_in(caller, "read")
        if self.may_read(caller, entity, project):
            return
        self.require_sign_in(caller)
        raise unseen(f"no project {entity}/{project} that {caller.user} may see")

    def project(self, entity: str, project: str) -> Project | None:
        """What is kept of a project; whether the caller may read it is not asked."""
        return self._accounts.project(entity, project)

    def visible_projects(self, caller: Caller) -> list[tuple[str, str, str]]:
        """(entity, project, visibility) of what the caller may read.

        Raises:
            Problem: 403 where the key may not read at all.
        """
        if caller.is_signed_in:
            self.require_sign_in(caller, "read")
        return self._accounts.readable(caller.user, all_of_them=caller.is_admin)

    def is_member(self, caller: Caller, entity: str, project: str = "") -> bool:
        """Whether the caller belongs to the entity (or the project): who sees git, host, command.

        Server administrators do.
        """
        if caller.user is None:
            return False
        standing = self._accounts.standing(caller.user, entity, project)
        if standing.kind is None:
            return False
        own = caller.user == entity or caller.is_admin
        return own or standing.role is not None or standing.project_role is not None

    # -- writing -------------------------------------------------------------------------------

    def may_write(self, caller: Caller, entity: str, project: str) -> bool:
        """Whether rows of the caller are taken."""
        if caller.user is None or not caller.has_scope("write"):
            return False
        standing = self._accounts.standing(caller.user, entity, project)
        return standing.kind is not None and _may_write(caller, entity, standing)

    def may_write_everywhere(self, caller: Caller, entity: str) -> bool:
        """Whether the caller may write to every project of the entity, and so read all of them."""
        if caller.user is None or not caller.has_scope("write"):
            return False
        return _is_writer(caller, entity, self._accounts.standing(caller.user, entity, ""))

    def require_write(self, caller: Caller, entity: str, project: str) -> None:
        """Let pass who may send rows to the project; it need not exist yet.

        Raises:
            Problem: 401, 403 or 404 `entity_unknown`.
        """
        user = self.require_sign_in(caller, "write")
        standing = self._accounts.standing(user, entity, project)
        if standing.kind is None:
            raise self._entity_unknown(user, entity)
        if not _may_write(caller, entity, standing):
            raise self._not_allowed(user, entity, "write to")

    def require_change(self, caller: Caller, entity: str, project: str) -> None:
        """Let pass who may change and remove what is in the project: an open one is not enough.

        Raises:
            Problem: 401, 403 or 404 `entity_unknown`.
        """
        user = self.require_sign_in(caller, "write")
        standing = self._accounts.standing(user, entity, project)
        if standing.kind is None:
            raise self._entity_unknown(user, entity)
        if not _is_writer(caller, entity, standing):
            raise self._not_allowed(user, entity, "change what is in")

    # -- entities and the server ---------------------------------------------------------------

    def require_entity_member(self, caller: Caller, entity: str) -> None:
        """Let pass the members of an entity. Problem 404 to others, whether it is there or not."""
        user = self.require_sign_in(caller, "read")
        if not self.is_member(caller, entity):
            raise unseen(f"no user or team {entity} that {user} belongs to")

    def require_entity_admin(self, caller: Caller, entity: str) -> None:
        """Let pass who administers an entity.

        Raises:
            Problem: 401, 403 or 404 `entity_unknown`.
        """
        user = self.require_sign_in(caller, "admin")
        standing = self._accounts.standing(user, entity, "")
        if standing.kind is None:
            raise self._entity_unknown(user, entity)
        if not (caller.is_admin or user == entity or standing.role == "admin"):
            raise self._not_allowed(user, entity, "administer")

    def require_server_admin(self, caller: Caller) -> None:
        """Let pass server administrators. Problem 401 or 403 to others."""
        user = self.require_sign_in(caller, "admin")
        if not caller.is_admin:
            raise Problem(
                *(403, "not_allowed", f"{user} may not administer this server"),
                "ask its administrator, or use `store admin` on its machine",
                user=user,
            )

    def _entity_unknown(self, user: str, entity: str) -> Problem:
        mine = self.writable_entities(user)
        if entity == "local":
            hint = 'runs of the entity "local" belong to nobody yet: name one with --entity'
        else:
            hint = "check the name"
        hint = f"{hint}; {user} may write to {', '.join(mine)}"
        message = f"there is no user or team {entity!r}"
        return Problem(404, "entity_unknown", message, hint, entity=entity, writable=mine)

    def writable_entities(self, user: str) -> list[str]:
        """The entities in which a user may write, the own one first."""
        names = {
            entity.name
            for entity in self._accounts.entities(user)
            if self._accounts.standing(user, entity.name, "").role in WRITERS
        }
        return [user, *sorted(names - {user})]

    def _not_allowed(self, user: str, entity: str, what: str) -> Problem:
        mine = self.writable_entities(user)
        role = "its admin" if what == "administer" else "a member of it"
        return Problem(
            *(403, "not_allowed", f"{user} may not {what} the entity {entity}"),
            f"ask an admin of {entity} to make you {role}; {user} may write to {', '.join(mine)}",
            entity=entity,
            user=user,
            writable=mine,
        )


def _caller(holder: Holder) -> Caller:
    key = holder.key
    return Caller(key.user, frozenset(key.scopes), key.id, holder.admin)


def _is_writer(caller: Caller, entity: str, standing: Standing) -> bool:
    if caller.is_admin or caller.user == entity:
        return True
    return standing.role in WRITERS or standing.project_role in WRITERS


def _may_write(caller: Caller, entity: str, standing: Standing) -> bool:
    is_open = standing.visibility == "open" and caller.has_scope("read")
    return is_open or _is_writer(caller, entity, standing)


def unseen(message: str) -> Problem:
    """404: it is not there, or not for the caller."""
    return Problem(404, "not_found", message, "it may not be there, or be others' own")


def bad_key(reason: str, message: str) -> Problem:
    """401: the key does not count."""
    hint = "`store login` asks for another; its maker can list keys with `store admin key list`"
    return Problem(401, "bad_key", message, hint, reason=reason)

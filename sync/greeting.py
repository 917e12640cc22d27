"""The first words with a server: is it one of ours, and who are we to it?

`greet` needs no key, so that one is sent only to what says that it is a Runstore server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from store.errors import RemoteRefused
from store.sync.failures import not_runstore, one_line
from store.sync.http import Answer, Connection
from store.sync.wire import WIRE_VERSION

ROOT: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the key of a connection is: `entities` are names with the role there, `expires` seconds
    since 1970 or None.
    """

    user: str
    default_entity: str
    entities: tuple[tuple[str, str], ...]
    prefix: str
    scopes: tuple[str, ...]
    expires: float | None


def greet(connection: Connection) -> dict[str, Any]:
    """What the server says of itself: name, version, wire, limits.

    Raises:
        RemoteUnavailable: no answer, or not one of a Runstore server.
        RemoteRefused: it knows no batches of this version.
    """
    answer = connection.request("GET", ROOT)
    said = _table(answer)
    if said.get("name") != "runstore":
        raise not_runstore(answer.server, "something else")
    wire = said.get("wire")
    if isinstance(wire, list) and WIRE_VERSION not in wire:
        raise RemoteRefused(
            f"{answer.server.origin} (Runstore {one_line(said.get('version'))}) does not take"
            f" batches of version {WIRE_VERSION}",
            code="wire_version",
            hint="upgrade the older one of the two: `pip install -U runstore`",
        )
    return said


def identify(connection: Connection) -> Identity:
    """Who the connection's key is. NotSignedIn when the server does not know it."""
    answer = connection.request("GET", f"{ROOT}/me")
    said = _table(answer)
    key = said.get("key")
    key = key if isinstance(key, dict) else {}
    entities = [one for one in _list(said.get("entities")) if isinstance(one, dict)]
    expires, scopes = key.get("expires"), _list(key.get("scopes"))
    if not isinstance(said.get("user"), str):
        raise not_runstore(answer.server, "something else")
    return Identity(
        user=one_line(said["user"]),
        default_entity=one_line(said.get("default_entity")),
        entities=tuple((one_line(one.get("name")), one_line(one.get("role"))) for one in entities),
        prefix=one_line(key.get("prefix")),
        scopes=tuple(one_line(scope) for scope in scopes),
        expires=float(expires) if isinstance(expires, int | float) else None,
    )


def _table(answer: Answer) -> dict[str, Any]:
    said = answer.json()
    if not isinstance(said, dict):
        raise not_runstore(answer.server, "something else")
    return said


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

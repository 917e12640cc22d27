"""People of every standing beside a team and a user, with a project of every visibility each."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from store.server.accounts import Accounts
from store.server.app import make_app
from store.server.context import ServerOptions
from store.server.pages.routes import ALL_ROUTES
from store.server.records import VISIBILITIES
from store.server.routes import Endpoint
from tests.asgi import Asgi

ALL: Final = ("read", "write", "admin")
TEAM: Final = "vision"
OWNED: Final = "olga"
ENTITIES: Final = (TEAM, OWNED)
INVALID: Final = ("bad", "revoked", "expired")
CALLERS: Final = (
    *("nobody", "stranger", "viewer", "member", "team admin", "owner", "server admin"),
    *("read-only", "write-only"),
)
"""Who asks with a key that counts, and nobody. The last two are keys of the team's admin."""
USERS: Final = {
    "stranger": "sam",
    "viewer": "vic",
    "member": "mia",
    "team admin": "tess",
    "owner": OWNED,
    "server admin": "root",
    "read-only": "tess",
    "write-only": "tess",
}


@dataclass
class World:
    """The keys of everybody, and where the server's data is."""

    data: Path
    accounts: Accounts
    keys: dict[str, str | None] = field(default_factory=dict)

    def serve(self, routes: tuple[Endpoint, ...] = ALL_ROUTES) -> Asgi:
        """The application; failed keys are not limited."""
        return Asgi(make_app(ServerOptions(self.data, failed_keys=10**6), routes))


def make_world(data: Path) -> World:
    """Accounts of everybody, and projects named after their visibility in both entities."""
    accounts = Accounts(data, create=True)
    world = World(data, accounts)
    for name in sorted(set(USERS.values())):
        accounts.create_user(name, admin=name == "root")
    accounts.create_team(TEAM)
    for entity in ENTITIES:
        for user, role in (("vic", "viewer"), ("mia", "member"), ("tess", "admin")):
            accounts.set_member(entity, user, role)
        for visibility in VISIBILITIES:
            accounts.set_visibility(entity, visibility, visibility)
    for kind, user in USERS.items():
        scopes = {"read-only": ("read",), "write-only": ("write",)}.get(kind, ALL)
        world.keys[kind], _ = accounts.create_key(user, scopes)
    world.keys["nobody"] = None
    world.keys["bad"] = "st-" + "0" * 40
    world.keys["revoked"], record = accounts.create_key("root", ALL)
    accounts.revoke_key(record.id)
    world.keys["expired"] = _expired(data)
    return world


def _expired(data: Path) -> str:
    hour = 3600.0
    earlier = Accounts(data, clock=lambda: time.time() - 2 * hour)
    text, _ = earlier.create_key("root", ALL, expires=time.time() - hour)
    earlier.close()
    return text

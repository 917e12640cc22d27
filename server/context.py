"""What a handler finds: the server's options and parts, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.paths import StoreFolder
    from store.server.access import Access, Caller
    from store.server.accounts import Accounts

MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server was started. Sizes in bytes, times in seconds."""

    data: Path
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    """Further names that requests may give the server in their Host line."""
    max_body: int = 32 * MEBIBYTE
    """Of a batch or a part of a file."""
    max_json: int = MEBIBYTE
    """Of every other request."""
    read_timeout: float = 60.0
    """How long a body may pause."""
    failed_keys: int = 60
    """So many wrong keys an address may send at once, and one a second from then on."""
    url: str = ""
    """Where it is reached, as it says itself."""
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Server:
    """`request.app.state.server`."""

    store: StoreFolder
    users: Accounts | None
    access: Access
    options: ServerOptions

    @property
    def is_local(self) -> bool:
        """Whether it shows somebody's own store, which has no accounts."""
        return self.users is None

    @property
    def accounts(self) -> Accounts:
        """Of a server; no address of a local store asks for them."""
        assert self.users is not None
        return self.users


def server_of(request: Request) -> Server:
    """The server that a request came to."""
    return cast("Server", request.app.state.server)


def caller_of(request: Request) -> Caller:
    """Who sent a request, as its key says."""
    return cast("Caller", request.state.caller)

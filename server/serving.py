"""`store serve` and `store ui`: a folder, a socket, and uvicorn on it, in one process or several.

The line `serving DIR at URL` is printed once connections are taken. SIGTERM and SIGINT end the
server: requests under way are answered, for at most STOP_SECONDS; exit code 0.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from store.errors import UsageError
from store.paths import StoreFolder
from store.server.app import make_app, make_local_app
from store.server.connection import Connection
from store.server.context import ServerOptions
from store.server.folder import prepare
from store.server.limits import is_loopback

STOP_SECONDS: Final = 5
SILENT_SECONDS: Final = 30
CONNECTIONS: Final = 1000
"""At once, in each process; one more is answered 503."""
BACKLOG: Final = 1024
LOCAL_HOST: Final = "127.0.0.1"
LOCAL_PORT: Final = 8322
Say = Callable[[str], None]


def serve(
    options: ServerOptions,
    port: int,
    *,
    tls: tuple[Path, Path] | None = None,
    insecure: bool = False,
    announce: Say,
    say: Say,
) -> None:
    """Serve until told to stop. `tls` is (certificate, key); `announce` takes the ready line.

    Raises:
        UsageError: the folder, the address or the certificate will not do.
    """
    check_transport(options.host, tls, insecure=insecure)
    first = prepare(options.data)
    listener = bind(options.host, port)
    with contextlib.closing(listener):
        url = url_of(options.host, listener.getsockname()[1], secure=tls is not None)
        options = replace(options, url=url)
        if first is not None:
            name, key = first
            say(f"made the user {name}; its key, which is shown this once:\n{key}")
            say(f"`store login {url}` asks for it; `store admin key create` makes others")
        config = _config(options, tls, functools.partial(make_app, options))
        ready = functools.partial(announce, f"serving {options.data} at {url}")
        if options.processes > 1:
            _serve_in_processes(config, listener, ready)
        else:
            _serve_here(config, listener, ready)


def serve_local(store: StoreFolder, port: int | None, *, announce: Callable[[str], None]) -> None:
    """Show a store to this machine until told to stop; `announce` takes the pages' address.

    Without a port the usual one is taken, or a free one where that is in use.

    Raises:
        UsageError: the port is in use.
    """
    with contextlib.closing(_bind_local(port)) as listener:
        url = url_of(LOCAL_HOST, listener.getsockname()[1], secure=False)
        options = ServerOptions(store.path, LOCAL_HOST, url=url)
        config = _config(options, None, functools.partial(make_local_app, store, options))
        _serve_here(config, listener, functools.partial(announce, url))


def _bind_local(port: int | None) -> socket.socket:
    if port is not None:
        return bind(LOCAL_HOST, port)
    try:
        return bind(LOCAL_HOST, LOCAL_PORT)
    except UsageError:
        return bind(LOCAL_HOST, 0)


# -- the address -------------------------------------------------------------------------------


def check_transport(host: str, tls: tuple[Path, Path] | None, *, insecure: bool) -> None:
    """UsageError where keys would travel for all to read, or the certificate is of no use."""
    if tls is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*tls)
        except OSError as error:
            raise UsageError(
                f"the certificate and its key cannot be used: {error.strerror or error}",
                hint="both are files in PEM format",
            ) from error
    elif not insecure and not _only_here(host):
        raise UsageError(
            f"keys would travel unencrypted to {host}",
            hint="give --tls-cert and --tls-key, or --insecure behind a proxy that encrypts",
        )


def _only_here(host: str) -> bool:
    return all(is_loopback(str(found[4][0])) for found in _addresses(host, 0))


def _addresses(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host or "::", port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"{host!r} is no address of this machine: {error.strerror}") from error


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. UsageError where the address is not to be had."""
    family, kind, protocol, _, address = _addresses(host, port)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen at {host}:{port}: {error.strerror}",
            hint="--port 0 takes a free one",
        ) from error
    return listener


def url_of(host: str, port: int, *, secure: bool) -> str:
    """The server's address, as a client here or (bound to all addresses) elsewhere may use it."""
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{shown}:{port}"


# -- uvicorn -----------------------------------------------------------------------------------


def _config(
    options: ServerOptions, tls: tuple[Path, Path] | None, make: Callable[[], Starlette]
) -> uvicorn.Config:
    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        make,
        factory=True,
        interface="asgi3",
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        # Nobody is believed who says that a request came from elsewhere.
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        backlog=BACKLOG,
        timeout_graceful_shutdown=STOP_SECONDS,
        workers=options.processes,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    # The supervisor ends a process that is silent for longer. Older versions do not know of it.
    config.timeout_worker_healthcheck = SILENT_SECONDS
    return config


class _Server(uvicorn.Server):
    """A server that says when it takes connections."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Processes(Multiprocess):
    """Several servers on one socket; one that dies is started again."""

    ready: Callable[[], None]

    def init_processes(self) -> None:
        super().init_processes()
        for process in self.processes:
            process.ping(30)
        self.ready()


def _serve_here(config: uvicorn.Config, listener: socket.socket, ready: Callable[[], None]) -> None:
    server = _Server(config, ready)

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    # uvicorn raises a signal that it has heeded once more, for whoever was there before it.
    with _handling(stop):
        server.run([listener])


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _serve_in_processes(
    config: uvicorn.Config, listener: socket.socket, ready: Callable[[], None]
) -> None:
    supervisor = _Processes(config, [listener])
    supervisor.ready = ready
    supervisor.run()

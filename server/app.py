"""The server as an ASGI application.

Every request passes, in this order: the Host line, the size that it says itself, its key (which
must count wherever one is given), the `need` of its endpoint (see `store.server.routes`), and
then, while its body is read, the caps on bytes and pauses. Every answer has the security headers.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from store.errors import StoreError
from store.paths import StoreFolder, create_store
from store.server.access import Access, Caller
from store.server.accounts import Accounts
from store.server.context import Server, ServerOptions, server_of
from store.server.ingest import open_runs
from store.server.limits import (
    FailureLimit,
    capped,
    check_length,
    host_of,
    is_address,
    is_loopback,
)
from store.server.local import LocalAccess
from store.server.pages.routes import ALL_ROUTES, LOCAL_ROUTES
from store.server.problems import (
    Problem,
    answer_fault,
    answer_http_error,
    answer_nobody,
    answer_problem,
)
from store.server.routes import Endpoint, Need
from store.server.sessions import identify, slow_down

__all__ = ["Server", "ServerOptions", "make_app"]

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer whose handler says nothing else."""
_JSON: Final = "application/json"


def make_app(options: ServerOptions, routes: Iterable[Endpoint] = ALL_ROUTES) -> Starlette:
    """The application that serves the data folder `options.data`, which is made where it lacks.

    `app.state.server` is the `Server`. Its end (lifespan) closes the databases.
    """
    store = create_store(options.data)
    accounts = Accounts(options.data, create=True)
    return _make(Server(store, accounts, Access(accounts), options), routes)


def make_local_app(store: StoreFolder, options: ServerOptions) -> Starlette:
    """The application that shows a store to its owner: no accounts, and no address that needs one.

    It takes nothing in; runs are folded as any reader does.
    """
    return _make(Server(store, None, LocalAccess(store), options), LOCAL_ROUTES)


def _make(server: Server, routes: Iterable[Endpoint]) -> Starlette:
    options = server.options

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(open_runs.close)
        if server.users is not None:
            await run_in_threadpool(server.users.close)

    app = Starlette(
        routes=[_route(endpoint) for endpoint in routes],
        middleware=[Middleware(Door, options=options)],
        exception_handlers={
            StoreError: answer_problem,
            sqlite3.Error: answer_problem,
            OSError: answer_problem,
            HTTPException: answer_http_error,
            ClientDisconnect: answer_nobody,
            Exception: answer_fault,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.server = server
    app.state.failures = FailureLimit(options.failed_keys)
    return app


def _route(endpoint: Endpoint) -> Route:
    async def guarded(request: Request) -> Response:
        options = server_of(request).options
        is_json = request.headers.get("content-type", "").partition(";")[0].strip() == _JSON
        is_large = endpoint.need is Need.INGEST and not is_json
        limit = options.max_body if is_large else options.max_json
        check_length(request, limit)
        _read_slashes(request.scope)
        caller = await run_in_threadpool(_admit, request, endpoint)
        request.state.caller = caller
        receive = capped(request.receive, limit, options.read_timeout)
        return await endpoint.handler(Request(request.scope, receive))

    return Route(endpoint.path, guarded, methods=[endpoint.method], name=endpoint.handler.__name__)


_SLASHES: Final = "store.server.slashes"


def _keep_slashes(scope: Scope) -> None:
    """Let the %2F of a name, which may hold a slash, come through the choice of a route."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" in raw.lower():
        kept = re.sub(rb"%(2[fF]|25)", rb"%25\1", raw)
        scope["path"] = unquote(kept.decode("ascii", "replace"))
        scope[_SLASHES] = True


def _read_slashes(scope: Scope) -> None:
    if scope.pop(_SLASHES, False):
        for name, value in scope["path_params"].items():
            scope["path_params"][name] = re.sub("%(2[fF]|25)", lambda m: unquote(m[0]), value)


# -- who may come in ---------------------------------------------------------------------------


def _admit(request: Request, endpoint: Endpoint) -> Caller:
    """The caller, who may call the endpoint. Problem where not."""
    access = server_of(request).access
    try:
        caller = identify(request)
    except Problem as problem:
        if problem.status == 401:
            slow_down(request)
        raise
    _check_need(access, caller, endpoint.need, request.path_params)
    return caller


def _check_need(access: Access, caller: Caller, need: Need, path: dict[str, Any]) -> None:
    entity, project = path.get("entity", ""), path.get("project", "")
    match need:
        case Need.ANYBODY:
            pass
        case Need.SIGNED_IN:
            access.require_sign_in(caller)
        case Need.OWN_ACCOUNT:
            access.require_sign_in(caller, "admin")
        case Need.INGEST:
            access.require_sign_in(caller, "write")
        case Need.READ_PROJECT:
            access.require_read(caller, entity, project)
        case Need.WRITE_PROJECT:
            access.require_write(caller, entity, project)
        case Need.CHANGE_PROJECT:
            access.require_change(caller, entity, project)
        case Need.ENTITY_MEMBER:
            access.require_entity_member(caller, entity)
        case Need.ENTITY_ADMIN:
            access.require_entity_admin(caller, entity)
        case Need.SERVER_ADMIN:
            access.require_server_admin(caller)


# -- the door ----------------------------------------------------------------------------------


class Door:
    """Turns away requests that are meant for another server, and seals every answer."""

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self._app = app
        self._names = host_names(options)
        self._any_address = not is_loopback(options.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        _keep_slashes(scope)
        host = host_of(Headers(scope=scope).get("host", ""))
        if self._knows(host):
            await self._app(scope, receive, sealed)
            return
        problem = Problem(
            *(400, "bad_request", f"this server is not called {host[:80]!r}"),
            "its administrator can add names with `store serve --allow-host NAME`",
        )
        await JSONResponse(problem.record(), problem.status)(scope, receive, sealed)

    def _knows(self, host: str) -> bool:
        return host in self._names or is_loopback(host) or (self._any_address and is_address(host))


def host_names(options: ServerOptions) -> frozenset[str]:
    """What requests may call the server: against DNS rebinding, never a name of somebody else."""
    names = {options.host.lower(), *(host_of(name) for name in options.allowed_hosts)}
    if not is_loopback(options.host):
        names.add(socket.gethostname().lower())
    return frozenset(names)

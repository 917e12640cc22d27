"""Who is signed in, where they may write, and their API keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from store.errors import UsageError
from store.server.account_routes import end_of_key, revoke_own, role_in
from store.server.context import caller_of, server_of
from store.server.keys import SCOPES
from store.server.pages.frame import page
from store.server.pages.signin import read_form
from store.server.problems import Problem
from store.server.query import Query

if TYPE_CHECKING:
    from starlette.requests import Request

_DAY = 86400.0


async def show_account(request: Request) -> Response:
    """The page."""
    Query(request)
    return await run_in_threadpool(_show, request)


def _show(request: Request, status: int = 200, **more: Any) -> Response:
    server, caller = server_of(request), caller_of(request)
    assert caller.user is not None
    accounts, user = server.accounts, caller.user
    may_manage = caller.has_scope("admin")
    entities = [
        (one.name, one.kind, role_in(accounts, user, one.name)) for one in accounts.entities(user)
    ]
    facts = {
        "entities": entities,
        "keys": accounts.keys(user) if may_manage else [],
        "used": caller.key_id,
        "scopes": [scope for scope in SCOPES if caller.has_scope(scope)],
        "may_manage": may_manage,
        "now": time.time(),
        "address": server.options.url,
        "made": None,
        "error": None,
    }
    crumbs = [("Account", "")]
    return page(request, "account.html", status=status, crumbs=crumbs, **(facts | more))


async def create_key(request: Request) -> Response:
    """A new key, shown this once."""
    fields = await read_form(request)
    return await run_in_threadpool(_create, request, fields)


def _create(request: Request, fields: dict[str, str]) -> Response:
    caller, accounts = caller_of(request), server_of(request).accounts
    assert caller.user is not None
    scopes = [scope for scope in SCOPES if fields.get(scope)]
    days = fields.get("days", "").strip()
    try:
        if days and not (days.isascii() and days.isdecimal() and 0 < int(days) < 10_000):
            raise UsageError("a key lasts a whole number of days")
        wanted = time.time() + int(days) * _DAY if days else None
        end = end_of_key(accounts, caller, wanted)
        label = fields.get("label", "").strip() or None
        text, _ = accounts.create_key(caller.user, scopes, label=label, expires=end)
    except UsageError as error:
        return _show(request, 400, error=error)
    return _show(request, made=text)


async def revoke_key(request: Request) -> Response:
    """End a key."""
    await read_form(request)
    key = request.path_params["key"]
    try:
        await run_in_threadpool(revoke_own, server_of(request).accounts, caller_of(request), key)
    except Problem as problem:
        if problem.status != 404:
            raise
    return RedirectResponse("/account", 303)

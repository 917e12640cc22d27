"""Signing in with an API key, and out: forms, and the cookie of `store.server.sessions`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from store.server.context import server_of
from store.server.pages.frame import page
from store.server.problems import Problem
from store.server.query import Query
from store.server.sessions import (
    SESSION_SECONDS,
    check_origin,
    cookie_name,
    drop_session,
    keep_session,
    slow_down,
)

if TYPE_CHECKING:
    from starlette.requests import Request


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form that a page of this server sent. Problem 403: another page did."""
    check_origin(request)
    text = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))


async def show_login(request: Request) -> Response:
    """The form."""
    query = Query(request, "next")
    return page(request, "login.html", next=own_path(query.text("next")), error=None)


async def sign_in(request: Request) -> Response:
    """Begin a session with a key, and go where the browser came from."""
    fields = await read_form(request)
    return await run_in_threadpool(_sign_in, request, fields)


def _sign_in(request: Request, fields: dict[str, str]) -> Response:
    server, wanted = server_of(request), own_path(fields.get("next"))
    try:
        caller = server.access.identify(f"Bearer {fields.get('key', '').strip()}")
    except Problem as problem:
        slow_down(request)
        return page(request, "login.html", status=401, next=wanted, error=problem)
    assert caller.key_id is not None
    answer = RedirectResponse(wanted, 303)
    keep_session(request, answer, server.accounts.start_session(caller.key_id, SESSION_SECONDS))
    return answer


async def sign_out(request: Request) -> Response:
    """End the session."""
    await read_form(request)
    token = request.cookies.get(cookie_name(request))
    if token is not None and token.isascii():
        await run_in_threadpool(server_of(request).accounts.end_session, token)
    answer = RedirectResponse("/", 303)
    drop_session(request, answer)
    return answer


def own_path(text: str | None) -> str:
    """An address of this server; the first page for any other."""
    is_own = text is not None and text.startswith("/") and text[1:2] not in ("/", "\\")
    is_plain = text is not None and text.isprintable() and "\\" not in text
    return text if text is not None and is_own and is_plain else "/"

"""Who sends a request: by a key in its Authorization line, or by the cookie of a signed-in browser.

A session stands for the key that it was made with: it may what the key may, and ends with it. The
cookie is HttpOnly and SameSite=Lax; a request that changes something must moreover come from a
page of this server, as its Origin line says (browsers send one with every such request).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from store.server.context import server_of
from store.server.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from store.server.access import Caller

SESSION_SECONDS: Final = 30 * 86400
_SAFE: Final = ("GET", "HEAD")


def cookie_name(request: Request) -> str:
    """Ports of one host share their cookies, so each server has its own name."""
    return f"runstore-{server_of(request).store.id[:8]}"


def identify(request: Request) -> Caller:
    """The caller of a request. Problem 401: its key does not count; 403: another page sent it."""
    access = server_of(request).access
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return access.identify(authorization)
    caller = access.identify_session(request.cookies.get(cookie_name(request)))
    if caller.is_signed_in:
        check_origin(request)
    return caller


def check_origin(request: Request) -> None:
    """Problem 403 for a request that changes something and was sent by a page from elsewhere."""
    if request.method in _SAFE:
        return
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    is_own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not is_own or site not in ("same-origin", "none"):
        raise Problem(403, "not_allowed", "a page from elsewhere sent this request")


def slow_down(request: Request) -> None:
    """Count a wrong key. Problem 429: one too many came from this address."""
    address = request.client.host if request.client else ""
    wait = request.app.state.failures.count(address)
    if wait:
        raise Problem(
            *(429, "slow_down", "too many wrong keys came from this address"),
            "`store whoami --verify` says whether a key counts",
            retry_after=wait,
        )


def keep_session(request: Request, response: Response, token: str) -> None:
    """Give the browser the cookie of a session."""
    response.set_cookie(
        cookie_name(request),
        token,
        max_age=SESSION_SECONDS,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def drop_session(request: Request, response: Response) -> None:
    """Take the cookie back."""
    response.delete_cookie(cookie_name(request), path="/", httponly=True, samesite="lax")

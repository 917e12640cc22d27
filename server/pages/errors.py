"""What a browser gets in the place of a page: what is wrong, and what to do; or the sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from store.server.context import server_of
from store.server.pages.frame import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_TITLES: Final = {
    400: "That cannot be answered",
    403: "Not allowed",
    404: "Not found",
    429: "Too many wrong keys",
    500: "The server failed at this",
    503: "Busy just now",
}


def show_problem(
    request: Request,
    status: int,
    message: str,
    hint: str | None,
    headers: Mapping[str, str] | None,
) -> Response:
    """The page about a problem."""
    if status == 401 and not server_of(request).is_local:
        path = request.url.path
        asked = f"{path}?{request.url.query}" if request.url.query else path
        facts: dict[str, Any] = {
            "next": "/" if path in ("/login", "/logout") else asked,
            "error": None,
        }
        answer = page(request, "login.html", status=401, **facts)
    else:
        title = _TITLES.get(status, "That did not work")
        crumbs = [(title, "")]
        facts = {"title": title, "message": message, "hint": hint}
        answer = page(request, "error.html", status=status, crumbs=crumbs, **facts)
    answer.headers.update(headers or {})
    return answer

"""The first page: the projects that the caller may see, the one with the latest rows first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.server.context import caller_of, server_of
from store.server.pages.frame import page
from store.server.query import Query
from store.server.reading import projects

if TYPE_CHECKING:
    from starlette.requests import Request


async def show_projects(request: Request) -> Response:
    """All projects."""
    Query(request)
    return await run_in_threadpool(_show, request)


def _show(request: Request) -> Response:
    server, caller = server_of(request), caller_of(request)
    found = projects(request, None)
    found.sort(key=lambda project: (-(project["updated"] or 0), project["entity"], project["name"]))
    folder = str(server.store.path) if server.is_local else None
    signed_in = caller.is_signed_in
    facts: dict[str, Any] = {"projects": found, "folder": folder, "signed_in": signed_in}
    return page(request, "projects.html", **facts, address=server.options.url)

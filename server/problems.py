"""What the server says no with: one exception, one shape of answer.

    {"error": {"code": "not_allowed", "message": "...", "hint": "...", ...facts}}

The codes: not_signed_in, bad_key (401); not_allowed (403); not_found, entity_unknown (404);
bad_method (405); exists, gap (409); gone (410); too_large (413); wire_version (415); bad_batch
(422); slow_down (429); busy (503); bad_request (400); too_slow (408); internal (500). A fact
`retry_after` (seconds) is also sent as Retry-After. No answer holds a key or a path of the server.
"""

from __future__ import annotations

import errno
import math
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from store.errors import (
    EntityUnknown,
    NotAllowed,
    RunNotFound,
    SequenceGap,
    StoreError,
    StoreLocked,
    StoreNotFound,
    UsageError,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

BUSY_SECONDS: Final = 1.0
"""When to try again after somebody else held a lock for too long."""
FULL_SECONDS: Final = 60.0
"""When to try again after the server's disk was full."""
_FULL: Final = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class Problem(StoreError):
    """An answer that is not what was asked for: HTTP `status`, `code` and further `facts`."""

    def __init__(
        self, status: int, code: str, message: str, hint: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.facts = facts

    def record(self) -> dict[str, Any]:
        """The body of the answer, and of an error that stands within one."""
        said = {"code": self.code, "message": self.message, "hint": self.hint}
        return {"error": {**said, **self.facts}}

    def headers(self) -> dict[str, str]:
        """The header lines that belong to it."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        wait = self.facts.get("retry_after")
        return {} if wait is None else {"Retry-After": str(max(1, math.ceil(wait)))}


def busy(seconds: float = BUSY_SECONDS) -> Problem:
    """503: somebody else holds what is needed."""
    return Problem(503, "busy", "the server is busy with this", retry_after=seconds)


def full() -> Problem:
    """503: no room on the server's disk; nothing was kept of what was sent."""
    return Problem(
        503,
        "busy",
        "the server's disk is full",
        "its administrator has to make room; nothing is lost, it is sent again",
        retry_after=FULL_SECONDS,
    )


def problem_of(error: Exception) -> Problem | None:
    """The answer to an error that the store raised, or None where it is a fault of the server."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreLocked):
        return busy()
    if isinstance(error, UsageError):
        return Problem(400, "bad_request", error.message, error.hint)
    if isinstance(error, SequenceGap):
        facts = {"source": error.source, "expected": error.expected, "offered": error.offered}
        return Problem(409, "gap", error.message, error.hint, **facts)
    if isinstance(error, EntityUnknown):
        return Problem(404, "entity_unknown", error.message, error.hint, entity=error.entity)
    if isinstance(error, RunNotFound | StoreNotFound):
        return Problem(404, "not_found", "there is no such run")
    if isinstance(error, NotAllowed):
        return Problem(403, "not_allowed", error.message, error.hint)
    return _of_the_machine(error)


def _of_the_machine(error: Exception) -> Problem | None:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return busy()
        return full() if code == sqlite3.SQLITE_FULL else None
    if isinstance(error, OSError) and error.errno in _FULL:
        return full()
    return None


async def answer_problem(request: Request, error: Exception) -> Response:
    """The handler for errors that have an answer; others go on to the last one."""
    problem = problem_of(error)
    if problem is None:
        raise error
    return _answer(request, problem, problem.headers())


def _answer(request: Request, problem: Problem, headers: Mapping[str, str] | None) -> Response:
    """A page where a browser asked for one, else JSON."""
    from starlette.responses import JSONResponse

    is_page = not request.url.path.startswith("/api/")
    if is_page and "text/html" in request.headers.get("accept", ""):
        from store.server.pages.errors import show_problem

        said = (problem.status, problem.message, problem.hint)
        return show_problem(request, *said, headers)
    return JSONResponse(problem.record(), problem.status, headers)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """The handler for what the router says: no such path, not with this method."""
    from starlette.exceptions import HTTPException

    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "bad_method", 413: "too_large"}.get(
        error.status_code, "bad_request"
    )
    told = "there is nothing at this address" if code == "not_found" else error.detail
    problem = Problem(error.status_code, code, told)
    return _answer(request, problem, error.headers)


async def answer_fault(request: Request, _error: Exception) -> Response:
    """The handler for everything else; the traceback goes to the server's log, not out."""
    problem = Problem(500, "internal", "the server failed at this", "its log says why")
    return _answer(request, problem, None)


async def answer_nobody(_request: Request, _error: Exception) -> Response:
    """The handler for a client that went away in the middle of what it sent."""
    from starlette.responses import Response

    return Response(status_code=400)

"""What happens in a project, as server-sent events: which runs changed, came and went.

    event: runs    data: {"runs": N, "running": N, "changed": [ID ...], "gone": [ID ...]}
    event: gone    data: {}                       the project may no longer be seen

The first one is sent at once and names no runs. The catalogue is looked at every LOOK_SECONDS, by
one of those who watch for all of them, and the less often the longer that takes. An answer ends
after LIFE_SECONDS, and a browser comes again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from store.errors import StoreError
from store.jsontext import to_json
from store.server.events import BEAT_SECONDS, HEADERS, LIFE_SECONDS, check_room, may_see, pulses_of
from store.server.library import library_of
from store.server.query import Query
from store.server.stopping import is_stopping, notice_stop

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

LOOK_SECONDS: Final = 1.0
_SHARE: Final = 0.05
"""Of the time at most so much is spent on looking."""
_POLL_SECONDS: Final = 0.25


class _Stream(StreamingResponse):
    """An answer that counts among those who watch for as long as it is sent."""

    def __init__(self, request: Request) -> None:
        super().__init__(_events(request), media_type="text/event-stream", headers=HEADERS)
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pulses = pulses_of(self._request)
        pulses.streams += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            pulses.streams -= 1


class _Seen(NamedTuple):
    """Each run's mark, which changes with it, and how many run."""

    marks: dict[str, str]
    running: int

    def event(self, before: _Seen | None) -> str:
        old = self.marks if before is None else before.marks
        told: dict[str, Any] = {
            "runs": len(self.marks),
            "running": self.running,
            "changed": [run for run, mark in self.marks.items() if old.get(run) != mark],
            "gone": [run for run in old if run not in self.marks],
        }
        return f"event: runs\ndata: {to_json(told)}\n\n"


async def show_project_events(request: Request) -> Response:
    """What happens in a project, as it happens."""
    Query(request)
    check_room(request)
    notice_stop()
    return _Stream(request)


async def _events(request: Request) -> AsyncIterator[str]:
    entity, project = request.path_params["entity"], request.path_params["project"]
    end = time.monotonic() + LIFE_SECONDS
    beaten, due = time.monotonic(), 0.0
    told: _Seen | None = None
    yield ": here\n\n"
    while (now := time.monotonic()) < end and not is_stopping():
        if now >= due:
            seen = await run_in_threadpool(_look, request, entity, project)
            due = time.monotonic() + max(LOOK_SECONDS, (time.monotonic() - now) / _SHARE)
            if seen is not None and seen != told:
                yield seen.event(told)
                told = seen
        if now - beaten > BEAT_SECONDS:
            if not await run_in_threadpool(may_see, request, entity, project):
                yield "event: gone\ndata: {}\n\n"
                return
            beaten = now
            yield ": here\n\n"
        await asyncio.sleep(_POLL_SECONDS)


def _look(request: Request, entity: str, project: str) -> _Seen | None:
    library = library_of(request)
    try:
        library.look(within=LOOK_SECONDS / 2)
        rows = library.select(
            "SELECT id, version, state FROM run"
            " WHERE entity = ? AND project = ? ORDER BY created, id",
            (entity, project),
        )
    except (StoreError, sqlite3.Error, OSError):
        return None
    marks = {row[0]: f"{row[1]} {row[2]}" for row in rows}
    return _Seen(marks, sum(row[2] == "running" for row in rows))

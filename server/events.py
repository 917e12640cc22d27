"""What happens to a run, as server-sent events (text/event-stream).

    event: rows    data: {"seq", "rows", "state", "sources": {uuid: [position, state]}}
    event: gone    data: {}                       the run was deleted, or may no longer be seen

`rows` is sent at once (with ?after=SEQ or Last-Event-ID only when there is something newer), then
whenever rows came or the state changed, at most twice a second. The id of an event is its seq. A
comment is sent every BEAT_SECONDS; after LIFE_SECONDS the answer ends, and a client comes again
with its key. Between two events only PRAGMA data_version is asked, of one connection per run and
process, so it does not matter which process takes the rows.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from store.database import RunDatabase, Source
from store.errors import StoreError
from store.jsontext import to_json
from store.scan import lives
from store.server.context import caller_of, server_of
from store.server.library import find_run, no_such_run, opened
from store.server.problems import Problem
from store.server.query import Query
from store.server.sessions import identify
from store.server.stopping import is_stopping, notice_stop
from store.state import run_state, writer_state

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from store.paths import RunFolder

POLL_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 5.0
"""How often the state is looked at without new rows: silence, too, ends a run."""
JOURNAL_SECONDS: Final = 1.0
"""How often a run is folded that is being written into this store itself."""
BEAT_SECONDS: Final = 15.0
LIFE_SECONDS: Final = 1800.0
MAX_STREAMS: Final = 500
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_MOST: Final = 2**62


class _Pulse:
    """One connection to a run's database, shared by all who watch it; used by the loop only."""

    def __init__(self, run: RunFolder) -> None:
        self.watchers = 0
        self._run = run
        self._inode = run.database.stat().st_ino
        self._database = RunDatabase(run.database, write=False)
        self._version = 0

    def version(self) -> int | None:
        """A number that changes when somebody commits; None once the run is not there."""
        try:
            if self._run.database.stat().st_ino != self._inode:
                return None
        except FileNotFoundError:
            return None
        with suppress(sqlite3.OperationalError):
            (self._version,) = self._database.execute("PRAGMA data_version").fetchone()
        return self._version

    def close(self) -> None:
        self._database.close()


class _Pulses:
    """The pulses of the runs that are being watched through this process."""

    def __init__(self) -> None:
        self._pulses: dict[str, _Pulse] = {}
        self.streams = 0

    def take(self, run: RunFolder) -> _Pulse:
        """The pulse of a run, to be given back by `release`. FileNotFoundError: it is gone."""
        pulse = self._pulses.get(run.key)
        if pulse is None or pulse.version() is None:
            pulse = self._pulses[run.key] = _Pulse(run)
        pulse.watchers += 1
        self.streams += 1
        return pulse

    def release(self, run: RunFolder, pulse: _Pulse) -> None:
        self.streams -= 1
        pulse.watchers -= 1
        if pulse.watchers == 0:
            pulse.close()
            if self._pulses.get(run.key) is pulse:
                del self._pulses[run.key]


def pulses_of(request: Request) -> _Pulses:
    """Those of the process."""
    state = request.app.state
    if not hasattr(state, "pulses"):
        state.pulses = _Pulses()
    return cast("_Pulses", state.pulses)


def check_room(request: Request) -> None:
    """Problem 503: as many are watching as can be served."""
    if pulses_of(request).streams >= MAX_STREAMS:
        raise Problem(
            503, "busy", "too many watch runs on this server just now", retry_after=LOOK_SECONDS
        )


class _Stream(StreamingResponse):
    """An answer that holds a pulse for as long as it is sent."""

    def __init__(self, request: Request, run: RunFolder, after: int) -> None:
        super().__init__(iter(()), media_type="text/event-stream", headers=HEADERS)
        self._request = request
        self._run = run
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pulses = pulses_of(self._request)
        notice_stop()
        try:
            pulse = pulses.take(self._run)
        except FileNotFoundError:
            raise no_such_run() from None
        try:
            self.body_iterator = _events(self._request, self._run, pulse, self._after)
            await super().__call__(scope, receive, send)
        finally:
            # Not in the generator: one that is left at a yield ends when it is collected.
            pulses.release(self._run, pulse)


class _Look(NamedTuple):
    seq: int
    state: str
    sources: dict[str, tuple[int, str]]

    def event(self) -> str:
        rows = sum(position for position, _ in self.sources.values())
        facts: dict[str, Any] = {"seq": self.seq, "rows": rows, "state": self.state}
        data = to_json({**facts, "sources": self.sources})
        return f"id: {self.seq}\nevent: rows\ndata: {data}\n\n"


async def show_events(request: Request) -> Response:
    """What happens to a run, as it happens."""
    query = Query(request, "after")
    after = query.whole("after", _last_event(request), 0, _MOST)
    run = await run_in_threadpool(find_run, request)
    await run_in_threadpool(_look, request, run)
    check_room(request)
    return _Stream(request, run, after)


def _last_event(request: Request) -> int:
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _look(request: Request, run: RunFolder) -> _Look:
    """How the run stands."""
    with opened(request, run) as connection:
        connection.execute("BEGIN")
        sources = [Source(*row) for row in connection.execute("SELECT * FROM source ORDER BY id")]
        (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM rows").fetchone()
    now, life = time.time(), lives(run, run.segments(), [source.uuid for source in sources])
    return _Look(
        seq,
        run_state(sources, life, now),
        {
            source.uuid: (source.position, writer_state(source, life[source.uuid], now))
            for source in sources
        },
    )


async def _events(
    request: Request, run: RunFolder, pulse: _Pulse, after: int
) -> AsyncIterator[str]:
    end = time.monotonic() + LIFE_SECONDS
    beaten = looked = time.monotonic()
    told: _Look | None = None
    version: int | None = None
    yield ": here\n\n"
    while (now := time.monotonic()) < end and not is_stopping():
        found = pulse.version()
        if found is None:
            break
        patience = JOURNAL_SECONDS if run.segments() else LOOK_SECONDS
        if found != version or now - looked > patience:
            version, looked = found, now
            seen = await run_in_threadpool(_try_look, request, run)
            if seen is not None and seen != told:
                if told is not None or seen.seq > after or seen.state != "running":
                    yield seen.event()
                told = seen
        if now - beaten > BEAT_SECONDS:
            if not await run_in_threadpool(may_see, request, run.entity, run.project):
                break
            beaten = now
            yield ": here\n\n"
        await asyncio.sleep(POLL_SECONDS)
    else:
        return
    yield "event: gone\ndata: {}\n\n"


def _try_look(request: Request, run: RunFolder) -> _Look | None:
    """How the run stands; None where that cannot be said just now."""
    try:
        return _look(request, run)
    except (StoreError, sqlite3.Error, OSError):
        return None


def may_see(request: Request, entity: str, project: str) -> bool:
    """Whether the caller still may: keys, members and visibility change."""
    access = server_of(request).access
    try:
        caller = identify(request)
    except Problem:
        return False
    if caller.user != caller_of(request).user:
        return False
    return access.may_read(caller, entity, project)

"""Rows of a run as batches, for a pull: the form of `store.sync.wire`, in both directions.

    rows?source=UUID&after=N&limit=N    one section of one source's rows behind number N
    rows?seq_after=S&limit=N            all sources' rows that arrived here behind the S-th

A batch may have fewer rows than were asked for, as large ones are cut; one without sections is
the end. `Runstore-Seq` says where the next `seq_after` goes on. Others than members get stubs in
the place of what is for members only: the digests are the same.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.server.context import server_of
from store.server.library import find_run, is_member, opened
from store.server.privacy import withhold
from store.server.problems import Problem
from store.server.query import Query, bad_request
from store.state import SILENT_SECONDS
from store.sync.outgoing import ROWS, TEXT, VALUES, Origin, Outgoing
from store.sync.wire import CONTENT_TYPE, Batch, RunName, Section, encode_batch

if TYPE_CHECKING:
    from starlette.requests import Request

SEQ_HEADER: Final = "Runstore-Seq"
SECTIONS: Final = 500
_MOST: Final = 2**62


class _Source(NamedTuple):
    origin: Origin
    writing: bool | None


async def list_rows(request: Request) -> Response:
    """Rows of a run as a batch."""
    query = Query(request, "source", "after", "seq_after", "limit")
    if (query.text("source") is None) == (query.text("seq_after") is None):
        raise bad_request("rows are asked for by source (and after), or by seq_after")
    return await run_in_threadpool(_rows, request, query)


def _rows(request: Request, query: Query) -> Response:
    run, member = find_run(request), is_member(request)
    limit = query.whole("limit", ROWS, 1, ROWS)
    uuid = query.text("source")
    headers = {}
    with opened(request, run) as connection:
        # One moment for all that is read.
        connection.execute("BEGIN")
        if uuid is not None:
            after = query.whole("after", 0, 0, _MOST)
            sections = _behind(connection, uuid, after, limit)
        else:
            after = query.whole("seq_after", 0, 0, _MOST)
            sections, last = _arrived(connection, after, limit)
            headers[SEQ_HEADER] = str(last)
    if not member:
        sections = [withhold(section) for section in sections]
    name = RunName(run.entity, run.project, run.id)
    batch = Batch(name, server_of(request).store.id, sections)
    return Response(encode_batch(batch), media_type=CONTENT_TYPE, headers=headers)


def _sources(connection: sqlite3.Connection) -> dict[int, _Source]:
    silent = time.time() - SILENT_SECONDS
    return {
        number: _Source(Origin(number, uuid, kind), (not state and (seen or 0) > silent) or None)
        for number, uuid, kind, state, seen in connection.execute(
            "SELECT id, uuid, kind, state, seen FROM source"
        )
    }


def _behind(connection: sqlite3.Connection, uuid: str, after: int, limit: int) -> list[Section]:
    """The next rows of one source. Problem 404: there is no such source."""
    found = [source for source in _sources(connection).values() if source.origin.uuid == uuid]
    if not found:
        raise Problem(404, "not_found", "the run has no such source")
    origin, writing = found[0]
    section = Outgoing(connection).section(origin, after, most=limit, writing=writing)
    return [] if section is None else [section]


def _arrived(connection: sqlite3.Connection, after: int, limit: int) -> tuple[list[Section], int]:
    """What arrived behind `after`, and up to where: fewer rows, until they make one batch."""
    (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM rows").fetchone()
    last = min(newest, after + limit)
    while last > after:
        sections = _window(connection, after, last)
        if sections is not None:
            return sections, last
        last = after + (last - after) // 2
    return [], min(after, newest)


def _window(connection: sqlite3.Connection, after: int, last: int) -> list[Section] | None:
    """All rows with seq in (after, last]; None where they are too much for one batch."""
    sources = _sources(connection)
    outgoing = Outgoing(connection)
    sections: list[Section] = []
    text, values = TEXT, VALUES
    for number, first, end in connection.execute(
        "SELECT source, min(number), max(number) FROM rows WHERE seq > ? AND seq <= ?"
        " GROUP BY source ORDER BY min(seq)",
        (after, last),
    ).fetchall():
        if text <= 0 or values <= 0 or len(sections) == SECTIONS:
            return None
        origin, writing = sources[number]
        section = outgoing.section(origin, first - 1, most=end - first + 1, writing=writing)
        if section is None or section.last < end:
            return None
        sections.append(section)
        text -= outgoing.taken.text
        values -= outgoing.taken.values
    return sections

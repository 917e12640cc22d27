"""Changes that people make to a run from outside: its notes, tags and name.

A change is rows of a source of its own, written through the store's writer and folded like any
other, so it travels, and the latest one wins. The source is marked as an editor's, which has no
part in the run: neither its state nor its end depend on it. The writer ends within the request.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.errors import StoreError
from store.fold import fold
from store.host import host_name
from store.row import Kind
from store.server.context import caller_of
from store.server.library import answer, find_run, library_of
from store.server.limits import read_fields
from store.server.problems import Problem
from store.server.query import Query
from store.shared.publish import publish
from store.shared.share import PUBLISH_BYTES
from store.state import EDITOR
from store.writer import Writer, WriterOptions

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.paths import RunFolder

FOLD_SECONDS: Final = 5.0
MAX_NOTES: Final = 100_000
MAX_NAME: Final = 1000
MAX_TAGS: Final = 100
_OPTIONS: Final = WriterOptions("write", 2**26, 2**20, 2**20, None)


async def change_run(request: Request) -> Response:
    """Change notes, tags or name of a run; what is not given stays."""
    Query(request)
    fields = await read_fields(request, notes=str | None, tags=list | None, name=str | None)
    changes = {name: value for name, value in fields.items() if value is not None}
    _check(changes)
    return answer(await run_in_threadpool(_change, request, changes))


def is_writable(run: RunFolder) -> bool:
    """Whether this process may write to a run, as far as the disk tells beforehand."""
    return os.access(run.path, os.W_OK | os.X_OK)


def _check(changes: Mapping[str, Any]) -> None:
    if not changes:
        raise Problem(400, "bad_request", "nothing is to be changed", "notes, tags or name")
    tags = changes.get("tags", [])
    if len(tags) > MAX_TAGS or not all(isinstance(t, str) and 0 < len(t) <= MAX_NAME for t in tags):
        raise Problem(400, "bad_request", f"tags are at most {MAX_TAGS} short texts")
    for name, most in (("notes", MAX_NOTES), ("name", MAX_NAME)):
        if len(changes.get(name, "")) > most:
            raise Problem(400, "bad_request", f"{name} has at most {most:,} characters")


def _change(request: Request, changes: Mapping[str, Any]) -> dict[str, Any]:
    run = find_run(request)
    if not is_writable(run):
        raise Problem(409, "read_only", f"{run.path} cannot be written to by this process")
    _write(run, caller_of(request).user, changes)
    # Where that is not to be had, the rows are in their journal: whoever reads next folds it.
    with contextlib.suppress(StoreError, sqlite3.Error, OSError):
        if run.is_shared and run.database.stat().st_size <= PUBLISH_BYTES:
            publish(run, timeout=FOLD_SECONDS)
        else:
            fold(run, timeout=FOLD_SECONDS, durable=True)
    line = library_of(request).line_of(run)
    return {"name": line.name, "notes": line.notes, "changed": sorted(changes)}


def _write(run: RunFolder, user: str | None, changes: Mapping[str, Any]) -> None:
    def opening() -> dict[str, Any]:
        # Without the store's id: a run that was edited here is not for that reason of two stores.
        return {
            "host": host_name(),
            "pid": os.getpid(),
            "label": f"edit by {user}",
            "entity": run.entity,
            "project": run.project,
            "run": run.id,
            "format": 1,
        }

    writer = Writer(run, _OPTIONS, opening, ring=lambda: None, warn=lambda *_: None)
    writer.parent = EDITOR
    try:
        writer.append(Kind.ATTRIBUTE, changes)
        if writer.waiting or not writer.end({"state": "finished", "exit_code": 0}):
            raise Problem(503, "busy", "the disk takes nothing just now", "make room on it")
        writer.sync()
        # Another host would take the last sign for a life.
        writer.note({"ended": True})
    finally:
        if not writer.closed:
            writer.files.close()
        writer.release()

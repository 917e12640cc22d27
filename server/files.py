"""Console and files of a run.

A file is found by the name that a row gives it, and its content by the SHA-256 that stands there:
no path is ever made of what a request says. It is sent as something to be saved, not shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from store.jsontext import from_json
from store.server.context import server_of
from store.server.library import answered, find_run, is_member, opened
from store.server.privacy import is_open_file
from store.server.problems import Problem
from store.server.query import Query, bad_request
from store.sync.blobs import Blobs, is_safe_name, is_sha256
from store.transfer import hash_file

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request

    from store.paths import RunFolder

MAX_LINES: Final = 10_000
MAX_CHARACTERS: Final = 4 * 2**20
_MOST: Final = 2**62
_LINES: Final = (
    "SELECT l.row, r.time, l.stream, l.text, s.uuid, s.label, s.host, s.pid"
    " FROM line l JOIN rows r ON r.seq = l.row JOIN source s ON s.id = r.source"
)


# -- console -----------------------------------------------------------------------------------


async def show_console(request: Request) -> Response:
    """What a run printed, in the order of arrival: behind the seq `after`, or before `before`."""
    query = Query(request, "after", "before", "limit")
    return await answered(_console, request, query)


def _console(request: Request, query: Query) -> dict[str, Any]:
    limit = query.whole("limit", 1000, 1, MAX_LINES)
    backwards = query.text("before") is not None
    if backwards and query.text("after") is not None:
        raise bad_request("console takes after or before")
    start = query.whole("before" if backwards else "after", 0, 0, _MOST)
    run, member = find_run(request), is_member(request)
    with opened(request, run) as connection:
        if backwards:
            sql = f"{_LINES} WHERE l.row < ? ORDER BY l.row DESC LIMIT ?"
        else:
            sql = f"{_LINES} WHERE l.row > ? ORDER BY l.row LIMIT ?"
        lines, more = _fill(connection.execute(sql, (start, limit + 1)), limit, member=member)
    if backwards:
        lines.reverse()
    edge = (lines[0] if backwards else lines[-1])["seq"] if lines else start
    return {"lines": lines, ("before" if backwards else "next"): edge, "more": more}


def _fill(rows: sqlite3.Cursor, limit: int, *, member: bool) -> tuple[list[dict[str, Any]], bool]:
    """At most `limit` lines, and as many characters as an answer may have; whether more follow."""
    lines: list[dict[str, Any]] = []
    characters = 0
    for seq, time, stream, text, uuid, label, host, pid in rows:
        if len(lines) == limit or (lines and characters + len(text) > MAX_CHARACTERS):
            return lines, True
        characters += len(text)
        place = None if host is None or pid is None or not member else f"{host}:{pid}"
        line = {"seq": seq, "time": time, "stream": stream, "text": text}
        lines.append({**line, "source": uuid, "writer": label or place})
    return lines, False


# -- files -------------------------------------------------------------------------------------


async def list_files(request: Request) -> Response:
    """The files of a run; `here` says whether the content has come."""
    Query(request)
    return await answered(_files, request)


def _files(request: Request) -> dict[str, Any]:
    run, member = find_run(request), is_member(request)
    with opened(request, run) as connection:
        rows = connection.execute(
            "SELECT name, value FROM file WHERE value IS NOT NULL ORDER BY name"
        ).fetchall()
    found = []
    for name, text in rows:
        if member or is_open_file(name):
            sha256, size = _facts(text)
            here = sha256 is not None and any(
                path.is_file() for path in _places(request, run, name, sha256)
            )
            found.append({"name": name, "size": size, "sha256": sha256, "here": here})
    return {"files": found}


async def show_file(request: Request) -> Response:
    """The content of a file, or the part of it that Range asks for."""
    Query(request)
    return await run_in_threadpool(_file, request, str(request.path_params["name"]))


def _file(request: Request, name: str) -> Response:
    run, member = find_run(request), is_member(request)
    with opened(request, run) as connection:
        row = connection.execute(
            "SELECT value FROM file WHERE name = ? AND value IS NOT NULL", (name,)
        ).fetchone()
    if row is None or not (member or is_open_file(name)):
        raise Problem(404, "not_found", "the run has no such file")
    sha256, _ = _facts(row[0])
    path = None if sha256 is None else _find(_places(request, run, name, sha256), sha256)
    if path is None:
        raise Problem(
            *(404, "not_found", "the content of the file has not come"), "`store sync` sends it"
        )
    return _download(path, name, f'"{sha256}"')


def _find(places: list[Path], sha256: str) -> Path | None:
    """The first of `places` that has the content."""
    for path in places:
        is_named_so = path.name == sha256
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if path.is_file() and (is_named_so or hash_file(path) == sha256):
                return path
    return None


def _download(path: Path, name: str, tag: str) -> Response:
    return FileResponse(
        path,
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-cache",
            "ETag": tag,
        },
        media_type="application/octet-stream",
        filename=name.rpartition("/")[2],
    )


def _facts(text: str) -> tuple[str | None, int | None]:
    """SHA-256 and size of a file, as its row says."""
    facts = from_json(text)
    if not isinstance(facts, Mapping):
        return None, None
    sha256, size = facts.get("sha256"), facts.get("size")
    known = isinstance(sha256, str) and is_sha256(sha256)
    return sha256 if known else None, size if type(size) is int else None


def _places(request: Request, run: RunFolder, name: str, sha256: str) -> list[Path]:
    """Where the content may lie: as it came, or as a run wrote it that was made here."""
    places = [Blobs(server_of(request).store, run.entity).path(sha256)]
    places.append(run.files / ".content" / sha256)
    if is_safe_name(name):
        places.append(run.files / name)
    return places

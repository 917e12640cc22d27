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
from store.sync.blobs import CONTENT, Blobs, is_safe_name, is_sha256
from store.transfer import hash_file

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request

    from store.paths import RunFolder

MAX_LINES: Final = 10_000
MAX_CHARACTERS: Final = 4 * 2**20
_MOST: Final = 2**62
_PICTURES: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
"""Not SVG, which may hold scripts."""
_TEXT: Final = "text/plain; charset=utf-8"
SHOWN_TYPES: Final = ("text/plain", "image/webp", *_PICTURES.values())
"""The types of what is sent to be shown."""
_LINES: Final = (
    "SELECT l.row, r.time, l.stream, l.text, s.uuid, s.label, s.host, s.pid"
    " FROM line l JOIN rows r ON r.seq = l.row JOIN source s ON s.id = r.source"
)
_FOUND: Final = "coalesce(instr(lower(l.text), lower(?)), 1)"


# -- console -----------------------------------------------------------------------------------


async def show_console(request: Request) -> Response:
    """What a run printed, in the order of arrival: behind the seq `after`, or before `before`.

    With `search`, the lines that hold that text, in any case.
    """
    query = Query(request, "after", "before", "limit", "search")
    return await answered(_console, request, query)


def _console(request: Request, query: Query) -> dict[str, Any]:
    limit = query.whole("limit", 1000, 1, MAX_LINES)
    backwards = query.text("before") is not None
    if backwards and query.text("after") is not None:
        raise bad_request("console takes after or before")
    start = query.whole("before" if backwards else "after", 0, 0, _MOST)
    run, member = find_run(request), is_member(request)
    with opened(request, run) as connection:
        sql = f"{_LINES} WHERE {_FOUND} AND l.row {'<' if backwards else '>'} ?"
        sql += f" ORDER BY l.row{' DESC' if backwards else ''} LIMIT ?"
        found = connection.execute(sql, (query.text("search"), start, limit + 1))
        lines, more = _fill(found, limit, member=member)
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
    return await answered(files_of, request)


def files_of(request: Request) -> dict[str, Any]:
    """The files of the run that the path names, as far as the caller may see them."""
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
                path.is_file() for path in _places(run, name, sha256, member=member)
            )
            found.append({"name": name, "size": size, "sha256": sha256, "here": here})
    return {"files": found}


async def show_file(request: Request) -> Response:
    """The content of a file, or the part of it that Range asks for.

    It is sent to be saved; with `view=inline` a picture is sent as such and the rest as text.
    """
    inline = Query(request, "view").choice("view", ("download", "inline")) == "inline"
    return await run_in_threadpool(_file, request, str(request.path_params["name"]), inline)


def _file(request: Request, name: str, inline: bool) -> Response:
    run, member = find_run(request), is_member(request)
    with opened(request, run) as connection:
        row = connection.execute(
            "SELECT value FROM file WHERE name = ? AND value IS NOT NULL", (name,)
        ).fetchone()
    if row is None or not (member or is_open_file(name)):
        raise Problem(404, "not_found", "the run has no such file")
    sha256, _ = _facts(row[0])
    path = None if sha256 is None else _find(request, run, name, sha256, member=member)
    if path is None:
        raise Problem(
            *(404, "not_found", "the content of the file has not come"), "`store sync` sends it"
        )
    return _content(path, name, f'"{sha256}"', inline=inline)


def _find(request: Request, run: RunFolder, name: str, sha256: str, *, member: bool) -> Path | None:
    """The file in the run that has the content. One that is a blob's link needs no second look."""
    blob = Blobs(server_of(request).store, run.entity).path(sha256)
    for path in _places(run, name, sha256, member=member):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            is_blob = blob.exists() and path.samefile(blob)
            if path.is_file() and (is_blob or hash_file(path) == sha256):
                return path
    return None


def _content(path: Path, name: str, tag: str, *, inline: bool) -> Response:
    return FileResponse(
        path,
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-cache",
            "ETag": tag,
        },
        media_type=_media_type(path) if inline else "application/octet-stream",
        filename=name.rpartition("/")[2],
        content_disposition_type="inline" if inline else "attachment",
    )


def _media_type(path: Path) -> str:
    """What may be shown: pictures made of points, by their first bytes; all else is text."""
    with open(path, "rb") as file:
        head = file.read(12)
    for begin, kind in _PICTURES.items():
        if head.startswith(begin):
            return kind
    return "image/webp" if head[:4] + head[8:] == b"RIFFWEBP" else _TEXT


def _facts(text: str) -> tuple[str | None, int | None]:
    """SHA-256 and size of a file, as its row says."""
    facts = from_json(text)
    if not isinstance(facts, Mapping):
        return None, None
    sha256, size = facts.get("sha256"), facts.get("size")
    known = isinstance(sha256, str) and is_sha256(sha256)
    return sha256 if known else None, size if type(size) is int else None


def _places(run: RunFolder, name: str, sha256: str, *, member: bool) -> list[Path]:
    """Where the content may lie in the run: a row alone does not make others' contents its own.

    Under its hash it is found by members only, for another file may have it that is for them only.
    """
    places = [run.files / name] if is_safe_name(name) else []
    return [*places, run.files / CONTENT / sha256] if member else places

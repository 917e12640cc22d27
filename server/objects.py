"""What a run logged beside numbers: texts, lists, tables, pictures, histograms; by key and step.

`data` is what was logged, and `type` what it calls itself (`_type`), else the kind of its JSON. A
picture or a table that lies in a file names the file's `path` among the files of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from store.jsontext import from_json
from store.server.library import answered, find_run, opened
from store.server.query import Query

if TYPE_CHECKING:
    from starlette.requests import Request

MOST: Final = 200
_CHARACTERS: Final = 8 * 2**20
_LAST: Final = 2**62


async def list_objects(request: Request) -> Response:
    """The keys that have such values, with types, count, and the first and the last step."""
    Query(request)
    return await answered(_keys, request)


def _keys(request: Request) -> dict[str, Any]:
    run = find_run(request)
    with opened(request, run) as connection:
        rows = connection.execute(
            "SELECT m.name, group_concat(DISTINCT o.type), count(*), min(r.step), max(r.step)"
            " FROM object o JOIN metric m ON m.id = o.metric JOIN rows r ON r.seq = o.row"
            " GROUP BY m.name ORDER BY m.name"
        ).fetchall()
    names = ("key", "types", "count", "first", "last")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return {"keys": [{**one, "types": sorted(one["types"].split(","))} for one in found]}


async def show_objects(request: Request) -> Response:
    """The values of one key, in the order of arrival, behind the seq `after`."""
    query = Query(request, "after", "limit")
    return await answered(_values, request, query)


def _values(request: Request, query: Query) -> dict[str, Any]:
    limit, after = query.whole("limit", 50, 1, MOST), query.whole("after", 0, 0, _LAST)
    run, key = find_run(request), request.path_params["key"]
    found: list[dict[str, Any]] = []
    characters, more = 0, False
    with opened(request, run) as connection:
        for seq, step, time, kind, text in connection.execute(
            "SELECT o.row, r.step, r.time, o.type, o.data FROM object o"
            " JOIN metric m ON m.id = o.metric JOIN rows r ON r.seq = o.row"
            " WHERE m.name = ? AND o.row > ? ORDER BY o.row LIMIT ?",
            (key, after, limit + 1),
        ):
            if len(found) == limit or (found and characters + len(text) > _CHARACTERS):
                more = True
                break
            characters += len(text)
            value = {"seq": seq, "step": step, "time": time, "type": kind}
            found.append({**value, "data": from_json(text)})
    return {"objects": found, "next": found[-1]["seq"] if found else after, "more": more}

"""Comparing runs: /{entity}/{project}/compare?runs=a,b,c (a comma that is part of an id is %2C)

Charts overlaid, what differs in config and summary, parallel coordinates, scatter. What is looked
at stands behind the # of the address, and never reaches the server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.jsontext import from_json
from store.outline import flatten
from store.server.library import find_run, is_member, library_of
from store.server.pages.charts import chart_facts
from store.server.pages.frame import page, url
from store.server.problems import Problem
from store.server.query import Query, bad_request

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.outline import RunLine

MOST: Final = 200
_LATEST: Final = 10
_NUMBERS: Final = frozenset({"int", "float"})
_LATEST_SQL: Final = (
    "SELECT id FROM run WHERE entity = ? AND project = ? ORDER BY created DESC, key LIMIT ?"
)


class Row(NamedTuple):
    """What one key is in each of the runs, as text; `is_equal`: in all of them the same."""

    key: str
    cells: list[str | None]
    is_number: bool
    is_equal: bool


async def show_compare(request: Request) -> Response:
    """The page."""
    names = Query(request, "runs").text("runs")
    return await run_in_threadpool(_show, request, names)


def _show(request: Request, names: str | None) -> Response:
    entity, project = request.path_params["entity"], request.path_params["project"]
    library = library_of(request)
    library.look()
    if names is None:
        ids = [row[0] for row in library.select(_LATEST_SQL, (entity, project, _LATEST))]
    else:
        ids = list(dict.fromkeys(map(unquote, filter(None, names.split(",")))))
    if len(ids) > MOST:
        raise bad_request(f"{len(ids)} runs are too many to compare", f"at most {MOST} at once")
    lines, missing = _lines(request, ids)
    facts = chart_facts(request, lines)
    config = [list(flatten(from_json(line.config))) for line in lines]
    summary = [list(flatten(from_json(line.summary))) for line in lines]
    for run, settings, results in zip(facts["runs"], config, summary, strict=True):
        run["config"] = {key: value for key, value, _ in settings}
        run["summary"] = {key: value for key, value, _ in results}
    return page(
        request,
        "compare.html",
        crumbs=[(entity, "/"), (project, url(entity, project)), ("Compare", "")],
        entity=entity,
        project=project,
        charts={**facts, "entity": entity, "project": project},
        missing=missing,
        is_chosen=names is not None,
        tables=[("Config", _rows(config)), ("Summary", _rows(summary))],
        member=is_member(request),
    )


def _lines(request: Request, ids: Sequence[str]) -> tuple[list[RunLine], list[str]]:
    """The lines of the runs that are there, and the ids of those that are not."""
    found, missing = [], []
    for run_id in ids:
        try:
            line = library_of(request).line(find_run(request, run_id).key)
        except Problem:
            line = None
        if line is None:
            missing.append(run_id)
        else:
            found.append(line)
    return found, missing


def _rows(runs: Sequence[Sequence[tuple[str, object, str]]]) -> list[Row]:
    texts = [{key: _text(value, kind) for key, value, kind in run} for run in runs]
    kinds: dict[str, set[str]] = {}
    for run in runs:
        for key, _, kind in run:
            kinds.setdefault(key, set()).add(kind)
    rows = []
    for key in sorted(kinds):
        cells = [found.get(key) for found in texts]
        is_equal = len(set(cells)) == 1 and len(cells) > 1
        rows.append(Row(key, cells, kinds[key] <= _NUMBERS, is_equal))
    return rows


def _text(value: object, kind: str) -> str:
    if kind == "bool":
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.5g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

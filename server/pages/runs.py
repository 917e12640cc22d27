"""The table of a project's runs. All of its state stands in the address:

    q=resnet state=failed config.lr>0.01     see `store.server.search`
    sort=-summary.loss   by=config.model     order; groups
    column=state&column=config.lr            see `store.server.pages.columns`
    selected=ID                              repeatable

The first rows are in the page; `/rows` gives further ones as HTML: behind `after`, within a group
(`in`, JSON), or those with an `id`, which is how a script replaces rows that have changed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.responses import HTMLResponse, Response

from store.server.library import is_member, library_of
from store.server.pages.columns import FIELDS, Column, Keys, cells, keys_of, shown_columns
from store.server.pages.frame import HEADERS, fragment, page, url
from store.server.problems import Problem
from store.server.query import Query, bad_request
from store.server.reading import listed_run
from store.server.search import parse_search
from store.server.selection import (
    Condition,
    Group,
    among,
    count_groups,
    in_group,
    select_runs,
)

if TYPE_CHECKING:
    from starlette.requests import Request

PAGE: Final = 100
"""Rows that are sent at once."""
OPEN_ROWS: Final = 200
"""Groups are open until so many rows are shown."""
_STATE: Final = ("q", "sort", "by", "column", "selected")
_IDS: Final = 1000


class Rows(NamedTuple):
    """Rows to show, how many there are in all, and where the next ones begin."""

    runs: list[dict[str, Any]]
    total: int
    after: str | None


class Shown(NamedTuple):
    """A group with its first rows, or none where it is closed."""

    group: Group
    address: str
    rows: Rows | None


async def show_runs(request: Request) -> Response:
    """The page."""
    Query(request, *_STATE)
    return await run_in_threadpool(_show, request)


def _show(request: Request) -> Response:
    entity, project = request.path_params["entity"], request.path_params["project"]
    library_of(request).look()
    keys = keys_of(request, entity, project)
    columns = shown_columns(request, keys)
    facts: dict[str, Any] = {"error": None, "rows": Rows([], 0, None), "groups": None}
    try:
        facts |= _found(request)
    except Problem as problem:
        if problem.status != 400:
            raise
        facts["error"] = problem
    facts |= _frame(request, keys, columns)
    crumbs = [(entity, ""), (project, url(entity, project))]
    return page(request, "runs.html", crumbs=crumbs, **facts)


def _frame(request: Request, keys: Keys, columns: list[Column]) -> dict[str, Any]:
    path, given = request.path_params, request.query_params
    member = is_member(request)
    fields = {n: head for n, head in FIELDS.items() if member or n not in ("host", "commit")}
    library = library_of(request)
    ((everything, running),) = library.select(
        "SELECT count(*), coalesce(sum(state = 'running'), 0) FROM run"
        " WHERE entity = ? AND project = ?",
        (path["entity"], path["project"]),
    )
    return {
        "entity": path["entity"],
        "project": path["project"],
        "everything": everything,
        "running": running,
        "columns": columns,
        "keys": keys,
        "fields": fields,
        "cells": cells,
        "q": given.get("q", ""),
        "sort": given.get("sort") or "-created",
        "by": given.get("by", ""),
        "selected": given.getlist("selected"),
        "with_": lambda **changes: changed(given, **changes),
    }


def changed(given: QueryParams, **changes: str | None) -> str:
    """The query with other values; None takes one away."""
    kept = [(name, value) for name, value in given.multi_items() if name not in changes]
    new = [(name, value) for name, value in changes.items() if value]
    return "?" + urlencode([*kept, *new])


# -- rows --------------------------------------------------------------------------------------


def _query(request: Request) -> Query:
    """What the address asks for, as a query of the API."""
    given = request.query_params
    wanted = parse_search(given.get("q", "")).multi_items()
    for name in ("sort", "after"):
        if given.get(name):
            wanted.append((name, given[name]))
    return Query(QueryParams([*wanted, ("limit", str(PAGE))]), *dict(wanted), "limit")


def _rows(request: Request, query: Query, also: list[Condition]) -> Rows:
    path, library = request.path_params, library_of(request)
    selection = select_runs(path["entity"], path["project"], query, also)
    found = library.select(selection.sql, selection.parameters)
    ((total,),) = library.select(selection.count_sql, selection.count_parameters)
    part, more = found[: selection.limit], len(found) > selection.limit
    member = is_member(request)
    runs = [listed_run(row, member=member) for row in part]
    return Rows(runs, total, selection.cursor(part[-1]) if more else None)


def _found(request: Request) -> dict[str, Any]:
    query, by = _query(request), request.query_params.get("by")
    if not by:
        return {"rows": _rows(request, query, [])}
    path, groups = request.path_params, []
    left = OPEN_ROWS
    for group in count_groups(library_of(request), path["entity"], path["project"], query, by):
        rows = _rows(request, query, [in_group(by, group.value)]) if left > 0 else None
        left -= len(rows.runs) if rows else 0
        text = json.dumps(group.value)
        groups.append(Shown(group, changed(request.query_params, **{"in": text}), rows))
    return {"groups": groups, "rows": Rows([], sum(g.group.runs for g in groups), None)}


async def show_rows(request: Request) -> Response:
    """Rows alone, to be put into the page."""
    Query(request, *_STATE, "after", "in", "id")
    return await run_in_threadpool(_show_rows, request)


def _show_rows(request: Request) -> Response:
    given, path = request.query_params, request.path_params
    also: list[Condition] = []
    if "in" in given:
        also.append(in_group(given.get("by", ""), _value(given["in"])))
    ids = given.getlist("id")
    if ids:
        also.append(among(ids[:_IDS]))
    library_of(request).look()
    text = fragment(
        request,
        "parts/rows.html",
        rows=_rows(request, _query(request), also),
        columns=shown_columns(request, keys_of(request, path["entity"], path["project"])),
        cells=cells,
        entity=path["entity"],
        project=path["project"],
        selected=given.getlist("selected"),
        address=changed(given, after=None),
    )
    return HTMLResponse(text, headers=dict(HEADERS))


def _value(text: str) -> object:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise bad_request("in is no value of a group") from None
    if isinstance(value, list | dict):
        raise bad_request("in is no value of a group")
    return value

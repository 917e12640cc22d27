"""SQL over all runs of one's own store: a page, and its answers as JSON.

Reading only, as `store sql` (see `store.gather`); at most ROWS rows are shown.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.query import Store
from store.server.context import server_of
from store.server.library import answer
from store.server.limits import read_fields
from store.server.pages.frame import page
from store.server.query import Query

if TYPE_CHECKING:
    from starlette.requests import Request

ROWS: Final = 10_000
SECONDS: Final = 60.0
EXAMPLES: Final = (
    (
        "The newest runs",
        "select name, state, created, steps, project\nfrom runs order by created desc limit 20",
    ),
    (
        "The best value of each run",
        "select r.name, min(m.value) as best\nfrom metrics m join runs r on r.run = m.run\n"
        "where m.key = 'val/loss'\ngroup by r.run order by best limit 20",
    ),
    (
        "One metric by step",
        "select step, value from metrics\nwhere key = 'loss'"
        " and run = (select run from runs limit 1)",
    ),
    ("Lines with a word", "select run, text from console\nwhere text like '%error%' limit 100"),
)
_SCHEMA: Final = (
    "SELECT v.name, c.name FROM pragma_table_list v JOIN pragma_table_info(v.name) c"
    " WHERE v.schema = 'temp' AND v.type = 'view' ORDER BY v.name, c.cid"
)
_making: Final = threading.Lock()


async def show_sql(request: Request) -> Response:
    """The page."""
    text = Query(request, "q").text("q")
    return await run_in_threadpool(_show, request, text)


def _show(request: Request, text: str | None) -> Response:
    views: dict[str, list[str]] = {}
    for view, column in _store(request).sql(_SCHEMA):
        views.setdefault(view, []).append(column)
    facts: dict[str, Any] = {"views": views, "examples": EXAMPLES, "query": text or EXAMPLES[0][1]}
    return page(request, "sql.html", crumbs=[("SQL", "")], **facts)


async def ask_sql(request: Request) -> Response:
    """The answer to {"query": "select ..."}: columns, rows, seconds; `more`: rows were left out."""
    fields = await read_fields(request, query=str)
    return answer(await run_in_threadpool(_ask, request, fields["query"]))


def _ask(request: Request, query: str) -> dict[str, Any]:
    began = time.monotonic()
    text = query.strip().rstrip(";")
    result = _store(request).sql(f"SELECT * FROM (\n{text}\n) LIMIT {ROWS + 1}", timeout=SECONDS)
    return {
        "columns": result.columns,
        "rows": [list(map(_shown, row)) for row in result.rows[:ROWS]],
        "more": len(result.rows) > ROWS,
        "seconds": time.monotonic() - began,
        "stale": result.stale,
    }


def _shown(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _store(request: Request) -> Store:
    """The store, opened for SQL once for all requests."""
    state = request.app.state
    with _making:
        if not hasattr(state, "sql"):
            state.sql = Store(server_of(request).store, warn=lambda _: None)
        return cast("Store", state.sql)

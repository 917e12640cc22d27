"""Projects and runs: what there is, by whom it may be seen, and the end of a run.

What is told of a run to others than members leaves out where and how it ran (see
`store.server.privacy`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from store.database import Source
from store.errors import SchemaTooNew, StoreCorrupt, StoreError
from store.jsontext import from_json
from store.scan import lives
from store.server.column_files import ColumnFiles
from store.server.context import caller_of, server_of
from store.server.graves import Graves
from store.server.library import answered, find_run, is_member, library_of, opened
from store.server.privacy import open_attributes
from store.server.problems import BUSY_SECONDS, Problem
from store.server.query import Query
from store.server.selection import COLUMNS, PARAMETERS, select_runs
from store.state import writer_state
from store.summarize import Definitions
from store.transfer import remove_run

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.paths import RunFolder

_FOR_MEMBERS = frozenset({"host", "commit"})
_JSON_COLUMNS = frozenset({"tags", "config", "summary", "nan"})


# -- projects ----------------------------------------------------------------------------------


async def list_projects(request: Request) -> Response:
    """The projects that the caller may see; with ?entity=, those of one entity."""
    entity = Query(request, "entity").text("entity")
    return await answered(lambda: {"projects": projects(request, entity)})


def projects(request: Request, entity: str | None) -> list[dict[str, Any]]:
    """The projects that the caller may see, or those of one entity."""
    server = server_of(request)
    visible = server.access.visible_projects(caller_of(request))
    library = library_of(request)
    library.look()
    counts = {
        (row[0], row[1]): row[2:]
        for row in library.select(
            "SELECT entity, project, count(*), sum(state = 'running'), max(updated)"
            " FROM run GROUP BY entity, project"
        )
    }
    return [
        _project(in_entity, name, visibility, counts.get((in_entity, name), (0, 0, None)))
        for in_entity, name, visibility in visible
        if entity in (None, in_entity)
    ]


def _project(entity: str, name: str, visibility: str, counts: tuple[Any, ...]) -> dict[str, Any]:
    runs, running, updated = counts
    return {
        "entity": entity,
        "name": name,
        "visibility": visibility,
        "runs": runs,
        "running": running or 0,
        "updated": updated,
    }


async def show_project(request: Request) -> Response:
    """One project."""
    Query(request)
    return await answered(_one_project, request)


def _one_project(request: Request) -> dict[str, Any]:
    entity, name = request.path_params["entity"], request.path_params["project"]
    found = server_of(request).access.project(entity, name)
    if found is None:
        raise Problem(404, "not_found", f"there is no project {entity}/{name}")
    library = library_of(request)
    library.look()
    (counts,) = library.select(
        "SELECT count(*), sum(state = 'running'), max(updated) FROM run"
        " WHERE entity = ? AND project = ?",
        (entity, name),
    )
    facts = _project(entity, name, found.visibility, counts)
    return {**facts, "created": found.created, "member": is_member(request)}


# -- runs --------------------------------------------------------------------------------------


async def list_runs(request: Request) -> Response:
    """Runs of a project, filtered, sorted and paged."""
    query = Query(request, *PARAMETERS)
    return await answered(_runs, request, query)


def _runs(request: Request, query: Query) -> dict[str, Any]:
    path = request.path_params
    selection = select_runs(path["entity"], path["project"], query)
    library = library_of(request)
    library.look()
    rows = library.select(selection.sql, selection.parameters)
    ((total,),) = library.select(selection.count_sql, selection.count_parameters)
    page, more = rows[: selection.limit], len(rows) > selection.limit
    member = is_member(request)
    return {
        "runs": [listed_run(row, member=member) for row in page],
        "total": total,
        "next": selection.cursor(page[-1]) if more else None,
    }


def listed_run(row: tuple[Any, ...], *, member: bool) -> dict[str, Any]:
    """A run in lists, from a row of COLUMNS."""
    fields = dict(zip(COLUMNS, row, strict=False))
    del fields["key"]
    return {
        name: from_json(value) if name in _JSON_COLUMNS else value
        for name, value in fields.items()
        if member or name not in _FOR_MEMBERS
    }


async def show_run(request: Request) -> Response:
    """One run: identity, state, config, summary, attributes, metrics, sources."""
    Query(request)
    return await answered(run_facts, request)


def run_facts(request: Request) -> dict[str, Any]:
    """What the caller may know of the run that the path names. Problem 404."""
    run, member = find_run(request), is_member(request)
    library = library_of(request)
    line = library.line_of(run)
    attributes: Mapping[str, Any] = from_json(line.attributes)
    metrics, definitions = library.metric_keys(line), Definitions(attributes)
    fields = tuple(getattr(line, name) for name in COLUMNS)
    return {
        **listed_run(fields, member=member),
        "member": member,
        "attributes": dict(attributes) if member else open_attributes(attributes),
        "metrics": [
            {
                "key": m.key,
                "points": m.points,
                "min": m.least,
                "max": m.greatest,
                "last": m.value,
                "step_metric": definitions.of(m.key).step_metric,
            }
            for m in metrics
        ],
        "refused": from_json(line.refused),
        "has_console": bool(line.has_console),
        "has_files": bool(line.has_files),
        "sources": _sources(request, run, member=member),
    }


def _sources(request: Request, run: RunFolder, *, member: bool) -> list[dict[str, Any]]:
    try:
        with opened(request, run) as connection:
            found = [Source(*row) for row in connection.execute("SELECT * FROM source ORDER BY id")]
    except (StoreCorrupt, SchemaTooNew):
        return []  # its state is "damaged"
    now, life = time.time(), lives(run, run.segments(), [source.uuid for source in found])
    return [
        {
            "uuid": source.uuid,
            "kind": source.kind,
            "label": source.label,
            "parent": source.parent,
            "position": source.position,
            "digest": source.digest.hex(),
            "step": source.step,
            "state": writer_state(source, life[source.uuid], now),
            "exit_code": source.exit_code,
            "opened": source.opened,
            "latest": source.latest,
            **({"host": source.host, "pid": source.pid, "store": source.store} if member else {}),
        }
        for source in found
    ]


async def delete_run(request: Request) -> Response:
    """Remove a run. Clients that send it again are told who did, and when."""
    Query(request)
    return await answered(_delete, request)


def _delete(request: Request) -> dict[str, Any]:
    run, server, caller = find_run(request), server_of(request), caller_of(request)
    assert caller.user is not None
    graves, name = Graves(server.store.path), (run.entity, run.project, run.id)
    # The grave first: what is interrupted behind it is no run that comes back by itself.
    grave = graves.add(*name, by=caller.user)
    try:
        remove_run(run, force=True)
    except StoreError as error:
        graves.remove(*name)
        raise Problem(
            *(503, "busy", "somebody is writing the run just now", "end it first"),
            retry_after=BUSY_SECONDS,
        ) from error
    except FileNotFoundError:
        pass  # somebody else was faster
    ColumnFiles.of_user().forget(run)
    return {"deleted": list(name), "by": grave.by, "at": grave.at}

"""The page of one run, and its tabs: /{entity}/{project}/runs/{id}?tab=overview

Charts come first, as that is what runs are opened for. What a tab shows beyond the first screen
is fetched by its script.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.row import SYSTEM
from store.server.context import caller_of, server_of
from store.server.editing import is_writable
from store.server.files import files_of
from store.server.library import find_run, library_of, opened
from store.server.pages.charts import chart_facts
from store.server.pages.columns import duration
from store.server.pages.frame import page, url
from store.server.pages.provenance import command_of, diff_lines, git_of, machine_of, mapping
from store.server.problems import Problem
from store.server.query import Query
from store.server.reading import run_facts
from store.settings import resolve_for
from store.state import EDITOR
from store.sync.standings import KnownRemotes, Place

if TYPE_CHECKING:
    from starlette.requests import Request

TABS: Final = {
    "charts": "Charts",
    "overview": "Overview",
    "system": "System",
    "console": "Console",
    "files": "Files",
    "media": "Media",
    "diff": "Diff",
}
_KNOWN: Final = frozenset({"command", "git", "machine", "packages"})
"""Attributes that have a place of their own."""


async def show_run_page(request: Request) -> Response:
    """The page."""
    tab = Query(request, "tab").choice("tab", tuple(TABS))
    return await run_in_threadpool(_show, request, tab)


def _show(request: Request, tab: str) -> Response:
    run = run_facts(request)
    attributes = run["attributes"]
    facts: dict[str, Any] = {
        "run": run,
        "tab": tab,
        "tabs": _tabs(run, tab, has_media=_has_media(request, run)),
        "duration": duration,
        "address": url(run["entity"], run["project"], "runs", run["id"]),
        "api": f"/api/v1/runs{url(run['entity'], run['project'], run['id'])}",
    }
    if tab in ("charts", "system"):
        line = library_of(request).line_of(find_run(request))
        facts["charts"] = chart_facts(request, [line], system=tab == "system")
        facts["charts"]["sources"] = run["sources"]
    elif tab == "overview":
        facts |= _overview(request, run)
    elif tab == "files":
        facts["files"] = files_of(request)["files"]
    elif tab == "diff":
        git = git_of(attributes)
        facts["lines"] = list(diff_lines(git.diff)) if git and git.diff else []
    project = url(run["entity"], run["project"])
    crumbs = [(run["entity"], ""), (run["project"], project), (run["name"], "")]
    return page(request, "run.html", crumbs=crumbs, **facts)


def _tabs(run: Mapping[str, Any], tab: str, *, has_media: bool) -> dict[str, str]:
    """The tabs that have something to show, and the one that is shown."""
    git = git_of(run["attributes"])
    has = {
        "system": any(metric["key"].startswith(SYSTEM) for metric in run["metrics"]),
        "console": run["has_console"] or run["state"] == "running",
        "files": run["has_files"],
        "media": has_media,
        "diff": git is not None and git.diff != "",
    }
    return {name: text for name, text in TABS.items() if name == tab or has.get(name, True)}


def _has_media(request: Request, run: Mapping[str, Any]) -> bool:
    if run["state"] == "damaged":
        return False
    with opened(request, find_run(request)) as connection:
        return bool(connection.execute("SELECT EXISTS(SELECT 1 FROM object)").fetchone()[0])


# -- the overview ------------------------------------------------------------------------------


def _overview(request: Request, run: Mapping[str, Any]) -> dict[str, Any]:
    attributes, sources = run["attributes"], run["sources"]
    command, folder = command_of(attributes)
    return {
        "git": git_of(attributes),
        "machine": machine_of(attributes),
        "command": command,
        "folder": folder,
        "packages": mapping(attributes.get("packages")),
        "others": {n: v for n, v in attributes.items() if n not in _KNOWN | set(run)},
        "writers": [source for source in sources if source["parent"] != EDITOR],
        "stores": len({source.get("store") for source in sources if source.get("store")}),
        "may_change": _may_change(request),
        "places": _places(request),
    }


def _may_change(request: Request) -> bool:
    path = request.path_params
    try:
        server_of(request).access.require_change(
            caller_of(request), path["entity"], path["project"]
        )
        return is_writable(find_run(request))
    except Problem:
        return False


def _places(request: Request) -> list[Place] | None:
    """Where a run of one's own store was sent; of a server's nothing is known."""
    server = server_of(request)
    if not server.is_local:
        return None
    known = KnownRemotes(server.store, resolve_for(server.store.path).settings)
    return known.places_of(find_run(request))

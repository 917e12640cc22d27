"""The columns of a table of runs: which there are, which are shown, what stands in them.

A column is called by its field ("created"), or config.KEY or summary.KEY, dots joining the keys of
nested settings. Those that are shown are said by the address (`column`, repeatable), else by the
cookie that the choice was kept in, else chosen here: what differs between the runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from markupsafe import Markup

from store.outline import flatten
from store.server.library import Library, library_of
from store.server.pages.frame import NOTHING, ago, number, size, span, visible

if TYPE_CHECKING:
    from starlette.requests import Request

MOST: Final = 40
COOKIE: Final = "columns"
FIELDS: Final = {
    "state": "State",
    "created": "Created",
    "duration": "Duration",
    "updated": "Last row",
    "steps": "Steps",
    "points": "Values",
    "rows": "Rows",
    "size": "Size",
    "writers": "Writers",
    "group": "Group",
    "job_type": "Job type",
    "notes": "Notes",
    "id": "Id",
    "host": "Host",
    "commit": "Commit",
}
_USUAL: Final = ("state", "created", "duration")
_NUMBERS: Final = frozenset({"duration", "steps", "points", "rows", "size", "writers"})
_UNSORTED: Final = frozenset({"duration", "notes", "host", "commit", "writers"})
_CHOSEN: Final = 4
"""So many columns of config, and of summary, where nobody has chosen."""


class Cell(NamedTuple):
    """What stands in a table: the text or element, whether it is a number, the whole of it."""

    shown: Markup | str
    is_number: bool = False
    title: str = ""


class Column(NamedTuple):
    """A column: how it is called, its heading, and whether runs may be sorted by it."""

    name: str
    head: str
    kind: str
    key: str
    is_sorted: bool
    is_number: bool


def column(name: str) -> Column | None:
    """The column with that name."""
    if name in FIELDS:
        return Column(name, FIELDS[name], "", name, name not in _UNSORTED, name in _NUMBERS)
    kind, dot, key = name.partition(".")
    if kind in ("config", "summary") and dot and key:
        return Column(name, key, kind, key, is_sorted=True, is_number=kind == "summary")
    return None


class Keys(NamedTuple):
    """The keys that the runs of a project have, and those that tell them apart."""

    config: list[str]
    summary: list[str]
    usual: list[str]
    numeric: frozenset[str]
    """Those of config whose values are numbers."""


def keys_of(request: Request, entity: str, project: str) -> Keys:
    """The keys of config and summary of a project."""
    library = library_of(request)
    return library.kept(entity, project, lambda: _find_keys(library, entity, project))


def _find_keys(library: Library, entity: str, project: str) -> Keys:
    config = library.select(
        "SELECT key, min(value) IS NOT max(value), count(*), max(typeof(value)) < 's'"
        " FROM config_key WHERE entity = ? AND project = ? GROUP BY key ORDER BY key",
        (entity, project),
    )
    summary = library.select(
        "SELECT key, count(*) FROM metric_key WHERE entity = ? AND project = ? AND shown"
        " GROUP BY key ORDER BY key",
        (entity, project),
    )
    most = max((count for _, _, count, _ in config), default=0)
    plain = [key for key, _ in summary if not key.startswith(("_", "system/"))]
    often = sorted(plain, key=lambda key: -dict(summary)[key])[:_CHOSEN]
    return Keys(
        [key for key, *_ in config],
        [key for key, _ in summary],
        [
            *_USUAL,
            *[f"config.{key}" for key, differs, n, _ in config if differs and n >= most / 2][
                :_CHOSEN
            ],
            *[f"summary.{key}" for key in plain if key in often],
        ],
        frozenset(key for key, _, _, is_number in config if is_number),
    )


def shown_columns(request: Request, keys: Keys) -> list[Column]:
    """The columns to show beside the name."""
    asked = request.query_params.getlist("column") or _kept(request) or keys.usual
    named = (column(name) for name in dict.fromkeys(asked[:MOST]))
    found = [one for one in named if one is not None]
    heads = [one.head for one in found]
    return [
        one._replace(
            head=one.name if heads.count(one.head) > 1 else one.head,
            is_number=one.is_number or (one.kind == "config" and one.key in keys.numeric),
        )
        for one in found
    ]


def _kept(request: Request) -> list[str]:
    try:
        names = json.loads(unquote(request.cookies.get(COOKIE, "")))
    except (ValueError, RecursionError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


# -- cells -------------------------------------------------------------------------------------


def cells(run: Mapping[str, Any], columns: list[Column]) -> list[Cell]:
    """What stands in the columns of one run (in the form of the API)."""
    config = {key: value for key, value, _ in flatten(run["config"])}
    found = []
    for one in columns:
        if one.kind == "config":
            found.append(value_cell(config.get(one.key), has=one.key in config))
        elif one.kind == "summary":
            value = float("nan") if one.key in run["nan"] else run["summary"].get(one.key)
            found.append(value_cell(value, has=one.key in run["summary"]))
        else:
            found.append(_field(run, one.name))
    return found


def value_cell(value: object, *, has: bool = True) -> Cell:
    """A value of config or summary."""
    if not has:
        return Cell("")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(number(value), is_number=True, title=repr(value))
    text = visible(number(value))
    return Cell(text[:300], title=text[:2000] if len(text) > 20 else "")


def _field(run: Mapping[str, Any], name: str) -> Cell:
    if name == "state":
        return Cell(state_mark(run["state"]))
    if name in ("created", "updated"):
        return Cell(ago(run[name]))
    if name == "duration":
        return Cell(duration(run), is_number=True)
    if name == "size":
        return Cell(size(run["size"]), is_number=True)
    value = run.get(name)
    if value is None:
        return Cell("")
    if isinstance(value, int):
        return Cell(f"{value:,}".replace(",", "\u202f"), is_number=True)
    text = visible(value)
    if name == "commit":
        return Cell(Markup("<code>{}</code>").format(text[:10]), title=text)
    return Cell(text[:300], title=text[:2000] if len(text) > 20 else "")


def state_mark(state: str) -> Markup:
    """A state as its dot and word."""
    return Markup('<span class="state state-{0}">{0}</span>').format(state)


def duration(run: Mapping[str, Any]) -> Markup | str:
    """How long a run took; of one that is running, a time that a script keeps true."""
    created, ended = run["created"], run["ended"]
    if created is None:
        return NOTHING
    if ended is None:
        words = span(time.time() - created)
        return Markup('<time data-at="{}" data-since>{}</time>').format(created, words)
    return span(ended - created)

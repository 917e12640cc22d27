"""What the charts of a page begin with: which runs and which metrics there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from store.jsontext import from_json
from store.row import SYSTEM
from store.server.library import library_of
from store.summarize import Definitions

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.outline import RunLine


def chart_facts(
    request: Request, lines: Sequence[RunLine], *, system: bool = False
) -> dict[str, Any]:
    """The facts of `parts/charts.html`: all metrics of runs of one project but the machine's.

    Args:
        system: of these only, for `parts/system.html`.
    """
    library = library_of(request)
    steps: dict[str, str | None] = {}
    points: Counter[str] = Counter()
    for line in lines:
        definitions = Definitions(from_json(line.attributes))
        for metric in library.metric_keys(line):
            if metric.key.startswith(SYSTEM) != system:
                continue
            points[metric.key] += metric.points
            if not steps.get(metric.key):
                steps[metric.key] = definitions.of(metric.key).step_metric
    return {
        "entity": lines[0].entity if lines else "",
        "project": lines[0].project if lines else "",
        "system": system,
        "runs": list(_runs(lines)),
        "metrics": [
            {"key": key, "points": points[key], "step_metric": step}
            for key, step in sorted(steps.items())
        ],
    }


def _runs(lines: Iterable[RunLine]) -> Iterable[dict[str, Any]]:
    for line in lines:
        yield {"id": line.id, "name": line.name, "state": line.state}

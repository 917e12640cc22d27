"""`store report`: runs as one HTML file with their charts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from store.api.shell import RUN, example, find_runs, open_store, plural, say
from store.errors import StoreError, UsageError

if TYPE_CHECKING:
    from store.api.report.reading import XAxis
    from store.outline import RunLine
    from store.query import Store


@click.command(
    epilog=example(
        "how two runs went, smoothed, for a colleague",
        "store report mlp-1 mlp-2 --smooth 0.9 -o digits.html",
    )
)
@click.argument("runs", type=RUN, metavar="RUN", nargs=-1)
@click.option("-p", "--project", help="All runs of this project, in place of RUN.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The .html file to write.",
)
@click.option(
    "--keys", metavar="REGEX", help="Only metrics in whose name this is found; also system metrics."
)
@click.option(
    "--x",
    "x_axis",
    type=click.Choice(("step", "time")),
    default="step",
    show_default=True,
    help="Draw by step (or the metric that was defined in its place), or by time since the start.",
)
@click.option(
    "--smooth",
    "smoothing",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    metavar="WEIGHT",
    help="Smooth, from 0 to below 1; what was logged stands behind.",
)
@click.option("--log-y", is_flag=True, help="Draw with logarithmic y axes.")
@click.option("--title", help="The heading (default: the project, or the one run).")
@click.option("--open", "opens", is_flag=True, help="Open the file in a browser.")
def report(
    runs: tuple[str, ...],
    project: str | None,
    file: Path,
    keys: str | None,
    x_axis: XAxis,
    smoothing: float,
    log_y: bool,
    title: str | None,
    opens: bool,
) -> None:
    """Write runs as one HTML file, with their charts, for a paper or a colleague.

    The file needs no network, no script and no store. RUN is a run's id, name or path, or the
    beginning of its id or name.
    """
    if bool(runs) == (project is not None):
        raise click.UsageError("name runs, or a project with --project")
    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{file.name}: a report is HTML", hint="the name may end in .html")
    from store.api.export import replaced
    from store.api.report.page import make_report
    from store.api.report.reading import Wish, subjects_of

    with open_store() as store:
        lines = find_runs(store, runs) if project is None else _runs_of(store, project)
        wish = Wish(keys, x_axis, smoothing, log_y)
        text = make_report(store, subjects_of(lines), wish, title)
    with replaced(file) as scratch:
        scratch.write_bytes(text.encode())
    say(f"{plural(len(lines), 'run')} written to {file}")
    if opens:
        import webbrowser

        webbrowser.open(file.resolve().as_uri())


def _runs_of(store: Store, project: str) -> list[RunLine]:
    """The runs of a project, the oldest first."""
    store.refresh()
    every = store.catalogue.lines()
    found = [line for line in every if line.project == project]
    if not found:
        known = sorted({line.project for line in every})
        hint = f"there are {', '.join(known[:5])}" if known else "there are no runs yet"
        raise StoreError(f"no run is in a project {project!r}", hint=hint)
    return sorted(found, key=lambda line: (line.created or 0.0, line.key))

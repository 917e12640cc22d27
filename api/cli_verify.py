"""`store verify`, `store pull` and `store clean`: what a remote has, and bringing it back."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from store.api.cli_sync import (
    chosen_runs,
    destination,
    place_options,
    remote_of,
)
from store.api.outcomes import UNSENT
from store.api.output import OutputFormat, output_options, write_rows
from store.api.progress import Progress
from store.api.shell import (
    RUN,
    example,
    failure,
    find_runs,
    folder_of,
    open_store,
    plural,
    printed,
    say,
    store_path,
    visible,
)
from store.errors import NotSignedIn, StoreError, UsageError
from store.settings import resolve_for

if TYPE_CHECKING:
    from store.outline import RunLine
    from store.paths import RunFolder, StoreFolder
    from store.sync.runner import Destination

DIFFERS: Final = 4
"""The exit code when a remote does not have what is here."""
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
VERIFIED: Final = ("id", "entity", "project", "rows", "unsent", "verified", "findings")


@click.command(epilog=example("row by row, on both sides", "store verify --deep RUN"))
@click.argument("runs", nargs=-1, type=RUN, metavar="[RUN|PATH]...")
@place_options
@click.option("--deep", is_flag=True, help="Hash every row again, here and there.")
@output_options
def verify(
    runs: tuple[str, ...],
    to: str | None,
    entity: str | None,
    project: str | None,
    deep: bool,
    output: OutputFormat,
) -> None:
    """Compare runs with what a remote has of them.

    Positions and digests of all writers, rows that were set aside, and the contents of files.
    Exits with 3 where rows are unsent, with 4 where something differs.
    """
    records: list[list[Any]] = []
    for store, folders in chosen_runs(runs):
        resolved = resolve_for(store.path)
        with destination(remote_of(store, resolved, to), resolved, entity, project) as place:
            records += [_verify(run, place, deep) for run in folders]
    if output.kind in ("auto", "table"):
        shown = [(r[0], "/".join(r[1:3]), r[3], r[4], _word(r)) for r in records]
        if shown:
            write_rows(("run", "in", "rows", "unsent", "state"), shown, output)
        for record in records:
            for finding in record[6]:
                say(f"{record[0]}: {finding}")
    else:
        write_rows(VERIFIED, records, output)
    verified = sum(bool(record[5]) for record in records)
    say(f"{verified} of {plural(len(records), 'run')} verified")
    if any(record[6] for record in records):
        click.get_current_context().exit(DIFFERS)
    if verified < len(records):
        click.get_current_context().exit(UNSENT)


def _verify(run: RunFolder, place: Destination, deep: bool) -> list[Any]:
    from store.sync.verify import verify_run
    from store.transfer import fold_if_ours

    named = [run.id, run.entity, run.project]
    try:
        fold_if_ours(run)
        found = verify_run(run, place.remote, place.target(run), deep=deep)
    except NotSignedIn:
        raise
    except (StoreError, OSError) as error:
        return [*named, None, None, False, [failure(error).message]]
    return [*named, found.rows, found.unsent, found.is_verified, list(found.findings)]


def _word(record: Sequence[Any]) -> str:
    if record[5]:
        return "verified"
    return "differs" if record[6] else "unsent"


# -- pull --------------------------------------------------------------------------------------


@click.command(epilog=example("one run", "store pull team/digits/qvlp96vk"))
@click.argument("runs", nargs=-1, required=True, metavar="ENTITY/PROJECT[/RUN]...")
@click.option("--from", "origin", metavar="REMOTE", help="A remote's name, URL or folder.")
def pull(runs: tuple[str, ...], origin: str | None) -> None:
    """Bring runs of a remote into this store, or a project's all.

    Shorter forms will do where they are unique. Runs that are here already get the rows that they
    lack. A store is made where there is none.
    """
    from store.paths import create_store
    from store.sync.pull import find_remote_runs

    store = create_store(store_path())
    resolved = resolve_for(store.path)
    rows = failed = 0
    with destination(remote_of(store, resolved, origin), resolved, None, None) as place:
        wanted = [found for name in runs for found in find_remote_runs(place.remote, name)]
        wanted = list(dict.fromkeys(wanted))
        with Progress(0) as progress:
            for run in wanted:
                new, is_whole = _pull(store, place, run, progress)
                rows += new
                failed += not is_whole
    say(
        f"{plural(len(wanted) - failed, 'run')} pulled into {store.path}, {plural(rows, 'row')} new"
    )
    if failed:
        click.get_current_context().exit(1)


def _pull(store: StoreFolder, place: Destination, run: Any, progress: Progress) -> tuple[int, bool]:
    from store.cleaned import forget_cleaned
    from store.sync.pull import pull_run

    try:
        done = pull_run(store, place.remote, run, tell=progress.tell)
    except NotSignedIn:
        raise
    except (StoreError, OSError) as error:
        told = failure(error)
        progress.note(f"{run}: {told.message}" + (f" ({told.hint})" if told.hint else ""))
        return 0, False
    forget_cleaned(store.run(*run))
    files = f", {plural(done.files, 'file')}" if done.files else ""
    printed(visible(f"{run}  {plural(done.rows, 'row')}{files}"))
    for problem in done.problems:
        progress.note(f"{run}: {problem}")
    return done.rows, not done.problems


# -- clean -------------------------------------------------------------------------------------


@click.command(epilog=example("what is older than a month", "store clean --older-than 30d"))
@click.argument("runs", nargs=-1, type=RUN, metavar="[RUN]...")
@place_options
@click.option("--older-than", metavar="SPAN", help="Only runs whose last row is older: 12h, 30d.")
@click.option("--keep-last", type=click.IntRange(0), default=0, help="Keep the newest N runs.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def clean(
    runs: tuple[str, ...],
    to: str | None,
    entity: str | None,
    project: str | None,
    older_than: str | None,
    keep_last: int,
    yes: bool,
) -> None:
    """Remove runs here that a remote has.

    Every row is hashed again on both sides before that. A run that is being written, has unsent
    rows or differs in anything is kept. `store pull` brings a run back; `store.init(id=...)` goes
    on with it where it was.
    """
    span = parse_span(older_than)
    with open_store() as store:
        lines = find_runs(store, runs)
        if not runs:
            lines = store.catalogue.lines()
        lines = _old_enough(lines, span, keep_last)
        folders = [folder_of(store, line) for line in lines]
        folder = store.folder
    if not folders:
        say("no runs to clean")
        return
    resolved = resolve_for(folder.path)
    with destination(remote_of(folder, resolved, to), resolved, entity, project) as place:
        if not yes:
            size = plural(len(folders), "run")
            click.confirm(
                visible(f"Remove {size} that {place.remote.where} has?"), abort=True, err=True
            )
        removed = sum(_clean(run, place) for run in folders)
    say(f"{removed} of {plural(len(folders), 'run')} removed")


def _clean(run: RunFolder, place: Destination) -> bool:
    from store.sync.clean import clean_run

    try:
        done = clean_run(run, place.remote, place.target(run))
    except NotSignedIn:
        raise
    except (StoreError, OSError) as error:
        say(f"kept {run.id}: {failure(error).message}")
        return False
    if done.reason is not None:
        say(f"kept {run.id}: {done.reason}")
        return False
    printed(visible(f"removed {run.id}  {plural(done.rows, 'row')}"))
    return True


def parse_span(text: str | None) -> float | None:
    """Seconds, from `90s`, `15m`, `12h`, `30d` or `2w`."""
    if text is None:
        return None
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(f"{text!r} is no span of time", hint="such as 90s, 15m, 12h, 30d or 2w")
    return float(found[1]) * _SECONDS[found[2]]


def _old_enough(lines: Sequence[RunLine], span: float | None, keep_last: int) -> list[RunLine]:
    newest = sorted(lines, key=lambda line: line.updated or 0.0, reverse=True)[keep_last:]
    if span is None:
        return newest
    return [line for line in newest if time.time() - (line.updated or 0.0) > span]

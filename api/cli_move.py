"""`store copy` and `store rm`: runs to another place, and away."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from store.api.output import format_age, format_size
from store.api.shell import (
    RUN,
    example,
    find_runs,
    folder_of,
    open_store,
    plural,
    printed,
    runs_at,
    say,
    visible,
)
from store.errors import UsageError
from store.paths import RunFolder, StoreFolder, create_store, locate_store

if TYPE_CHECKING:
    from store.outline import RunLine
    from store.transfer import Copied


@click.command(epilog=example("a backup, which may be repeated", "store copy . /mnt/backup"))
@click.argument("source", type=RUN, metavar="SRC")
@click.argument("target", type=click.Path(path_type=Path), metavar="DST")
def copy(source: str, target: Path) -> None:
    """Copy a store or a run, also a live one.

    SRC is a store, a folder that holds one, or a RUN. DST is a store or the folder for one; runs
    that are there already get the rows that they lack, and lose none. To copy again is quick.
    """
    from store.transfer import copy_runs

    origin, runs = _source_of(source)
    place = locate_store(given=target)
    inside = place.resolve()
    if inside == origin.path.resolve() or origin.path.resolve() in inside.parents:
        raise UsageError(f"{place} is the store itself, or inside it", hint="name another folder")
    goal = create_store(place)
    counts = {"new": 0, "more": 0, "same": 0}
    rows, failed = 0, 0
    for done in copy_runs(runs, goal):
        rows += done.rows
        failed += bool(done.problems)
        counts[done.what] += 1
        _print_copied(done)
    words = {"new": "new", "more": "with more rows", "same": "as before"}
    parts = [f"{count:,} {words[what]}" for what, count in counts.items() if count]
    parts.append(f"{plural(rows, 'row')} copied")
    say(f"{plural(sum(counts.values()), 'run')} in {goal.path}: {', '.join(parts)}")
    if failed:
        say(f"{plural(failed, 'run')} could not be copied whole")
        click.get_current_context().exit(1)


def _source_of(source: str) -> tuple[StoreFolder, Iterator[RunFolder]]:
    """The store that is meant, or that of the run that is meant, and the runs to be copied."""
    found = runs_at(Path(source))
    if found is not None:
        return found
    with open_store() as opened:
        (line,) = find_runs(opened, (source,))
        return opened.folder, iter([folder_of(opened, line)])


def _print_copied(done: Copied) -> None:
    if done.what != "same":
        files = f", {plural(done.files, 'file')}" if done.files else ""
        printed(visible(f"{done.what:4}  {done.run}  {plural(done.rows, 'row')}{files}"))
    for problem in done.problems:
        say(f"problem  {done.run}  {problem}")


# -- rm ----------------------------------------------------------------------------------------


@click.command(
    epilog=example(
        "all crashed runs, without a question",
        "store rm --yes $(store ls --state crashed --csv --no-headers | cut -d, -f5)",
    )
)
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also where nobody can tell whether a writer lives.")
def rm(runs: tuple[str, ...], yes: bool, force: bool) -> None:
    """Remove runs with all their rows and files, for good.

    A run that is being written is not removed.
    """
    from store.transfer import remove_run, require_unwritten

    with open_store() as store:
        chosen = find_runs(store, runs)
        folders = [folder_of(store, line) for line in chosen]
        for line in chosen:
            say(_describe(line))
    for folder in folders:
        require_unwritten(folder, force=force)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to be asked", hint="--yes removes without a question")
        click.confirm(f"Remove {plural(len(folders), 'run')} for good?", abort=True, err=True)
    for folder in folders:
        remove_run(folder, force=force)
    say(f"{plural(len(folders), 'run')} removed")


def _describe(line: RunLine) -> str:
    age = "" if line.created is None else f", {format_age(time.time() - line.created)} old"
    return f"  {line.name} ({line.path}): {line.state}, {plural(line.rows, 'row')}" + (
        f", {format_size(line.size)}{age}"
    )

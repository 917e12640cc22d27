"""`store sync`: send what is unsent, and say the truth about it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from store.api.outcomes import end, state_of, write_outcomes
from store.api.output import OutputFormat, output_options
from store.api.progress import Progress
from store.api.shell import (
    RUN,
    example,
    failure,
    find_runs,
    folder_of,
    open_store,
    plural,
    runs_at,
    say,
    store_folder,
)
from store.errors import RemoteRefused, RemoteUnavailable, StoreError, UsageError
from store.paths import RunFolder, StoreFolder
from store.settings import Resolved, resolve_for

if TYPE_CHECKING:
    from store.sync.remotes import RemoteEntry
    from store.sync.runner import Destination, Outcome


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options --to, --entity and --project: which place at which remote is meant."""
    for option in (
        click.option("--project", metavar="NAME", help="The project there."),
        click.option("--entity", metavar="NAME", help="The user or team there."),
        click.option("--to", metavar="REMOTE", help="A remote's name, a URL or a folder."),
    ):
        command = option(command)
    return command


@click.command(epilog=example("carry runs on a stick", "store sync --all --to /media/stick"))
@click.argument("runs", nargs=-1, type=RUN, metavar="[RUN|PATH]...")
@click.option("--all", "every", is_flag=True, help="All runs of the store (so it is without RUN).")
@place_options
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--restore", is_flag=True, help="Also what was deleted at the remote.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=4, help="Runs at once.")
@click.option("--limit-rate", metavar="BYTES", help="Bytes a second at most, such as 500k or 2M.")
@click.option("--watch", is_flag=True, help="Go on: send rows and runs as they come.")
@click.option("--until-idle", is_flag=True, help="With --watch: end once nothing is left to send.")
@click.option("--agent", is_flag=True, hidden=True, help="Send what is queued, in the background.")
@output_options
def sync(
    runs: tuple[str, ...],
    every: bool,
    to: str | None,
    entity: str | None,
    project: str | None,
    dry_run: bool,
    restore: bool,
    jobs: int,
    limit_rate: str | None,
    watch: bool,
    until_idle: bool,
    agent: bool,
    output: OutputFormat,
) -> None:
    """Send what a remote does not have yet: rows and files.

    Live runs included. May be interrupted and repeated at any moment. Rows count as sent once the
    remote has them on its disk. Exits with 3 while anything remains unsent, with 5 where the key
    is missing or has no right to send.
    """
    if runs and every:
        raise UsageError("--all and RUN do not go together")
    rate = parse_rate(limit_rate)
    if watch or agent:
        follow(runs, to, entity, project, jobs=jobs, rate=rate, until_idle=until_idle, agent=agent)
        return
    outcomes: list[Outcome] = []
    for store, folders in chosen_runs(runs):
        resolved = resolve_for(store.path)
        entry = remote_of(store, resolved, to)
        if not folders:
            say(f"no runs in {store.path} yet")
            continue
        with destination(entry, resolved, entity, project) as place:
            if dry_run:
                write_outcomes(plan(folders, place), output, dry_run=True)
                continue
            say(f"{plural(len(folders), 'run')} of {store.path} to {place.remote.where}")
            outcomes += send(folders, place, jobs=jobs, restore=restore, rate=rate)
    if not dry_run:
        write_outcomes(outcomes, output)
        end(outcomes)


# -- what is meant -----------------------------------------------------------------------------


def chosen_runs(names: Sequence[str]) -> Iterator[tuple[StoreFolder, list[RunFolder]]]:
    """The runs that are meant, by store: paths may lead into other stores."""
    from store.query import Store

    inside: list[str] = []
    elsewhere: dict[Path, tuple[StoreFolder, list[RunFolder]]] = {}
    for name in names:
        found = runs_at(Path(name))
        if found is None:
            inside.append(name)
        else:
            store, listed = found
            elsewhere.setdefault(store.path, (store, []))[1].extend(listed)
    yield from elsewhere.values()
    if inside or not names:
        with open_store() as opened:
            assert isinstance(opened, Store)
            lines = find_runs(opened, tuple(inside))
            if not names:
                lines = opened.catalogue.lines()
            yield opened.folder, [folder_of(opened, line) for line in lines]


def remote_of(store: StoreFolder, resolved: Resolved, to: str | None) -> RemoteEntry:
    """The remote that --to names, or the default one. UsageError when there is none."""
    from store.sync.remotes import resolve_remote

    return resolve_remote(store, resolved.settings, to)


@contextlib.contextmanager
def destination(
    entry: RemoteEntry, resolved: Resolved, entity: str | None, project: str | None
) -> Iterator[Destination]:
    """The place at a remote, for as long as the block lasts."""
    from store.sync.runner import Destination, open_remote

    remote = open_remote(entry, resolved)
    try:
        yield Destination(remote, entity, project)
    finally:
        remote.close()


def parse_rate(text: str | None) -> float | None:
    """Bytes a second, from `2000`, `500k`, `2M` or `1.5G` (powers of 1,000)."""
    if text is None:
        return None
    factor = {"k": 1e3, "m": 1e6, "g": 1e9}.get(text[-1:].lower(), 1.0)
    try:
        rate = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e15:
        raise UsageError(f"--limit-rate {text!r} is no number of bytes", hint="such as 500k or 2M")
    return rate


# -- sending -----------------------------------------------------------------------------------


def send(
    runs: Sequence[RunFolder],
    place: Destination,
    *,
    jobs: int,
    restore: bool,
    rate: float | None,
) -> list[Outcome]:
    """Send runs with progress on stderr; Ctrl-C ends after the batches that are underway."""
    from store.sync.cursors import Target
    from store.sync.runner import Outcome, send_runs

    stop = threading.Event()
    outcomes: list[Outcome] = []
    with Progress(0, rate) as progress:
        try:
            progress.expect(_unsent_rows(runs, place))
            for outcome in send_runs(
                runs,
                place,
                jobs=jobs,
                restore=restore,
                stop=stop,
                tell=progress.tell,
                on_failure=progress.tell_failure,
            ):
                outcomes.append(outcome)
        except (RemoteUnavailable, RemoteRefused) as error:
            done = {outcome.run.key for outcome in outcomes}
            remote = place.remote.name
            for run in runs:
                target = Target(remote, place.entity or run.entity, place.project or run.project)
                if run.key not in done:
                    outcomes.append(Outcome(run, target, 0, 0, None, False, error))
        finally:
            stop.set()
    return outcomes


def follow(
    names: Sequence[str],
    to: str | None,
    entity: str | None,
    project: str | None,
    *,
    jobs: int,
    rate: float | None,
    until_idle: bool,
    agent: bool,
) -> None:
    """Watch a store until Ctrl-C or SIGTERM; as the agent, the runs that are queued for it."""
    from store.sync.agent import detach, watch_queue, watch_store

    (store, folders), *others = chosen_runs(names) if names else [(store_folder(), [])]
    if others:
        raise UsageError("--watch takes runs of one store")
    resolved = resolve_for(store.path)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    entry = remote_of(store, resolved, to)
    with (
        destination(entry, resolved, entity, project) as place,
        Progress(0, rate) as progress,
    ):

        def done(outcome: Outcome) -> None:
            if outcome.rows or outcome.error:
                word = f"{plural(outcome.rows, 'row')} sent"
                error = f": {failure(outcome.error).message}" if outcome.error else ""
                progress.note(f"{outcome.run.id}  {state_of(outcome)}, {word}{error}")

        if agent:
            detach(store.path)
            watch_queue(store, place, stop, on_outcome=done, on_failure=progress.tell_failure)
            return
        say(f"watching {store.path} for {place.remote.where}; Ctrl-C ends it")
        watch_store(
            store,
            place,
            stop,
            only={run.key for run in folders} or None,
            jobs=jobs,
            until_idle=until_idle,
            tell=progress.tell,
            on_outcome=done,
            on_failure=progress.tell_failure,
        )


def _unsent_rows(runs: Sequence[RunFolder], place: Destination) -> int:
    """As far as is known. Where runs go may have to be asked, which sending does with patience."""
    try:
        return sum(found.standing.unsent for found in plan(runs, place) if found.standing)
    except StoreError:
        return 0


def plan(runs: Sequence[RunFolder], place: Destination) -> list[Outcome]:
    """How the runs stand, as far as is known here; live runs are folded first."""
    from store.fold import fold
    from store.reading import reading
    from store.sync.cursors import standing
    from store.sync.runner import Outcome

    found: list[Outcome] = []
    for run in runs:
        target = place.target(run)
        try:
            if run.is_unfolded():
                with contextlib.suppress(StoreError, OSError):
                    fold(run, timeout=2.0)
            with reading(run) as connection:
                known = standing(connection, target)
            found.append(Outcome(run, target, 0, 0, known, False, None))
        except (StoreError, OSError) as error:
            found.append(Outcome(run, target, 0, 0, None, False, error))
    return found

"""Runner: many runs to one remote, several at once.

The remote is first asked for the positions of all runs in a few requests. What does not answer is
tried again for a while; what says no concerns its own run, unless it is the key that does not
count, which would be so for every run.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Final, NamedTuple

from store.errors import NotSignedIn, RemoteUnavailable, StoreError
from store.paths import RunFolder
from store.reading import reading
from store.settings import Resolved
from store.sync.credentials import connect, no_key
from store.sync.cursors import Standing, Target, standing
from store.sync.engine import Sent, Tell, find_unmoved, send_run
from store.sync.folder_remote import FolderRemote
from store.sync.http_remote import HttpRemote
from store.sync.receive import Positions
from store.sync.remote import Remote
from store.sync.remotes import RemoteEntry
from store.sync.retry import retrying
from store.sync.troubles import clear_trouble, note_trouble
from store.sync.wire import RunName

JOBS: Final = 4
ATTEMPTS: Final = 5


class Destination(NamedTuple):
    """Where runs go: a remote, and the entity and project there (None: those that they have)."""

    remote: Remote
    entity: str | None = None
    project: str | None = None

    def target(self, run: RunFolder) -> Target:
        """Where one run goes."""
        entity = self.entity or self.remote.entity_for(run.entity)
        return Target(self.remote.name, entity, self.project or run.project)

    def name(self, run: RunFolder) -> RunName:
        target = self.target(run)
        return RunName(target.entity, target.project, run.id)


class Outcome(NamedTuple):
    """What came of one run. `error`: why it did not go on; the standing is what is known then."""

    run: RunFolder
    target: Target
    rows: int
    files: int
    standing: Standing | None
    busy: bool
    error: Exception | None

    @property
    def is_sent(self) -> bool:
        """Whether nothing is left to send, and what is there was found equal."""
        return self.error is None and self.standing is not None and self.standing.is_sent


def open_remote(entry: RemoteEntry, resolved: Resolved | None = None) -> Remote:
    """The remote at an entry.

    Raises:
        NotSignedIn: there is no key for the server.
        UsageError, NotAllowed: the address or the key cannot be used.
    """
    if entry.folder is not None:
        return FolderRemote(entry.folder)
    assert entry.url is not None
    named = entry.origin != "remotes"
    connection = connect(entry.url, resolved, named=named)
    if not connection.has_key:
        raise no_key(entry.url, resolved)
    return HttpRemote(connection)


def send_runs(
    runs: Sequence[RunFolder],
    destination: Destination,
    *,
    jobs: int = JOBS,
    restore: bool = False,
    attempts: int | None = ATTEMPTS,
    unchanged: Container[str] = (),
    stop: threading.Event | None = None,
    tell: Tell | None = None,
    on_failure: Callable[[RemoteUnavailable, float], None] | None = None,
) -> Iterator[Outcome]:
    """Send runs, as they get done. `stop` ends each after its batch; it is set on Ctrl-C too.

    `unchanged` are the keys of those that were found in order and are as they were then: the
    remote is asked for its word on them, and nothing else is done where that is the same.

    Raises:
        NotSignedIn: the key does not count.
        RemoteUnavailable: the remote was not to be reached at all.
    """
    stop = stop or threading.Event()
    ending = threading.Event()
    asked = retrying(
        lambda: _ask(runs, destination, restore),
        sleep=stop.wait,
        attempts=attempts,
        on_failure=on_failure,
    )

    def send(run: RunFolder, positions: Positions | StoreError) -> Outcome:
        target = destination.target(run)
        known: list[Positions | StoreError | None] = [positions]

        def once() -> Sent:
            first, known[0] = known[0], None
            if run.key in unchanged and isinstance(first, dict):
                there = find_unmoved(run, destination.remote, target, first)
                if there is not None:
                    return Sent(0, 0, there)
            return send_run(
                run,
                destination.remote,
                target,
                positions=first,
                restore=restore,
                stop=lambda: stop.is_set() or ending.is_set(),
                **({"tell": tell} if tell else {}),
            )

        try:
            sent = retrying(once, sleep=stop.wait, attempts=attempts, on_failure=on_failure)
        except NotSignedIn:
            raise
        except (StoreError, sqlite3.Error, OSError) as error:
            return Outcome(run, target, 0, 0, _known(run, target), False, error)
        return Outcome(run, target, sent.rows, sent.files, sent.standing, sent.busy, None)

    calls = [partial(send, run, found) for run, found in zip(runs, asked, strict=True)]
    try:
        yield from _in_parallel(calls, jobs, stop)
    finally:
        ending.set()


def _ask(
    runs: Sequence[RunFolder], destination: Destination, restore: bool
) -> list[Positions | StoreError]:
    """Where the remote stands with all runs; whether it answers is noted in their store."""
    remote = destination.remote
    stores = {run.path.parents[2] for run in runs}
    try:
        names = [destination.name(run) for run in runs]
        found = remote.positions(names, to_send=True, restore=restore)
    except StoreError as error:
        for path in stores:
            note_trouble(path, remote.name, error.message)
        raise
    for path in stores:
        clear_trouble(path, remote.name)
    return found


def _known(run: RunFolder, target: Target) -> Standing | None:
    try:
        with reading(run) as connection:
            return standing(connection, target)
    except (StoreError, sqlite3.Error, OSError):
        return None


def _in_parallel(
    calls: Sequence[Callable[[], Outcome]], jobs: int, stop: threading.Event
) -> Iterator[Outcome]:
    """What the calls return, as they do; at most `jobs` of them at once."""
    left = iter(calls)
    underway: set[Future[Outcome]] = set()
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="runstore-sync") as pool:
        try:
            while True:
                while len(underway) < jobs and not stop.is_set():
                    call = next(left, None)
                    if call is None:
                        break
                    underway.add(pool.submit(call))
                if not underway:
                    return
                # Waited for with a time, for a thread that waits for ever takes no Ctrl-C.
                done, underway = wait(underway, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BaseException:
            # The pool's end waits for its threads, and they for the moment to try again.
            stop.set()
            raise

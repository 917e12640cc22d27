"""Watch: send what comes, as it comes.

Runs that have journals are looked into at each tick, for a row in a mapped journal changes nothing
outside. All others cost three stats, at each scan, as long as their files look as they did when
they were last in order; where there are many of them, scans are further apart (`store.sync.pace`).
The remote is asked again for everything now and then, because it may have been put back from a
backup.

A remote that does not answer is left alone for longer and longer; a run that is refused is tried
again seldom, and does not hold up the others.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from store.errors import RemoteRefused, RemoteUnavailable, StoreError
from store.fold import fold
from store.ownership import is_written, writer_life
from store.paths import RunFolder
from store.reading import reading
from store.scan import Mark, has_grown, is_quiet, is_settled, lives, scan_run
from store.shared.spills import spilled_runs
from store.sync.cursors import Target, read_cursors, standing
from store.sync.engine import SECTIONS, Tell
from store.sync.pace import LocalPace, Pace, pace_of
from store.sync.remote import Remote
from store.sync.retry import Backoff
from store.sync.runner import JOBS, Destination, Outcome, send_runs
from store.sync.wire import Batch, RunName, Section

RECHECK_SECONDS: Final = 900.0
SIGN_SECONDS: Final = 20.0
"""Between two words to the remote that a writer lives: see `store.state.SILENT_SECONDS`."""
FOLD_SECONDS: Final = 2.0
WAIT_SECONDS: Final = 1.5
"""Between two looks at whether the remote may be tried again, at most."""
REFUSED_SECONDS: Final = 300.0


class _Known:
    """What the watch remembers of a run."""

    def __init__(self) -> None:
        self.stamp: str | None = None
        self.marks: dict[str, Mark] = {}
        self.flows = False
        """The last send had rows, and the marks are of after it: what follows them is unsent."""
        self.told = 0.0
        self.backoff = Backoff(base=5.0, cap=REFUSED_SECONDS)

    @property
    def is_at_rest(self) -> bool:
        """In order, and without journals, which could go once their writer is over."""
        return self.stamp is not None and not self.marks


class Watch:
    """Sends the runs that `runs()` gives, until it is stopped or nothing is left to do."""

    def __init__(
        self,
        runs: Callable[[], Iterable[RunFolder]],
        destination: Destination,
        *,
        jobs: int = JOBS,
        tell: Tell | None = None,
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,  # noqa: ARG005
        on_failure: Callable[[RemoteUnavailable, float], None] = lambda error, wait: None,  # noqa: ARG005
    ) -> None:
        self._runs = runs
        self._destination = destination
        self._jobs = jobs
        self._tell = tell
        self._on_outcome = on_outcome
        self._on_failure = on_failure
        self._known: dict[str, _Known] = {}
        self._folders: dict[str, RunFolder] = {}
        self._pace: Pace = LocalPace()
        self._spilled: frozenset[str] = frozenset()
        self._backoff = Backoff()

    def run(self, stop: threading.Event, *, until_idle: bool = False) -> None:
        """Watch. With `until_idle` it ends when no writer lives and nothing more can be sent.

        Raises:
            NotSignedIn: the key does not count, or not any more.
        """
        scan_at = recheck_at = time.monotonic()
        while not stop.is_set():
            now, began = time.monotonic(), time.thread_time()
            is_scan = now >= scan_at
            if self._pace.is_changed() or is_scan:
                self._list()
            if not self._backoff.left:
                wanted = self._wanted(is_scan=is_scan, every=now >= recheck_at)
                if is_scan:
                    scan_at = now + self._pace.until_scan(time.thread_time() - began)
                if wanted and not self._send(wanted, stop):
                    continue
                if wanted and now >= recheck_at:
                    recheck_at = time.monotonic() + RECHECK_SECONDS
                if until_idle and not wanted and self._is_idle():
                    if is_scan:
                        return
                    scan_at = now
            self._give_signs(stop)
            stop.wait(max(self._pace.tick, min(self._backoff.left, WAIT_SECONDS)))

    # -- which ---------------------------------------------------------------------------------

    def _list(self) -> None:
        """See which runs there are."""
        self._folders = {run.key: run for run in self._runs()}
        fitting = pace_of(self._folders.values())
        if type(fitting) is not type(self._pace):
            self._pace = fitting
        self._pace.listed(self._folders.values())
        stores = {run.store_id for run in self._folders.values()}
        self._spilled = frozenset[str]().union(*map(spilled_runs, stores))

    def _wanted(self, *, is_scan: bool, every: bool) -> list[RunFolder]:
        for key in self._known.keys() - self._folders.keys():
            del self._known[key]
        for key in self._folders.keys() - self._known.keys():
            self._known[key] = _Known()
        return [
            self._folders[key]
            for key, known in self._known.items()
            if (
                is_scan
                or every
                or known.stamp is None
                or self._pace.is_due(key, has_journals=bool(known.marks))
            )
            and self._is_wanted(key, known, every)
        ]

    def _is_wanted(self, key: str, known: _Known, every: bool) -> bool:
        if known.backoff.left:
            return False
        run = self._folders[key]
        if known.flows and has_grown(run, known.marks):
            known.stamp = None
            return True
        seen = scan_run(run)
        if seen is None:
            return False
        has_journals = known.marks or key in self._spilled
        is_as_it_was = known.stamp == seen.stamp and not (
            has_journals and not is_quiet(run, known.marks, ask_lives=not run.is_shared)
        )
        if every:
            # Not looked into: where it goes, the remote may have to be asked.
            if not is_as_it_was:
                known.stamp = None
            return True
        return not is_as_it_was and self._look_into(run, known)

    def _look_into(self, run: RunFolder, known: _Known) -> bool:
        """Fold, and see whether anything is unsent; if not, remember how that looks."""
        known.stamp = None
        with contextlib.suppress(StoreError, OSError, sqlite3.Error):
            if run.is_unfolded():
                fold(run, timeout=FOLD_SECONDS)
            moment = time.time_ns()
            seen = scan_run(run)
            life = lives(run, run.segments())
            with reading(run) as connection:
                there = standing(connection, self._destination.target(run))
                bookmarks = connection.execute(
                    "SELECT uuid, segment, offset FROM source"
                ).fetchall()
            known.marks = {
                uuid: (segment, offset, life[uuid])
                for uuid, segment, offset in bookmarks
                if uuid in life
            }
            if there.unsent or there.tried is None or there.files or there.error:
                return True
            known.stamp = seen.stamp if seen and is_settled(seen, moment) else None
        return False

    def _is_idle(self) -> bool:
        return not any(is_written(run) for run in self._folders.values()) and all(
            known.stamp is not None or known.backoff.failures for known in self._known.values()
        )

    # -- sending -------------------------------------------------------------------------------

    def _send(self, runs: list[RunFolder], stop: threading.Event) -> bool:
        """Send; False when the remote does not answer."""
        failures: list[RemoteUnavailable] = []
        try:
            for outcome in send_runs(
                runs,
                self._destination,
                jobs=self._jobs,
                attempts=1,
                unchanged={run.key for run in runs if self._known[run.key].is_at_rest},
                stop=stop,
                tell=self._tell,
            ):
                self._note(outcome)
                if isinstance(outcome.error, RemoteUnavailable):
                    failures.append(outcome.error)
                else:
                    self._backoff.succeeded()
        except RemoteUnavailable as error:
            failures.append(error)
        except RemoteRefused as error:
            # Said of no run in particular: by a proxy, or a server that is just being replaced.
            failures.append(RemoteUnavailable(error.message, hint=error.hint))
        if failures:
            longest = max(failures, key=lambda error: error.retry_after or 0.0)
            self._on_failure(longest, self._backoff.failed(longest))
        return not failures

    def _note(self, outcome: Outcome) -> None:
        known = self._known.setdefault(outcome.run.key, _Known())
        known.told = time.monotonic()
        if not outcome.is_sent:
            known.stamp = None
        known.flows = bool(outcome.rows and known.marks and _move_marks(outcome.run, known))
        error = outcome.error or (outcome.standing and outcome.standing.error)
        if not error and not outcome.busy:
            known.backoff.succeeded()
        elif not isinstance(outcome.error, RemoteUnavailable):
            known.backoff.failed()
        self._on_outcome(outcome)

    def _give_signs(self, stop: threading.Event) -> None:
        """Tell the remote of writers that live and have logged nothing for a while."""
        if self._backoff.left:
            return
        for key, known in self._known.items():
            if not known.marks:
                continue
            run = self._folders.get(key)
            due = time.monotonic() - known.told > SIGN_SECONDS
            if stop.is_set() or run is None or not due or not is_written(run):
                continue
            known.told = time.monotonic()
            try:
                _send_signs(run, self._destination.remote, self._destination.target(run))
            except RemoteUnavailable as error:
                self._on_failure(error, self._backoff.failed(error))
                return
            except (StoreError, OSError, sqlite3.Error):
                known.backoff.failed()


def _move_marks(run: RunFolder, known: _Known) -> bool:
    """Set the marks to how far the journals are folded now; False where that cannot be read."""
    with contextlib.suppress(StoreError, OSError, sqlite3.Error), reading(run) as connection:
        for uuid, segment, offset in connection.execute("SELECT uuid, segment, offset FROM source"):
            if uuid in known.marks:
                known.marks[uuid] = (segment, offset, known.marks[uuid][2])
        return True
    return False


def _send_signs(run: RunFolder, remote: Remote, target: Target) -> None:
    """Tell the remote which writers of `run` live, where it has all of their rows."""
    with reading(run) as connection:
        cursors = read_cursors(connection, target)
        sources = connection.execute("SELECT uuid, kind, position FROM source").fetchall()
    sections = [
        Section(uuid, kind, position + 1, [], [], [], [], [], [], [], [], True)
        for uuid, kind, position in sources
        if cursors.get(uuid, (0, b""))[0] == position and writer_life(run, uuid) == "alive"
    ]
    if sections:
        name = RunName(target.entity, target.project, run.id)
        batch = Batch(name, run.store_id, sections[:SECTIONS])
        remote.send(batch, restore=False, progress=lambda _: None)

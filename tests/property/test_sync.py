"""Rows that are written, folded, sent, and put back in any order: in the end all have all, once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from store.errors import RemoteUnavailable
from store.fold import fold
from store.paths import create_store
from store.reading import reading
from store.row import Kind
from store.sync import engine, outgoing
from store.sync.cursors import standing
from store.sync.engine import send_run
from store.sync.receive import Positions, receive
from store.sync.remote import Acknowledged, Progress
from store.sync.wire import Batch, RunName
from store.writer import Writer, WriterOptions
from tests.helpers import problems, rows_of
from tests.sync.batches import WiredFolder, batch_of, positions, stored

NAME = RunName("local", "p", "r")
OPTIONS = WriterOptions(
    medium="write", segment_bytes=300, queue_bytes=10**6, fold_bytes=10**6, spool=None
)


class BadLine(WiredFolder):
    """A folder behind a line that loses the next batch or its answer, or brings it twice."""

    fate = ""

    def send(self, batch: Batch, *, restore: bool, progress: Progress) -> Acknowledged:
        fate, self.fate = self.fate, ""
        if fate == "lost batch":
            raise RemoteUnavailable("lost")
        answer = super().send(batch, restore=restore, progress=progress)
        if fate == "lost answer":
            raise RemoteUnavailable("lost")
        if fate == "twice":
            again = super().send(batch, restore=restore, progress=progress)
            assert again == answer
        return answer


class Syncing(RuleBasedStateMachine):
    """One run with up to two writers at a time, two folders that it goes to, copies of each."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module in (engine, outgoing):
            self.patch.setattr(module, "ROWS", 9)
        self.folder = Path(tempfile.mkdtemp())
        self.run = create_store(self.folder / "here").run(*NAME)
        self.run.path.mkdir(parents=True)
        self.remotes = [BadLine(self.folder / name) for name in ("one", "two")]
        self.writers: list[tuple[int, Writer]] = []
        self.warnings: list[str] = []
        self.logged: list[int] = []
        self.backups: dict[str, list[int]] = {}
        self.old: list[Positions] = [{}]
        self.may_be_lost: set[int] = set()

    # -- here ------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.writers) < 2)
    @rule()
    def start(self) -> None:
        writer = Writer(
            self.run,
            OPTIONS,
            lambda: {"host": "here"},
            ring=lambda: None,
            warn=lambda kind, message: self.warnings.append(message),
        )
        self.writers.append((len(self.logged), writer))
        self.logged.append(0)

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 1), rows=st.integers(1, 40))
    def log(self, which: int, rows: int) -> None:
        number, writer = self.writers[which % len(self.writers)]
        for _ in range(rows):
            writer.append(Kind.METRIC, {"w": number, "k": self.logged[number]}, None, True)
            self.logged[number] += 1

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 1), ends=st.booleans())
    def stop(self, which: int, ends: bool) -> None:
        _, writer = self.writers.pop(which % len(self.writers))
        if ends:
            assert writer.end({"state": "finished", "exit_code": 0})
        writer.release()

    @rule(durable=st.booleans())
    def fold(self, durable: bool) -> None:
        fold(self.run, timeout=10, durable=durable)

    # -- on the way ------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 1),
        fate=st.sampled_from(["", "", "lost batch", "lost answer", "twice"]),
        batches=st.sampled_from([0, 1, 2, 99]),
    )
    def send(self, which: int, fate: str, batches: int) -> None:
        remote, left = self.remotes[which], batches
        remote.fate = fate

        def stop() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        try:
            sent = send_run(self.run, remote, remote.target(self.run), stop=stop)
        except RemoteUnavailable:
            return
        finally:
            remote.fate = ""
        if batches == 99:
            assert sent.standing.unsent == 0
        assert sent.standing.differing == ()
        assert sent.standing.refused == 0

    @rule(which=st.integers(0, 1))
    def remember_the_answer(self, which: int) -> None:
        self.old.append(positions(self.remotes[which].copy_of(self.run)))

    @rule(which=st.integers(0, 1), old=st.integers(0, 9))
    def send_with_an_old_answer(self, which: int, old: int) -> None:
        remote = self.remotes[which]
        said = self.old[old % len(self.old)]
        sent = send_run(self.run, remote, remote.target(self.run), positions=said)
        assert sent.standing.refused == 0

    @rule(there=st.integers(0, 1))
    def send_from_one_folder_to_the_other(self, there: int) -> None:
        middle, remote = self.remotes[1 - there].copy_of(self.run), self.remotes[there]
        if middle.database.exists():
            sent = send_run(middle, remote, remote.target(middle))
            assert sent.standing.unsent == 0

    # -- copies ----------------------------------------------------------------------------------

    @precondition(lambda self: not self.writers)
    @rule(what=st.sampled_from(["here", "one", "two"]))
    def back_up(self, what: str) -> None:
        shutil.rmtree(self.folder / f"{what}.old", ignore_errors=True)
        shutil.copytree(self.folder / what, self.folder / f"{what}.old")
        self.backups[what] = list(self.logged)

    @precondition(lambda self: not self.writers and self.backups)
    @rule(what=st.sampled_from(["here", "one", "two"]))
    def put_back(self, what: str) -> None:
        if what not in self.backups:
            return
        if what == "here":
            known = self.backups[what]
            self.may_be_lost |= {
                number
                for number, count in enumerate(self.logged)
                if number >= len(known) or known[number] < count
            }
        shutil.rmtree(self.folder / what)
        shutil.copytree(self.folder / f"{what}.old", self.folder / what)

    @rule(which=st.integers(0, 1))
    def pull(self, which: int) -> None:
        remote = self.remotes[which]
        if remote.copy_of(self.run).database.exists():
            for section in remote.fetch(NAME, positions(self.run)):
                assert receive(self.run, batch_of(section)).refused == []

    @invariant()
    def nothing_was_held_back(self) -> None:
        assert self.warnings == []

    def teardown(self) -> None:
        try:
            for _, writer in self.writers:
                writer.release()
            self.everything_comes_together()
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)

    def everything_comes_together(self) -> None:
        fold(self.run, timeout=10)
        # What only a folder has comes back first: the run here may be an older copy of itself.
        for which in (0, 1):
            self.pull(which)
        for remote in self.remotes:
            sent = send_run(self.run, remote, remote.target(self.run))
            assert sent.standing.is_synced
            assert positions(remote.copy_of(self.run)) == positions(self.run)
            assert stored(remote.copy_of(self.run)) == stored(self.run)
            assert problems(remote.store) == []
        assert problems(self.folder / "here") == []
        found: dict[int, list[int]] = {}
        for row in rows_of(self.run):
            found.setdefault(row.data["w"], []).append(row.data["k"])
        for number, count in enumerate(self.logged):
            counts = found.get(number, [])
            assert counts == list(range(len(counts)))
            assert len(counts) == count or number in self.may_be_lost
        with reading(self.run) as connection:
            for remote in self.remotes:
                assert standing(connection, remote.target(self.run)).is_synced


TestSyncing = Syncing.TestCase
TestSyncing.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)

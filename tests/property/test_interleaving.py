"""Any interleaving of writing, folding, killing and starting again loses and doubles nothing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from store.database import RunDatabase
from store.fold import fold
from store.paths import create_store
from store.row import Kind
from store.writer import Writer, WriterOptions
from tests.helpers import problems, rows_of


class Interleaving(RuleBasedStateMachine):
    """Up to three writers of one run at a time; a killed one lets go of its lock without END."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = create_store(self.folder / "store")
        self.run = self.store.run("local", "p", "r")
        self.run.path.mkdir(parents=True)
        self.writers: list[tuple[int, Writer]] = []
        self.warnings: list[str] = []
        self.logged: dict[int, int] = {}
        self.kept: RunDatabase | None = None

    @precondition(lambda self: len(self.writers) < 3)
    @rule(medium=st.sampled_from(["mmap", "write"]), segment=st.sampled_from([60, 300, 10**6]))
    def start(self, medium: str, segment: int) -> None:
        options = WriterOptions(
            medium=medium, segment_bytes=segment, queue_bytes=10**6, fold_bytes=10**6, spool=None
        )
        writer = Writer(
            self.run,
            options,
            lambda: {"host": "here"},
            ring=lambda: None,
            warn=lambda kind, message: self.warnings.append(message),
        )
        self.writers.append((len(self.logged), writer))
        self.logged[len(self.logged)] = 0

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 2), rows=st.integers(1, 12))
    def log(self, which: int, rows: int) -> None:
        number, writer = self.writers[which % len(self.writers)]
        for _ in range(rows):
            writer.append(Kind.METRIC, {"w": number, "k": self.logged[number]}, None, True)
            self.logged[number] += 1

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 2))
    def tend(self, which: int) -> None:
        self.writers[which % len(self.writers)][1].prepare()

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 2))
    def kill(self, which: int) -> None:
        self.writers.pop(which % len(self.writers))[1].release()

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 2))
    def end(self, which: int) -> None:
        _, writer = self.writers.pop(which % len(self.writers))
        assert writer.end({"state": "finished", "exit_code": 0})
        writer.release()

    @rule(durable=st.booleans())
    def fold(self, durable: bool) -> None:
        fold(self.run, timeout=10, durable=durable)

    @rule()
    def fold_with_a_kept_connection(self) -> None:
        if self.kept is None:
            self.kept = RunDatabase(self.run.database)
        fold(self.run, timeout=10, database=self.kept)

    @rule()
    def everything_is_there_once(self) -> None:
        found: dict[int, list[int]] = {}
        for row in rows_of(self.run):
            found.setdefault(row.data["w"], []).append(row.data["k"])
        assert found == {w: list(range(count)) for w, count in self.logged.items() if count}

    @invariant()
    def nothing_was_held_back(self) -> None:
        assert self.warnings == []

    def teardown(self) -> None:
        for _, writer in self.writers:
            writer.release()
        if self.kept is not None:
            self.kept.close()
        self.everything_is_there_once()
        assert list(self.run.journals.glob("*")) == []
        assert problems(self.store) == []
        shutil.rmtree(self.folder)


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)

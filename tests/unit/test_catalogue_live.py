"""The catalogue while others write: journals, locks, deaths."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from store.catalogue import Catalogue
from store.journal import create_journal
from store.locks import run_lock
from store.paths import RunFolder, StoreFolder
from store.row import Kind, Row, pack_row
from store.shared.spills import add_spill_folder
from tests.stored_runs import BEGAN, absorb, leave_journal, metric, only_line, rows_of

WRITE = """
import sys
from pathlib import Path
from store.paths import RunFolder
from store.writer import Writer, WriterOptions

folder = RunFolder(Path(sys.argv[1]))
options = WriterOptions(sys.argv[2], 2**26, 2**26, 2**20, None)
writer = Writer(
    folder, options, lambda: {"host": "here", "pid": 1, "label": None},
    ring=lambda: None, warn=print,
)
for line in sys.stdin:
    writer.append(3, {"loss": float(line)}, None, True)
    print("written", flush=True)
writer.end({"state": "finished", "exit_code": 0})
writer.release()
"""


def start_writer(run: RunFolder, medium: str = "auto") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, str(run.path), medium],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def write(writer: subprocess.Popen[str], value: float) -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{value}\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "written\n"


@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_rows_in_a_living_writers_journal_are_seen_at_once(store: StoreFolder, medium: str) -> None:
    run = store.run("local", "p", "live")
    catalogue = Catalogue(store)
    writer = start_writer(run, medium)
    for value in (3.0, 2.0, 1.0):
        write(writer, value)
        line = only_line(catalogue)
        assert (json.loads(line.summary), line.state, line.ended) == (
            {"loss": value},
            "running",
            None,
        )
        assert catalogue.writers(line.n)[0].alive
    unchanged = only_line(catalogue)
    assert unchanged.version == line.version
    assert unchanged.size > run.database.stat().st_size
    writer.communicate()
    line = only_line(catalogue)
    assert (line.state, line.marks, line.rows) == ("finished", None, 5)
    assert not catalogue.writers(line.n)[0].alive


def test_a_killed_writer_shows_as_crashed_with_all_its_rows(store: StoreFolder) -> None:
    run = store.run("local", "p", "killed")
    catalogue = Catalogue(store)
    writer = start_writer(run)
    write(writer, 3.0)
    assert only_line(catalogue).state == "running"
    before = only_line(catalogue)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    after = only_line(catalogue)
    assert after.state == "crashed"
    assert (after.version, after.rows, after.ended) == (before.version, 2, after.updated)
    assert run.segments() == {}


def test_a_run_that_another_process_holds_is_stale_and_answered_from_what_is_folded(
    store: StoreFolder,
) -> None:
    runs = [
        absorb(store.run("local", "p", f"r{i}"), rows_of(metric(0, {"loss": 1.0}), state=None))
        for i in range(3)
    ]
    for run in runs:
        leave_journal(run, [Row(3, int(Kind.METRIC), 1, BEGAN + 3, {"loss": 0.5})], "a" * 32)
    code = (
        "import sys; from filelock import FileLock\n"
        "locks = [FileLock(p) for p in sys.argv[1:]]\n"
        "[lock.acquire() for lock in locks]; print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, *(str(run.lock) for run in runs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    catalogue = Catalogue(store)
    began = time.monotonic()
    assert sorted(catalogue.refresh(0.5)) == [run.key for run in runs]
    waited = time.monotonic() - began
    assert waited >= 0.5
    assert [json.loads(line.summary) for line in catalogue.lines()] == [{"loss": 1.0}] * 3
    assert {line.state for line in catalogue.lines()} == {"running"}
    holder.communicate()
    assert catalogue.refresh() == []
    assert [json.loads(line.summary) for line in catalogue.lines()] == [{"loss": 0.5}] * 3


def test_a_lock_that_a_thread_of_this_process_holds_makes_a_run_stale_too(
    store: StoreFolder,
) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, {"loss": 1.0}), state=None))
    run.journals.mkdir()
    create_journal(run.journal("b" * 32, 1), "write").close(trim=True)
    catalogue = Catalogue(store)
    found: list[list[str]] = []
    with run_lock(run.lock).hold(1.0):
        thread = threading.Thread(target=lambda: found.append(catalogue.refresh(0.1)))
        thread.start()
        thread.join()
    assert found == [[run.key]]


def test_spilled_journals_are_found(store: StoreFolder, tmp_path: Path) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, {"loss": 1.0}), state=None))
    run = RunFolder(run.path, store)
    catalogue = Catalogue(store)
    only_line(catalogue)
    folder = add_spill_folder(run, tmp_path / "spool")
    journal = create_journal(folder / f"{'a' * 32}.1.journal", "write")
    journal.append(pack_row(3, Kind.METRIC, 1, BEGAN + 3, {"loss": 0.5}))
    journal.close(trim=True)
    assert json.loads(only_line(catalogue).summary) == {"loss": 0.5}

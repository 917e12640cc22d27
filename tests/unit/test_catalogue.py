"""The catalogue follows the runs, survives anything, and never fails a listing."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from store.cache import cache_file
from store.catalogue import _FORM, Catalogue
from store.database import RunDatabase
from store.errors import RunNotFound
from store.journal import create_journal
from store.locks import run_lock
from store.outline import RunLine
from store.paths import RunFolder, StoreFolder, create_store
from store.row import DELETED, Kind, Row, pack_row

BEGAN = 1_700_000_000.0

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

LIST = """
import json, sys
from pathlib import Path
from store.catalogue import Catalogue
from store.paths import StoreFolder

sys.stdin.readline()
catalogue = Catalogue(StoreFolder(Path(sys.argv[1])))
stale = catalogue.refresh(30.0)
rows = [line._replace(n=0, stamp="", size=0) for line in catalogue.lines()]
print(json.dumps([rows, stale, [len(catalogue.metric_keys(l)) for l in catalogue.lines()]]))
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreFolder:
    monkeypatch.setenv("STORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return create_store(tmp_path / ".store")


def rows_of(*said: tuple[int, int, dict[str, object]], state: str | None = "finished") -> list[Row]:
    opening = {"host": "node", "pid": 7, "label": None, "parent": None}
    rows = [Row(1, int(Kind.OPEN), 0, BEGAN, opening)]
    for number, (kind, step, data) in enumerate(said, 2):
        rows.append(Row(number, int(kind), step, BEGAN + number, data))
    if state is not None:
        end = {"state": state, "exit_code": 0}
        rows.append(Row(len(rows) + 1, int(Kind.END), 0, BEGAN + 100, end))
    return rows


def absorb(run: RunFolder, rows: list[Row], uuid: str = "a" * 32) -> RunFolder:
    run.path.mkdir(parents=True, exist_ok=True)
    database = RunDatabase(run.database)
    database.absorb(uuid, rows)
    database.close()
    return run


def metric(step: int, **values: object) -> tuple[int, int, dict[str, object]]:
    return (Kind.METRIC, step, dict(values))


def only(catalogue: Catalogue) -> RunLine:
    assert catalogue.refresh() == []
    (line,) = catalogue.lines()
    return line


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


def test_a_line_says_what_the_database_holds(store: StoreFolder) -> None:
    run = store.run("Team A", "vision", "r1")
    attributes = {
        "name": "brave-sun-1",
        "tags": ["x", "y"],
        "notes": "good",
        "group": "g",
        "job_type": "train",
        "git": {"commit": "c0ffee"},
        "command": ["python", "train it.py"],
    }
    refused = {"type": "refused", "counts": {"sets": 2}}
    absorb(
        run,
        rows_of(
            (Kind.ATTRIBUTE, 0, attributes),
            (Kind.CONFIG, 0, {"lr": 0.1, "model": {"depth": 3, "wide": True}, "none": None}),
            (Kind.EVENT, 0, refused),
            (Kind.EVENT, 0, {"type": "refused", "counts": {"sets": 3, "functions": 1}}),
            metric(0, loss=2.0),
            metric(5, loss=1.0, acc=3),
            (Kind.CONSOLE, 0, {"stream": "stdout", "text": "hello"}),
        ),
    )
    catalogue = Catalogue(store)
    line = only(catalogue)
    assert (line.key, line.path) == (run.key, "Team A/vision/r1")
    assert (line.name, line.state, line.host) == ("brave-sun-1", "finished", "node")
    assert (line.created, line.updated, line.ended) == (BEGAN, BEGAN + 100, BEGAN + 100)
    assert (line.rows, line.steps, line.points, line.writers, line.stubs) == (9, 5, 3, 1, 0)
    assert json.loads(line.refused) == {"sets": 3, "functions": 1}
    assert json.loads(line.config)["model"] == {"depth": 3, "wide": True}
    assert json.loads(line.summary) == {"acc": 3, "loss": 1.0}
    assert (line.group, line.job_type, line.notes) == ("g", "train", "good")
    assert json.loads(line.tags) == ["x", "y"]
    assert (line.commit, line.command) == ("c0ffee", "python 'train it.py'")
    assert (line.has_console, line.has_files) == (1, 0)
    assert line.size == run.database.stat().st_size
    keys = {found.key: found for found in catalogue.metric_keys(line)}
    assert (keys["loss"].least, keys["loss"].greatest, keys["loss"].points) == (1.0, 2.0, 2)
    flat = catalogue.connection.execute("SELECT key, value, type FROM config_key ORDER BY key")
    assert flat.fetchall() == [
        ("lr", 0.1, "float"),
        ("model.depth", 3, "int"),
        ("model.wide", 1, "bool"),
        ("none", None, "null"),
    ]
    (writer,) = catalogue.writers(line.n)
    assert (writer.writer, writer.state, writer.alive) == ("node:7", "finished", False)
    catalogue.close()


def test_refused_counts_of_several_writers_add_up(store: StoreFolder) -> None:
    run = store.run("local", "p", "r")
    for uuid, count in (("a" * 32, 2), ("b" * 32, 5)):
        said = {"type": "refused", "counts": {"sets": count}}
        absorb(run, rows_of((Kind.EVENT, 0, said)), uuid)
    assert json.loads(only(Catalogue(store)).refused) == {"sets": 7}


def test_definitions_decide_what_the_summary_shows(store: StoreFolder) -> None:
    definitions = {
        "define/min": {"step_metric": None, "summary": "min"},
        "define/max": {"step_metric": None, "summary": "max"},
        "define/mean": {"step_metric": None, "summary": "mean"},
        "define/first": {"step_metric": None, "summary": "first"},
        "define/hidden/*": {"step_metric": None, "summary": "none"},
        "define/hidden/seen": {"step_metric": None, "summary": "last"},
        "define/chosen": {"step_metric": None, "summary": "min"},
    }
    names = ("min", "max", "mean", "first", "hidden/a", "hidden/seen", "chosen", "gone", "plain")
    absorb(
        store.run("local", "p", "r"),
        rows_of(
            *(metric(step, **dict.fromkeys(names, value)) for step, value in ((3, 0.1), (1, 0.2))),
            metric(2, **dict.fromkeys(names, 0.3)),
            metric(4, mean=math.nan, min=math.nan),
            (Kind.ATTRIBUTE, 0, definitions),
            (Kind.SUMMARY, 0, {"chosen": 9, "gone": DELETED}),
        ),
    )
    catalogue = Catalogue(store)
    line = only(catalogue)
    assert json.loads(line.summary) == {
        "min": 0.1,
        "max": 0.3,
        "mean": math.fsum((0.1, 0.2, 0.3)) / 3,
        "first": 0.2,
        "hidden/seen": 0.3,
        "chosen": 9,
        "plain": 0.3,
    }
    logged = {found.key for found in catalogue.metric_keys(line)}
    assert logged == set(names)


def test_nan_in_the_summary_is_told_apart_from_none(store: StoreFolder) -> None:
    absorb(
        store.run("local", "p", "r"),
        rows_of(metric(0, loss=math.nan, wide=math.inf), (Kind.SUMMARY, 0, {"best": None})),
    )
    line = only(Catalogue(store))
    assert json.loads(line.nan) == ["loss"]
    assert json.loads(line.summary) == {"best": None, "loss": None, "wide": math.inf}


def test_unchanged_runs_are_not_opened_again(store: StoreFolder) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, loss=1.0)))
    old = time.time() - 100
    os.utime(run.database, (old, old))
    catalogue = Catalogue(store)
    before = only(catalogue)
    # Only a run that is not opened can be listed without its database being one.
    stamp = run.database.stat()
    run.database.write_bytes(bytes(stamp.st_size))
    os.utime(run.database, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert only(catalogue) == before
    assert catalogue.is_current(before)


def test_a_stamp_of_this_very_moment_is_not_trusted(store: StoreFolder) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, loss=1.0), state=None))
    ahead = time.time() + 1000
    os.utime(run.database, (ahead, ahead))
    catalogue = Catalogue(store)
    first = only(catalogue)
    absorb(run, [Row(3, int(Kind.METRIC), 1, BEGAN + 3, {"loss": 0.5})])
    os.utime(run.database, (ahead, ahead))
    assert json.loads(only(catalogue).summary) == {"loss": 0.5}
    assert not catalogue.is_current(first)


def test_numbers_stay_while_rows_stay_and_change_with_them(store: StoreFolder) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, loss=1.0), state=None))
    catalogue = Catalogue(store)
    first = only(catalogue)
    os.utime(run.database, (1.5, 1.5))
    assert only(catalogue).n == first.n
    absorb(run, [Row(3, int(Kind.METRIC), 1, BEGAN + 3, {"loss": 0.5, "new": 1.0})])
    second = only(catalogue)
    assert second.n != first.n
    assert [found.key for found in catalogue.metric_keys(second)] == ["loss", "new"]
    assert catalogue.metric_keys(first) == []


def test_a_removed_run_leaves_nothing_behind(store: StoreFolder) -> None:
    for name in ("r1", "r2"):
        absorb(store.run("local", "p", name), rows_of((Kind.CONFIG, 0, {"a": 1}), metric(0, x=1)))
    catalogue = Catalogue(store)
    catalogue.refresh()
    shutil.rmtree(store.run("local", "p", "r1").path)
    assert only(catalogue).id == "r2"
    for table in ("metric_key", "config_key", "writer"):
        assert {run for (run,) in catalogue.connection.execute(f"SELECT run FROM {table}")} == {
            "r2"
        }
    shutil.rmtree(store.run("local", "p", "r2").path)
    catalogue.refresh(only=store.run("local", "p", "r2").key)
    assert catalogue.lines() == []


@pytest.mark.parametrize("content", [b"this is no database" * 500, None])
def test_a_damaged_run_is_listed_as_damaged(store: StoreFolder, content: bytes | None) -> None:
    absorb(store.run("local", "p", "good"), rows_of(metric(0, loss=1.0)))
    bad = absorb(store.run("local", "p", "bad"), rows_of(*(metric(i, x=i) for i in range(500))))
    if content is None:
        whole = bad.database.read_bytes()
        content = whole[:4096] + b"\xff" * (len(whole) - 4096)
    bad.database.write_bytes(content)
    catalogue = Catalogue(store)
    assert catalogue.refresh() == []
    lines = {line.id: line for line in catalogue.lines()}
    assert lines["good"].state == "finished"
    assert lines["bad"].state == "damaged"
    assert lines["bad"].error


def test_a_run_of_a_later_version_is_listed_with_the_reason(store: StoreFolder) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of())
    connection = sqlite3.connect(run.database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    line = only(Catalogue(store))
    assert line.state == "damaged"
    assert "99" in str(line.error)


@pytest.mark.parametrize("how", ["deleted", "garbage", "damaged", "emptied", "other form"])
def test_a_broken_cache_is_made_anew(store: StoreFolder, how: str) -> None:
    for number in range(30):
        said = metric(0, **{f"m{i}": 1.0 for i in range(30)})
        absorb(store.run("local", "p", f"r{number:02}"), rows_of(said))
    catalogue = Catalogue(store)
    catalogue.refresh()
    expected = [line._replace(n=0, stamp="") for line in catalogue.lines()]
    catalogue.close()
    file = cache_file(store, _FORM)
    assert file is not None
    if how == "deleted":
        file.unlink()
    elif how == "garbage":
        file.write_bytes(b"garbage" * 1000)
    elif how == "damaged":
        file.write_bytes(file.read_bytes()[:4096] + b"\x55" * 50_000)
    elif how == "emptied":
        file.write_bytes(b"")
    else:
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("DROP TABLE run")
        connection.close()
    again = Catalogue(store)
    assert again.refresh() == []
    assert [line._replace(n=0, stamp="") for line in again.lines()] == expected
    again.close()


def test_without_any_place_for_a_file_the_catalogue_is_in_memory(
    store: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = store.path / "store.json" / "below-a-file"
    for variable in ("STORE_CACHE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(nowhere))
    monkeypatch.setattr("tempfile.tempdir", str(nowhere))
    absorb(store.run("local", "p", "r"), rows_of())
    assert cache_file(store, _FORM) is None
    assert only(Catalogue(store)).id == "r"


def test_a_folder_in_the_temporary_directory_that_others_may_write_is_not_used(
    store: StoreFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = store.path / "store.json" / "below-a-file"
    for variable in ("STORE_CACHE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(nowhere))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = cache_file(store, _FORM)
    assert file is not None
    file.parent.chmod(0o777)
    assert cache_file(store, _FORM) is None


def test_two_stores_do_not_share_a_cache_file(store: StoreFolder, tmp_path: Path) -> None:
    other = tmp_path / "copy" / ".store"
    shutil.copytree(store.path, other)
    assert StoreFolder(other).id == store.id
    assert cache_file(StoreFolder(other), _FORM) != cache_file(store, _FORM)


@pytest.mark.parametrize("medium", ["mmap", "write"])
def test_rows_in_a_living_writers_journal_are_seen_at_once(store: StoreFolder, medium: str) -> None:
    run = store.run("local", "p", "live")
    catalogue = Catalogue(store)
    writer = start_writer(run, medium)
    for value in (3.0, 2.0, 1.0):
        write(writer, value)
        line = only(catalogue)
        assert (json.loads(line.summary), line.state, line.ended) == (
            {"loss": value},
            "running",
            None,
        )
        assert catalogue.writers(line.n)[0].alive
    unchanged = only(catalogue)
    assert unchanged.n == line.n
    assert unchanged.size > run.database.stat().st_size
    writer.communicate()
    line = only(catalogue)
    assert (line.state, line.marks, line.rows) == ("finished", None, 5)
    assert not catalogue.writers(line.n)[0].alive


def test_a_killed_writer_shows_as_crashed_with_all_its_rows(store: StoreFolder) -> None:
    run = store.run("local", "p", "killed")
    catalogue = Catalogue(store)
    writer = start_writer(run)
    write(writer, 3.0)
    assert only(catalogue).state == "running"
    before = only(catalogue)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    after = only(catalogue)
    assert after.state == "crashed"
    assert (after.n, after.rows, after.ended) == (before.n, 2, after.updated)
    assert run.segments() == {}


def test_a_run_that_another_process_holds_is_stale_and_answered_from_what_is_folded(
    store: StoreFolder,
) -> None:
    runs = [
        absorb(store.run("local", "p", f"r{i}"), rows_of(metric(0, loss=1.0), state=None))
        for i in range(3)
    ]
    for run in runs:
        run.journals.mkdir()
        journal = create_journal(run.journal("a" * 32, 1), "write")
        journal.append(pack_row(3, Kind.METRIC, 1, BEGAN + 3, {"loss": 0.5}))
        journal.close(trim=True)
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
    import threading

    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, loss=1.0), state=None))
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
    from store.paths import add_spill_folder

    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, loss=1.0), state=None))
    run = RunFolder(run.path, store.id)
    catalogue = Catalogue(store)
    only(catalogue)
    folder = add_spill_folder(run, tmp_path / "spool")
    journal = create_journal(folder / f"{'a' * 32}.1.journal", "write")
    journal.append(pack_row(3, Kind.METRIC, 1, BEGAN + 3, {"loss": 0.5}))
    journal.close(trim=True)
    assert json.loads(only(catalogue).summary) == {"loss": 0.5}


def test_several_processes_build_the_same_catalogue_at_once(store: StoreFolder) -> None:
    for number in range(40):
        run = store.run("local", f"p{number % 3}", f"r{number:02}")
        run.journals.mkdir(parents=True)
        journal = create_journal(run.journal(f"{number:032}", 1), "write")
        for row in rows_of(*(metric(i, loss=i, acc=1) for i in range(50))):
            journal.append(pack_row(*row))
        journal.close(trim=True)
    listers = [
        subprocess.Popen(
            [sys.executable, "-c", LIST, str(store.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for lister in listers:
        assert lister.stdin is not None
        lister.stdin.write("go\n")
        lister.stdin.flush()
    answers = [json.loads(lister.communicate()[0]) for lister in listers]
    assert [lister.returncode for lister in listers] == [0] * 4
    rows, stale, counts = answers[0]
    assert (len(rows), stale, counts) == (40, [], [2] * 40)
    assert {row[6] for row in rows} == {"finished"}
    for answer in answers[1:]:
        assert answer == answers[0]


def test_after_a_fork_the_child_has_a_connection_of_its_own(store: StoreFolder) -> None:
    absorb(store.run("local", "p", "r"), rows_of())
    catalogue = Catalogue(store)
    only(catalogue)
    mine = catalogue.connection
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        ok = catalogue.connection is not mine and only(catalogue).id == "r"
        os.write(writer, b"1" if ok else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"
    assert catalogue.connection is mine
    os.close(reader)
    os.close(writer)


def test_a_name_finds_a_run_by_id_then_name_then_the_beginning_of_an_id(store: StoreFolder) -> None:
    def run(project: str, run_id: str, name: str) -> None:
        absorb(store.run("local", project, run_id), rows_of((Kind.ATTRIBUTE, 0, {"name": name})))

    run("p", "abc", "first")
    run("p", "abcdef", "abc")
    run("q", "zyx", "twin")
    run("p", "xyz", "twin")
    run("q", "same", "one")
    run("p", "same", "two")
    catalogue = Catalogue(store)
    catalogue.refresh()
    assert catalogue.find("abc").id == "abc"
    assert catalogue.find("first").id == "abc"
    assert catalogue.find("abcd").id == "abcdef"
    assert catalogue.find("local/q/same").name == "one"
    assert catalogue.find(str(store.run("local", "p", "same").path)).name == "two"
    assert catalogue.find(str(store.run("local", "p", "same").database)).name == "two"
    for ambiguous, candidates in (
        ("twin", {"local/q/zyx", "local/p/xyz"}),
        ("same", {"local/q/same", "local/p/same"}),
        ("a", {"local/p/abc", "local/p/abcdef"}),
    ):
        with pytest.raises(RunNotFound) as caught:
            catalogue.find(ambiguous)
        assert set(caught.value.candidates) == candidates
    for unknown in ("nothing", "", "%", "local/q/nothing", "/nowhere"):
        with pytest.raises(RunNotFound) as caught:
            catalogue.find(unknown)
        assert caught.value.candidates == ()

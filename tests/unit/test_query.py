"""Reading runs from Python."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import RunDatabase
from store.errors import RunNotFound, StoreCorrupt, StoreNotFound, UsageError
from store.locks import run_lock
from store.paths import RunFolder, StoreFolder, create_store
from store.query import Store, StoredRun, open_store
from store.row import Kind, Row
from tests.stored_runs import BEGAN, Said, absorb, leave_journal, metric, rows_of


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    return create_store(tmp_path / ".store")


def add(
    run: RunFolder, *said: Said, uuid: str = "a" * 32, at: float = BEGAN, label: str | None = None
) -> RunFolder:
    """One writer of a run that has ended."""
    return absorb(run, rows_of(*said, at=at, label=label), uuid)


def define(name: str, step_metric: str | None = None, summary: str | None = None) -> Said:
    return (
        Kind.ATTRIBUTE,
        0,
        {f"define/{name}": {"step_metric": step_metric, "summary": summary}},
    )


def read(folder: StoreFolder, name: str = "r") -> StoredRun:
    return Store(folder).runs[name]


def test_a_run_as_python_sees_it(folder: StoreFolder) -> None:
    add(
        folder.run("team", "vision", "r"),
        (Kind.ATTRIBUTE, 0, {"name": "sun-1", "tags": ["a"], "notes": "n", "group": "g"}),
        (Kind.CONFIG, 0, {"lr": 0.1, "net": {"depth": 2}}),
        metric(0, {"loss": 2.0, "acc": 1}),
        metric(1, {"loss": math.nan}),
        (Kind.CONSOLE, 1, {"stream": "stdout", "text": "hello"}),
        (Kind.EVENT, 1, {"type": "alert", "title": "hot"}),
        (Kind.FILE, 1, {"a/b.txt": {"size": 3, "sha256": "00"}, "../up": {"size": 1}}),
    )
    with open_store(folder.path) as store:
        run = store.runs["r"]
        assert (run.entity, run.project, run.id, run.name) == ("team", "vision", "r", "sun-1")
        assert (run.path, run.dir) == ("team/vision/r", folder.run("team", "vision", "r").path)
        assert (run.state, run.tags, run.notes, run.group, run.job_type) == (
            *("finished", ("a",), "n", "g"),
            None,
        )
        assert run.config == {"lr": 0.1, "net": {"depth": 2}}
        assert run.attributes["name"] == "sun-1"
        assert run.summary["acc"] == 1
        assert math.isnan(run.summary["loss"])
        assert run.keys() == ["acc", "loss"]
        assert [(line.stream, line.text, line.writer) for line in run.console()] == [
            ("stdout", "hello", "node:7")
        ]
        kinds = ["open", "attribute", "config", "event", "file", "end"]
        assert [event.kind for event in run.events()] == kinds
        assert run.events()[3].data == {"type": "alert", "title": "hot"}
        assert [(f.name, f.size, f.path) for f in run.files()] == [
            ("../up", 1, None),
            ("a/b.txt", 3, run.dir / "files" / "a" / "b.txt"),
        ]
        (writer,) = run.writers()
        assert (writer.writer, writer.rows, writer.state) == ("node:7", 9, "finished")


def test_runs_can_be_counted_walked_through_and_looked_up(folder: StoreFolder) -> None:
    for number in range(3):
        add(folder.run("local", "p", f"r{number}"), at=BEGAN + 1000 * number)
    store = Store(folder)
    assert len(store.runs) == 3
    assert [run.id for run in store.runs] == ["r2", "r1", "r0"]
    assert "r1" in store.runs
    assert "r" in store.runs
    assert "x" not in store.runs
    with pytest.raises(RunNotFound) as caught:
        store.runs["r"]
    assert set(caught.value.candidates) == {"local/p/r0", "local/p/r1", "local/p/r2"}


def test_opening_a_folder_without_a_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        open_store(tmp_path)


def test_the_store_is_found_through_the_environment(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_DIR", str(folder.path))
    assert open_store().id == folder.id


def test_a_series_keeps_nan_infinities_and_integers(folder: StoreFolder) -> None:
    values: list[object] = [1, 0.5, math.nan, math.inf, -math.inf, True]
    add(folder.run("local", "p", "r"), *(metric(s, {"v": v}) for s, v in enumerate(values)))
    series = read(folder).series("v")
    assert series.steps == array("q", range(6))
    assert series.times == array("d", [BEGAN + 2 + i for i in range(6)])
    assert list(map(repr, series.values)) == ["1.0", "0.5", "nan", "inf", "-inf", "1.0"]
    assert series.values.typecode == "d"
    assert (series.x, series.x_name) == (series.steps, "step")
    steps, numbers = series.numpy()
    assert (steps.dtype, numbers.dtype) == ("int64", "float64")
    assert steps.tolist() == series.steps.tolist()


def test_a_series_that_was_never_logged_is_empty(folder: StoreFolder) -> None:
    add(folder.run("local", "p", "r"), metric(0, {"v": 1, "text": "words"}))
    assert len(read(folder).series("nothing")) == 0
    assert len(read(folder).series("text")) == 0


def test_a_series_is_in_the_order_of_steps_and_times(folder: StoreFolder) -> None:
    run = folder.run("local", "p", "r")
    add(run, *(metric(s, {"v": s * 10.0}) for s in (5, 1, 3, 3)))
    assert list(read(folder).series("v")) == [(1, 10.0), (3, 30.0), (3, 30.0), (5, 50.0)]
    add(run, metric(3, {"v": -1.0}), metric(4, {"v": -2.0}), uuid="b" * 32, at=BEGAN - 50)
    steps = [(1, 10.0), (3, -1.0), (3, 30.0), (3, 30.0), (4, -2.0), (5, 50.0)]
    assert list(read(folder).series("v")) == steps


def test_a_long_series_of_one_writer_equals_what_was_logged(folder: StoreFolder) -> None:
    logged = [(step, math.sin(step)) for step in range(3000)]
    add(folder.run("local", "p", "r"), *(metric(s, {"v": v, "w": 1.0}) for s, v in logged))
    assert list(read(folder).series("v")) == logged


def test_a_series_of_one_writer_only(folder: StoreFolder) -> None:
    run = folder.run("local", "p", "r")
    for rank in range(3):
        said = [metric(step, {"v": float(rank)}) for step in range(2)]
        add(run, *said, uuid=str(rank) * 32, label=f"rank-{rank}", at=BEGAN + rank)
    stored = read(folder)
    assert list(stored.series("v", writer="rank-1")) == [(0, 1.0), (1, 1.0)]
    assert list(stored.series("v", writer="2" * 32)) == [(0, 2.0), (1, 2.0)]
    assert len(stored.series("v")) == 6
    with pytest.raises(UsageError, match="rank-0"):
        stored.series("v", writer="rank-9")


def test_x_is_the_step_metric_of_the_same_step_or_the_last_one_before(folder: StoreFolder) -> None:
    run = folder.run("local", "p", "r")
    add(
        run,
        define("val/*", step_metric="epoch"),
        metric(0, {"val/acc": 0.1}),
        metric(1, {"epoch": 1}),
        metric(1, {"val/acc": 0.2}),
        metric(2, {"val/acc": 0.3}),
        metric(3, {"val/acc": 0.4}),
        metric(3, {"epoch": 2}),
        label="a",
    )
    add(run, metric(9, {"val/acc": 0.5, "epoch": 7}), uuid="b" * 32, label="b")
    series = read(folder).series("val/acc")
    assert series.x_name == "epoch"
    assert list(series.steps) == [0, 1, 2, 3, 9]
    assert list(map(repr, series.x)) == ["nan", "1.0", "1.0", "2.0", "7.0"]
    assert list(read(folder).series("val/acc", writer="b").x) == [7.0]


def test_history_joins_the_frames_of_a_step_but_not_a_step_logged_twice(
    folder: StoreFolder,
) -> None:
    run = folder.run("local", "p", "r")
    table = {"_type": "table", "rows": [1]}
    add(
        run,
        metric(0, {"loss": 1.0, "step": 5}),
        metric(0, {"acc": 2}),
        metric(1, {"loss": 0.5}),
        metric(0, {"loss": 9.0}),
        metric(2, {"text": "words", "table": table}),
        label="w",
    )
    add(run, metric(0, {"loss": 7.0}), uuid="b" * 32, at=BEGAN + 100, label="v")
    mine = {"_writer": "w"}
    assert read(folder).history() == [
        {"_step": 0, "_time": BEGAN + 3, **mine, "loss": 1.0, "step": 5, "acc": 2},
        {"_step": 0, "_time": BEGAN + 5, **mine, "loss": 9.0},
        {"_step": 0, "_time": BEGAN + 102, "_writer": "v", "loss": 7.0},
        {"_step": 1, "_time": BEGAN + 4, **mine, "loss": 0.5},
        {"_step": 2, "_time": BEGAN + 6, **mine, "text": "words", "table": table},
    ]
    assert read(folder).history(["acc", "unknown"]) == [
        {"_step": 0, "_time": BEGAN + 3, **mine, "acc": 2}
    ]


def test_reading_folds_first(folder: StoreFolder) -> None:
    run = add(folder.run("local", "p", "r"), metric(0, {"v": 1.0}))
    stored = read(folder)
    assert list(stored.series("v")) == [(0, 1.0)]
    leave_journal(run, [Row(1, 3, 1, BEGAN + 60, {"v": 2.0})])
    assert list(stored.series("v")) == [(0, 1.0), (1, 2.0)]
    leave_journal(run, [Row(1, 3, 2, BEGAN + 70, {"v": 3.0})], "c" * 32)
    assert stored.summary == {"v": 3.0}


def test_what_cannot_be_folded_is_named_and_the_rest_is_answered(folder: StoreFolder) -> None:
    run = add(folder.run("local", "p", "r"), metric(0, {"v": 1.0}))
    leave_journal(run, [Row(1, 3, 1, BEGAN + 60, {"v": 2.0})])
    code = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire();"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(run.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    said: list[str] = []
    store = Store(folder, wait=0.05, warn=said.append)
    assert list(store.runs["r"].series("v")) == [(0, 1.0)]
    assert list(store.stale) == ["local/p/r"]
    assert said
    assert said[0].startswith("local/p/r: ")
    result = store.sql("SELECT step FROM metrics")
    assert (result.rows, result.stale) == ([(0,)], ("local/p/r",))
    holder.communicate()
    assert list(store.runs["r"].series("v")) == [(0, 1.0), (1, 2.0)]
    assert list(store.stale) == []


def test_by_default_a_stale_run_is_named_on_stderr(
    folder: StoreFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run = add(folder.run("local", "p", "r"))
    leave_journal(run, [Row(1, 3, 1, BEGAN + 60, {"v": 2.0})])
    store = Store(folder, wait=0.0)
    import threading

    with run_lock(run.lock).hold(1.0):
        thread = threading.Thread(target=store.refresh)
        thread.start()
        thread.join()
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "local/p/r" in err


def test_reading_a_damaged_run_names_its_file(folder: StoreFolder) -> None:
    run = add(folder.run("local", "p", "r"))
    run.database.write_bytes(b"no database at all" * 100)
    stored = read(folder)
    assert stored.state == "damaged"
    with pytest.raises(StoreCorrupt) as caught:
        stored.series("v")
    assert caught.value.path == run.database


def test_a_run_that_was_removed_is_not_found_any_more(folder: StoreFolder) -> None:
    import shutil

    run = add(folder.run("local", "p", "r"))
    stored = read(folder)
    shutil.rmtree(run.path)
    with pytest.raises(RunNotFound):
        assert stored.state
    with pytest.raises(FileNotFoundError):
        stored.series("v")


READ = """
import os, sys
import filelock, json, logging, shutil, tempfile  # an interpreter below /root cannot import later
from store.query import open_store
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
said = []
with open_store(sys.argv[1], warn=said.append, wait=0.1) as store:
    run = store.runs["r"]
    print([list(run.series("v")), store.sql("SELECT value FROM metrics ORDER BY step").rows])
    print(len(said) > 0)
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def read_as_another(store: Path, run: RunFolder) -> list[str]:
    """What somebody prints who may read everything below `store` and write nothing."""
    home = store.parent / "reader"
    home.mkdir()
    home.chmod(0o777)
    folders = [path for path in (run.path, run.journals, *run.path.parents[:3]) if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", READ, os.fspath(store)],
            env=os.environ | {"STORE_CACHE": os.fspath(home), "TMPDIR": os.fspath(home)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in folders:
            path.chmod(0o755)
    assert done.stderr == ""
    assert [name for name in os.listdir(home) if not name.endswith((".db", "-wal", "-shm"))] == []
    return done.stdout.splitlines()


def test_a_database_without_a_log_is_read_where_nothing_can_be_written(public: Path) -> None:
    run = add(create_store(public / ".store").run("local", "p", "r"), metric(0, {"v": 1.0}))
    assert read_as_another(public / ".store", run) == ["[[(0, 1.0)], [(1.0,)]]", "False"]


@pytest.mark.parametrize("index", [True, False])
def test_a_database_with_a_log_is_read_where_nothing_can_be_written(
    public: Path, index: bool
) -> None:
    run = add(create_store(public / ".store").run("local", "p", "r"), metric(0, {"v": 1.0}))
    kept = RunDatabase(run.database)
    kept.absorb("b" * 32, [Row(1, 3, 1, BEGAN + 60, {"v": 2.0})])
    if not index:
        Path(f"{run.database}-shm").unlink()
    answer = ["[[(0, 1.0), (1, 2.0)], [(1.0,), (2.0,)]]", "False"]
    assert read_as_another(public / ".store", run) == answer
    kept.close()


def test_journals_that_may_not_be_folded_are_named(public: Path) -> None:
    run = add(create_store(public / ".store").run("local", "p", "r"), metric(0, {"v": 1.0}))
    leave_journal(run, [Row(1, 3, 1, BEGAN + 60, {"v": 2.0})])
    assert read_as_another(public / ".store", run) == ["[[(0, 1.0)], [(1.0,)]]", "True"]


def test_a_run_that_was_never_folded_is_read_from_a_copy(public: Path) -> None:
    run = create_store(public / ".store").run("local", "p", "r")
    leave_journal(run, [Row(1, 3, 0, BEGAN, {"v": 1.0})])
    assert read_as_another(public / ".store", run) == ["[[(0, 1.0)], [(1.0,)]]", "True"]
    assert len(run.segments()) == 1

"""`store copy`: whole, repeatable, and never in the way of writers."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from store.database import RunDatabase
from store.locks import run_lock
from store.paths import RunFolder, StoreFolder, create_store
from store.reread import reread
from store.row import Kind, Row
from store.transfer import copy_run
from tests.cli.program import call, make_run, program
from tests.helpers import make_seed, open_gates, problems, rows_of, start_gated
from tests.stored_runs import absorb, metric
from tests.stored_runs import rows_of as rows_like


def contents(store: Path) -> dict[tuple[str, str], tuple[int, bytes, list[object]]]:
    """Per run and source: position, digest and rows."""
    found = {}
    for run in StoreFolder(store).runs():
        database = RunDatabase(run.database, write=False)
        for source in database.sources():
            rows: list[object] = [
                (item.row, item.digest) for item in reread(database.connection, source.id)
            ]
            found[run.key, source.uuid] = (source.position, source.digest, rows)
        database.close()
    return found


def test_a_store_is_copied_and_the_copy_is_a_store_of_its_own(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for number in range(3):
        make_run(here, f"r{number}", number)
    first = call("copy", here, there)
    assert first.exit_code == 0, first.output
    assert "3 runs in" in first.stderr
    assert "3 new, 21 rows copied" in first.stderr
    assert contents(here) == contents(there)
    assert StoreFolder(here).id != StoreFolder(there).id
    again = call("copy", here, there)
    assert "3 as before, 0 rows copied" in again.stderr
    assert problems(there) == []


def test_two_live_writers_are_copied_while_they_log(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    writers = [
        start_gated("log_rows", here, "r1", number, tmp_path / f"ack{number}", medium, 3000)
        for number, medium in enumerate(("mmap", "write"))
    ]
    open_gates(writers)
    live = call("copy", here, there)
    assert live.exit_code == 0, live.output
    partial = contents(there)
    while any(writer.poll() is None for writer in writers):
        assert call("copy", here, there).exit_code == 0
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert call("copy", here, there).exit_code == 0
    whole = contents(there)
    assert whole == contents(here)
    assert len(whole) == 2
    for source, (position, _, rows) in partial.items():
        assert whole[source][2][:position] == rows
    run = next(StoreFolder(there).runs())
    assert sorted(row.data["k"] for row in rows_of(run) if "k" in row.data) == sorted(
        [float(count) for count in range(3000)] * 2
    )
    assert problems(here) == []
    assert problems(there) == []


def test_rows_that_are_only_there_stay(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make_run(here, "r", 1, uuid="a" * 32)
    make_run(there, "r", 2, uuid="b" * 32)
    assert "1 with more rows" in call("copy", here, there).stderr
    assert {uuid for _, uuid in contents(there)} == {"a" * 32, "b" * 32}
    assert problems(there) == []


def with_stub(store: Path, *, text: str = "a row") -> RunFolder:
    """A run whose source has a stub as its last row, which stands for a row that is elsewhere."""
    run = create_store(store).run("local", "p", "r")
    rows = rows_like(metric(0, {"loss": 1.0}), metric(1, {"note": text}), state=None)
    absorb(run, rows[:-1])
    whole = absorb(create_store(store.parent / "whole").run("local", "p", "r"), rows)
    complete = RunDatabase(whole.database, write=False)
    digest = list(reread(complete.connection, 1))[-1].digest
    complete.close()
    database = RunDatabase(run.database)
    with database.transaction():
        database.reject("a" * 32, 3, b"", "withheld: private", digest=digest)
    database.close()
    return run


def test_stubs_travel_as_stubs_and_keep_their_digests(tmp_path: Path) -> None:
    run = with_stub(tmp_path / "here")
    for there in (tmp_path / "new", tmp_path / "merged"):
        target = create_store(there)
        if there.name == "merged":
            absorb(target.run("local", "p", "r"), rows_like(state=None))
        assert copy_run(run, target).problems == ()
        assert contents(there) == contents(tmp_path / "here")
        assert problems(there) == []
    whole = contents(tmp_path / "whole")["local/p/r", "a" * 32]
    assert contents(tmp_path / "here")["local/p/r", "a" * 32][:2] == whole[:2]


def test_a_row_replaces_a_stub_and_never_the_other_way_round(tmp_path: Path) -> None:
    with_stub(tmp_path / "here")
    whole = contents(tmp_path / "whole")
    assert "0 rows copied" in call("copy", tmp_path / "here", tmp_path / "whole").stderr
    assert contents(tmp_path / "whole") == whole
    assert "1 row copied" in call("copy", tmp_path / "whole", tmp_path / "here").stderr
    assert contents(tmp_path / "here") == whole
    assert problems(tmp_path / "here") == []


def test_rows_that_differ_are_a_problem_and_are_not_overwritten(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make_run(here, "r", 1, loss=1.0)
    make_run(there, "r", 1, loss=2.0)
    before = contents(there)
    result = call("copy", here, there)
    assert result.exit_code == 1
    assert "its rows differ from those there" in result.stderr
    assert contents(there) == before


def keep(run: RunFolder, name: str, content: bytes, uuid: str, at: float) -> None:
    file = run.files / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    absorb(run, rows_like((Kind.FILE, 0, {name: facts}), at=at), uuid)


def test_files_are_copied_and_the_later_of_two_is_kept(tmp_path: Path) -> None:
    here, there = create_store(tmp_path / "here"), create_store(tmp_path / "there")
    runs = [store.run("local", "p", "r") for store in (here, there)]
    keep(runs[0], "a/only here.txt", b"1", "a" * 32, 1e9)
    keep(runs[0], "newer here.txt", b"newer", "b" * 32, 2e9)
    keep(runs[1], "newer here.txt", b"older and longer", "c" * 32, 1e9)
    keep(runs[0], "newer there.txt", b"old", "d" * 32, 1e9)
    keep(runs[1], "newer there.txt", b"new and longer", "e" * 32, 2e9)
    assert call("copy", here.path, there.path).exit_code == 0
    assert (runs[1].files / "a/only here.txt").read_bytes() == b"1"
    assert (runs[1].files / "newer here.txt").read_bytes() == b"newer"
    assert (runs[1].files / "newer there.txt").read_bytes() == b"new and longer"
    assert problems(there) == []
    assert call("copy", here.path, there.path).stdout == ""


def test_one_run_is_copied_by_name_or_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path / "here", "r1", 1, name="sun-1")
    make_run(tmp_path / "here", "r2", 2)
    for number, source in enumerate(("sun-1", run.path)):
        there = tmp_path / f"there{number}"
        result = call("--store", tmp_path / "here", "copy", source, there)
        assert result.exit_code == 0, result.output
        assert [found.id for found in StoreFolder(there).runs()] == ["r1"]


def test_a_store_is_not_copied_into_itself(tmp_path: Path) -> None:
    make_run(tmp_path / ".store", "r1")
    for target in (tmp_path / ".store", tmp_path, tmp_path / ".store" / "local"):
        result = call("copy", tmp_path, target)
        assert result.exit_code == 2, target
    assert {path.name for path in (tmp_path / ".store").iterdir()} == {
        *("store.json", ".gitignore", "local")
    }


def test_a_run_that_is_damaged_does_not_stop_the_rest(tmp_path: Path) -> None:
    make_run(tmp_path / "here", "bad").database.write_bytes(b"not a database" * 1000)
    make_run(tmp_path / "here", "good", 2)
    result = call("copy", tmp_path / "here", tmp_path / "there")
    assert result.exit_code == 1
    assert "problem  local/p/bad  not copied" in result.stderr
    assert [run.id for run in StoreFolder(tmp_path / "there").runs()] == ["good"]
    assert problems(tmp_path / "there") == []


def test_a_locked_run_there_is_waited_for(tmp_path: Path) -> None:
    run = make_run(tmp_path / "here", "r1")
    there = make_run(tmp_path / "there", "r1", 2)
    process = None
    with run_lock(there.lock).hold(10):
        process = subprocess.Popen(program("copy", run.path, tmp_path / "there"))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
    assert process.wait(timeout=60) == 0
    assert len(contents(tmp_path / "there")) == 2


def test_a_copy_that_is_killed_is_finished_by_the_next_one(tmp_path: Path) -> None:
    choose = random.Random(make_seed())
    here, there = tmp_path / "here", tmp_path / "there"
    for number in range(20):
        run = make_run(here, f"r{number}", number)
        keep(run, "file.bin", bytes(100_000), f"{number + 100:032x}", 1e9)
    for _ in range(6):
        process = subprocess.Popen(program("copy", here, there), stdout=subprocess.DEVNULL)
        time.sleep(0.15 + choose.random() * 0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if there.exists():
            assert problems(there) == []
    assert call("copy", here, there).exit_code == 0
    assert contents(there) == contents(here)
    assert call("--store", there, "check", "--repair").exit_code == 0
    assert list(there.glob(".store.*")) == []


def test_what_was_not_folded_is_copied_too(tmp_path: Path) -> None:
    from tests.stored_runs import leave_journal, metrics_row

    run = make_run(tmp_path / "here", "r1")
    leave_journal(run, [metrics_row(n, n, loss=float(n)) for n in range(1, 6)])
    copy_run(run, create_store(tmp_path / "there"))
    there = StoreFolder(tmp_path / "there").run("local", "p", "r1")
    kept: list[Row] = rows_of(there)
    assert len(kept) == 7

"""`store rm`."""

from __future__ import annotations

from pathlib import Path

from store.ownership import Ownership
from store.paths import StoreFolder
from store.shared.spills import add_spill_folder, spill_folders
from tests.cli.program import call, make_run
from tests.helpers import open_gates, start_gated
from tests.stored_runs import leave_journal, metrics_row


def ids(store: Path) -> list[str]:
    return sorted(run.id for run in StoreFolder(store).runs())


def test_runs_are_removed_without_a_trace(tmp_path: Path) -> None:
    for number in range(3):
        make_run(tmp_path, f"r{number}", number)
    result = call("--store", tmp_path, "rm", "--yes", "r0", "run-2")
    assert result.exit_code == 0, result.output
    assert "2 runs removed" in result.stderr
    assert ids(tmp_path) == ["r1"]
    assert list((tmp_path / ".trash").iterdir()) == []
    assert call("--store", tmp_path, "show", "r0").exit_code == 1


def test_nothing_is_removed_without_an_answer(tmp_path: Path) -> None:
    make_run(tmp_path, "r")
    result = call("--store", tmp_path, "rm", "r")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert ids(tmp_path) == ["r"]


def test_one_wrong_name_removes_nothing(tmp_path: Path) -> None:
    make_run(tmp_path, "r")
    assert call("--store", tmp_path, "rm", "--yes", "r", "nope").exit_code == 1
    assert ids(tmp_path) == ["r"]


def test_a_run_with_a_living_writer_is_refused_even_by_force(tmp_path: Path) -> None:
    store = tmp_path / "store"
    writer = start_gated("log_rows", store, "r1", 0, tmp_path / "ack", "auto", 0)
    open_gates([writer])
    try:
        make_run(store, "done", project="crash")
        for options in (["--yes"], ["--yes", "--force"]):
            result = call("--store", store, "rm", *options, "done", "r1")
            assert result.exit_code == 1
            assert "is being written by 1 process" in result.stderr
            assert ids(store) == ["done", "r1"]
    finally:
        writer.kill()
        writer.communicate()
    assert call("--store", store, "rm", "--yes", "r1").exit_code == 0
    assert ids(store) == ["done"]


def test_a_writer_of_which_nothing_is_known_needs_force(tmp_path: Path) -> None:
    run = make_run(tmp_path, "r")
    leave_journal(run, [metrics_row(1, 0, loss=1.0)])
    result = call("--store", tmp_path, "rm", "--yes", "r")
    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert call("--store", tmp_path, "rm", "--yes", "--force", "r").exit_code == 0
    assert ids(tmp_path) == []


def test_spilled_journals_are_removed_as_well(tmp_path: Path) -> None:
    run = make_run(tmp_path / "store", "r")
    folder = add_spill_folder(run, tmp_path / "spool")
    run.journals.mkdir()
    Ownership(run.own("c" * 32)).release()
    (folder / f"{'c' * 32}.1.journal").write_bytes(b"")
    assert call("--store", tmp_path / "store", "rm", "--yes", "r").exit_code == 0
    assert not folder.exists()
    assert spill_folders(run) == []

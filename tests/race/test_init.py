"""Processes that start at the same moment agree on the store, the run and its name."""

from __future__ import annotations

from pathlib import Path

import store
from store.paths import StoreFolder
from tests.helpers import only_run, open_gates, problems, rows_of, start, start_gated

PROCESSES = 8


def answers(folder: Path, run_id: str, resume: str) -> list[str]:
    processes = [start_gated("init_once", folder, run_id, resume) for _ in range(PROCESSES)]
    open_gates(processes)
    told = [process.communicate(timeout=60)[0].decode().strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return told


def test_the_same_id_gives_one_run_with_eight_writers(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        told = answers(folder, "same", "-")
        run = only_run(folder)
        assert len(rows_of(run)) == PROCESSES
        found = store.open(folder).runs["same"]
        assert found.state == "finished"
        assert len(found.writers()) == PROCESSES
        assert found.name in {answer.split()[1] for answer in told}
        assert problems(folder) == []


def test_resume_never_lets_exactly_one_in(tmp_path: Path) -> None:
    told = answers(tmp_path / "s", "same", "never")
    assert told.count("exists") == PROCESSES - 1
    assert len(rows_of(only_run(tmp_path / "s"))) == 1
    assert problems(tmp_path / "s") == []


def test_without_an_id_everyone_gets_a_run_in_one_store(tmp_path: Path) -> None:
    told = answers(tmp_path / "s", "-", "-")
    assert len({answer.split()[0] for answer in told}) == PROCESSES
    assert len(list(StoreFolder(tmp_path / "s").runs())) == PROCESSES
    assert problems(tmp_path / "s") == []


def test_a_store_that_is_just_being_made_is_not_taken_for_a_folder_of_other_files(
    tmp_path: Path,
) -> None:
    # Whoever comes late finds the store's first files before it has looked for its record.
    maker = start("make_stores", tmp_path, 200)
    assert maker.wait(timeout=60) == 0
    assert list(tmp_path.glob("*/.store")) == []
    assert [len(list(StoreFolder(tmp_path / str(n)).runs())) for n in range(200)] == [8] * 200

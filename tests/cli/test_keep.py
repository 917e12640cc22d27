"""`store status` and `store check`."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from zlib import crc32

from filelock import FileLock

from store.journal import HEADER, create_journal
from store.ownership import Ownership
from store.paths import StoreFolder
from store.row import Kind, pack_row
from tests.cli.program import ask, call, make_run
from tests.stored_runs import leave_journal, metrics_row


def test_the_status_of_a_quiet_store(tmp_path: Path) -> None:
    make_run(tmp_path, "r1", 1)
    make_run(tmp_path, "r2", 2, said=[(Kind.EVENT, 1, {"type": "refused", "counts": {"nan": 3}})])
    result = call("--store", tmp_path, "status")
    head, _, second, first = result.stdout.splitlines()
    assert head.split() == "name id state rows in journals at risk size refused".split()
    assert second.split()[:4] == ["run-2", "r2", "finished", "8"]
    assert second.endswith("3 nan")
    assert first.split()[1:6] == ["r1", "finished", "7", "0", "0"]
    assert result.stderr.startswith("2 runs, 15 rows, ")
    assert result.stderr.endswith(", none at risk\n")


def test_rows_at_risk_and_troubles_come_from_the_writers_notes(tmp_path: Path) -> None:
    run = make_run(tmp_path, "r1", 1, state=None)
    uuid = f"{1:032x}"
    run.journals.mkdir()
    own = Ownership(run.own(uuid))
    own.note({"waiting": 5, "dropped": 2, "trouble": "cannot fold: the disk is full"})
    create_journal(run.journal(uuid, 1), "write").close(trim=True)
    try:
        (facts,) = ask("--store", tmp_path, "status", "r1")
        assert (facts["state"], facts["writers_alive"]) == ("running", 1)
        assert (facts["at_risk"], facts["dropped"]) == (5, 2)
        assert facts["trouble"] == ["cannot fold: the disk is full"]
        text = call("--store", tmp_path, "status")
        assert "cannot fold: the disk is full" in text.stdout
        assert "5 rows at risk, 2 rows lost" in text.stderr
        shown = call("--store", tmp_path, "show", "r1").stdout
        assert "at risk   5 rows" in shown
    finally:
        own.release()


def test_a_note_that_was_cut_off_still_tells_its_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path, "r1", 1, state=None)
    run.journals.mkdir()
    own = Ownership(run.own("a" * 32))
    create_journal(run.journal("a" * 32, 1), "write").close(trim=True)
    own.note({"waiting": 5, "dropped": 2, "trouble": "x" * 600})
    (facts,) = ask("--store", tmp_path, "status")
    own.release()
    assert (facts["at_risk"], facts["dropped"], facts["trouble"]) == (5, 2, [])


def test_rows_that_could_not_be_folded_are_counted_in_the_journals(tmp_path: Path) -> None:
    run = make_run(tmp_path, "r1", 1)
    leave_journal(run, [metrics_row(n, n, loss=1.0) for n in (1, 2)])
    call("--store", tmp_path, "status")
    with open(run.journal("b" * 32, 1), "ab") as file:
        journal = create_journal(run.journal("c" * 32, 1), "write")
        journal.append(pack_row(*metrics_row(3, 3, loss=1.0)))
        journal.close(trim=True)
        file.write(run.journal("c" * 32, 1).read_bytes()[8:])
        run.journal("c" * 32, 1).unlink()
    with FileLock(run.lock):
        (facts,) = ask("--store", tmp_path, "status")
    assert (facts["rows"], facts["journal_rows"]) == (9, 1)
    (later,) = ask("--store", tmp_path, "status")
    assert (later["rows"], later["journal_rows"]) == (10, 0)


def test_rows_that_could_not_be_kept_are_shown_with_their_reasons(tmp_path: Path) -> None:
    run = make_run(tmp_path, "r1", 1)
    leave_journal(run, [])
    with open(run.journal("b" * 32, 1), "ab") as file:
        file.write(HEADER.pack(1, crc32(b"a")) + b"a")  # a frame, but no row
    (facts,) = ask("--store", tmp_path, "status")
    assert list(facts["rejected"].values()) == [1]
    assert "set aside" in call("--store", tmp_path, "status").stdout


def test_a_clean_store_is_said_to_be_clean(tmp_path: Path) -> None:
    make_run(tmp_path, "r1", 1)
    make_run(tmp_path, "r2", 2)
    every = call("--store", tmp_path, "check")
    assert (every.exit_code, every.stdout) == (0, "")
    assert every.stderr == "2 runs checked, 0 problems\n"
    assert call("--store", tmp_path, "check", "r1").stderr == "1 run checked, 0 problems\n"


def spoil(store: Path) -> None:
    run = next(StoreFolder(store).runs())
    with contextlib.closing(sqlite3.connect(run.database)) as database:
        database.execute("UPDATE config SET value = '9'")
        database.commit()


def test_problems_are_listed_and_give_the_exit_code_four(tmp_path: Path) -> None:
    make_run(tmp_path, "r1", 1, config={"lr": 1})
    spoil(tmp_path)
    found = call("--store", tmp_path, "check")
    assert found.exit_code == 4
    assert found.stdout == "problem   local/p/r1  table config is not what the rows say\n"
    assert "1 run checked, 1 problem\n" in found.stderr
    listed = call("--store", tmp_path, "check", "--json")
    assert listed.exit_code == 4
    assert '"level": "problem"' in listed.stdout


def test_repair_mends_and_says_so(tmp_path: Path) -> None:
    make_run(tmp_path, "r1", 1, config={"lr": 1})
    spoil(tmp_path)
    mended = call("--store", tmp_path, "check", "--repair", "r1")
    assert mended.exit_code == 0
    assert mended.stdout.startswith("repaired  local/p/r1")
    assert mended.stderr == "1 run checked, 0 problems, 1 repaired\n"
    assert ask("--store", tmp_path, "ls")[0]["config"] == {"lr": 1}
    assert call("--store", tmp_path, "check").stdout == ""

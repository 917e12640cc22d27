"""`check` sees what is wrong, and repairs what can be made anew from what is there."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

import store
from store.check import check_run, check_store
from store.paths import RunFolder, StoreFolder
from tests.helpers import only_run, problems, rows_of

ROWS = 3000


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A finished run of 3,000 rows with config, summary and a kept file."""
    settings = store.Settings(silent=True, git=False, console="off")
    (tmp_path / "kept.txt").write_text("kept")
    with store.init(dir=tmp_path / "s", settings=settings, config={"lr": 1}) as live:
        live.save(tmp_path / "kept.txt")
        for n in range(ROWS):
            live.log({"loss": 1.0 / (n + 1), "text": "x" if n % 100 == 0 else "y"})
        live.summary["best"] = 0.5
    found = only_run(tmp_path / "s")
    assert problems(tmp_path / "s") == []
    return found


def change(run: RunFolder, sql: str) -> None:
    with closing(sqlite3.connect(run.database)) as connection, connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE config SET value = '2'", "table config"),
        ("DELETE FROM summary WHERE key = 'best'", "table summary"),
        ("UPDATE source SET digest = zeroblob(16)", "digest"),
        ("INSERT INTO point VALUES(1, 999999, 0.5)", "belong to no row"),
    ],
)
def test_what_follows_from_the_rows_is_repaired(run: RunFolder, sql: str, words: str) -> None:
    change(run, sql)
    found = [f for f in check_run(run) if f.level == "problem"]
    assert any(words in finding.text for finding in found), found
    assert all(f.repaired for f in check_run(run, repair=True) if f.level == "problem")
    assert [f for f in check_run(run) if f.level == "problem"] == []


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM rows WHERE number = 100", "position says"),
        ("UPDATE point SET value = 7 WHERE row = 200", "digest"),
    ],
)
def test_changed_rows_are_seen(run: RunFolder, sql: str, words: str) -> None:
    change(run, sql)
    assert any(words in f.text for f in check_run(run) if f.level == "problem")


def test_a_changed_or_missing_kept_file_is_seen(run: RunFolder) -> None:
    (name,) = [path.name for path in run.files.iterdir() if path.is_file()]
    (run.files / name).write_text("other")
    assert any("has changed" in f.text for f in check_run(run))
    (run.files / name).unlink()
    assert any("is missing" in f.text for f in check_run(run))


def test_a_damaged_database_gives_back_what_can_be_read(run: RunFolder) -> None:
    before = len(rows_of(run))
    content = bytearray(run.database.read_bytes())
    # The page that holds the loss of row 2,500 as SQLite writes it, a big-endian double.
    page = content.index(struct.pack(">d", 1.0 / 2500)) // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    run.database.write_bytes(bytes(content))
    assert any(f.level == "problem" for f in check_run(run))
    assert any(f.repaired for f in check_run(run, repair=True))
    assert [f for f in check_run(run) if f.level == "problem"] == []
    assert 0 < len(rows_of(run)) <= before
    assert list(run.path.glob("run.db.damaged-*"))


def test_a_file_that_is_no_database_is_a_finding_not_an_exception(run: RunFolder) -> None:
    run.database.write_bytes(b"this is no database, but long enough to look at" * 100)
    (finding,) = [f for f in check_run(run) if f.level == "problem"]
    assert "cannot" in finding.text


def test_leftovers_are_notes_and_are_cleaned_up(run: RunFolder) -> None:
    folder = StoreFolder(run.path.parents[2])
    (folder.path / ".trash").mkdir()
    (folder.path / ".trash" / "old.1234").mkdir()
    assert [f.level for f in check_store(folder)] == ["note"]
    assert all(f.repaired for f in check_store(folder, repair=True))
    assert list(check_store(folder)) == []

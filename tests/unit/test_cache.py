"""The catalogue's file: lost, damaged, nowhere to be put, and shared by processes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from store.cache import cache_file
from store.catalogue import Catalogue
from store.paths import StoreFolder
from tests.stored_runs import absorb, leave_journal, metric, only_line, rows_of

LIST = """
import json, sys
from pathlib import Path
from store.catalogue import Catalogue
from store.paths import StoreFolder

sys.stdin.readline()
catalogue = Catalogue(StoreFolder(Path(sys.argv[1])))
stale = catalogue.refresh(30.0)
rows = [line._replace(n=0, stamp="", size=0, version=0) for line in catalogue.lines()]
print(json.dumps([rows, stale, [len(catalogue.metric_keys(l)) for l in catalogue.lines()]]))
"""


@pytest.mark.parametrize("how", ["deleted", "garbage", "damaged", "emptied", "other form"])
def test_a_broken_cache_is_made_anew(store: StoreFolder, how: str) -> None:
    for number in range(30):
        said = metric(0, {f"m{i}": 1.0 for i in range(30)})
        absorb(store.run("local", "p", f"r{number:02}"), rows_of(said))
    catalogue = Catalogue(store)
    catalogue.refresh()
    expected = [line._replace(n=0, stamp="", version=0) for line in catalogue.lines()]
    catalogue.close()
    file = cache_file(store)
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
    assert [line._replace(n=0, stamp="", version=0) for line in again.lines()] == expected
    again.close()


def test_without_any_place_for_a_file_the_catalogue_is_in_memory(
    store: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = store.path / "store.json" / "below-a-file"
    for variable in ("STORE_CACHE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(nowhere))
    monkeypatch.setattr("tempfile.tempdir", str(nowhere))
    absorb(store.run("local", "p", "r"), rows_of())
    assert cache_file(store) is None
    assert only_line(Catalogue(store)).id == "r"


def test_a_folder_in_the_temporary_directory_that_others_may_write_is_not_used(
    store: StoreFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = store.path / "store.json" / "below-a-file"
    for variable in ("STORE_CACHE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(nowhere))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = cache_file(store)
    assert file is not None
    file.parent.chmod(0o777)
    assert cache_file(store) is None


def test_two_stores_do_not_share_a_cache_file(store: StoreFolder, tmp_path: Path) -> None:
    other = tmp_path / "copy" / ".store"
    shutil.copytree(store.path, other)
    assert StoreFolder(other).id == store.id
    assert cache_file(StoreFolder(other)) != cache_file(store)


def test_several_processes_build_the_same_catalogue_at_once(store: StoreFolder) -> None:
    for number in range(40):
        run = store.run("local", f"p{number % 3}", f"r{number:02}")
        said = [metric(i, {"loss": i, "acc": 1}) for i in range(50)]
        leave_journal(run, rows_of(*said), f"{number:032}")
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
    only_line(catalogue)
    mine = catalogue.connection
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        ok = catalogue.connection is not mine and only_line(catalogue).id == "r"
        os.write(writer, b"1" if ok else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"
    assert catalogue.connection is mine
    os.close(reader)
    os.close(writer)

"""Journals on the host's own disk, and the way from there to the share."""

from __future__ import annotations

import shutil
from pathlib import Path

from store.fold import fold
from store.journal import MAGIC
from tests.helpers import only_run
from tests.hosts import Host
from tests.shared.parts import begin, counts, log_some


def test_a_spooled_run_reaches_the_share_and_leaves_nothing_behind(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path
) -> None:
    a, b = hosts
    a.environment["STORE_SPOOL"] = str(tmp_path / "spool")
    log_some(a, folder, 20)
    assert counts(b, folder) == list(range(20))
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []
    assert only_run(folder).segments() == {}


def test_what_a_killed_writer_spooled_is_carried_by_the_next_reader_of_its_host(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path
) -> None:
    a, b = hosts
    a.environment["STORE_SPOOL"] = str(tmp_path / "spool")
    log_some(a, folder, 20, end=False)
    assert counts(a, folder) == list(range(20))
    assert counts(b, folder) == list(range(20)), "carried by the look from node-a"
    assert a.check(folder) == ""


def test_a_share_that_takes_nothing_does_not_stop_a_spooled_run(
    hosts: tuple[Host, Host], folder: Path, tmp_path: Path
) -> None:
    a, b = hosts
    a.environment["STORE_SPOOL"] = str(tmp_path / "spool")
    with a.here():
        run = begin(folder)
        journals = only_run(folder).journals
        shutil.rmtree(journals, ignore_errors=True)
        journals.write_bytes(MAGIC)  # a file where the folder belongs: nothing can come into it
        for i in range(50):
            run.log({"i": i})
        run.finish()
        journals.unlink()
        fold(only_run(folder), timeout=10)
    assert counts(b, folder) == list(range(50))

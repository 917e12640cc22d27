"""One run in stores that never met, and in a copy, sent at once through two servers of a folder."""

from __future__ import annotations

from pathlib import Path

from store.paths import RunFolder, StoreFolder, create_store
from store.row import Kind
from tests.helpers import counts_by_writer, problems, rows_of
from tests.programs import signed_in, start_command, store_command
from tests.servers import make_key, running_server
from tests.stored_runs import absorb, metric
from tests.stored_runs import rows_of as rows_saying
from tests.sync.clients import digests

ROWS = 3000


def log(store: Path, writer: int) -> RunFolder:
    """A writer logs rows of the run "r1" into a store."""
    run = create_store(store).run("local", "p", "r1")
    said = [metric(k, {"w": float(writer), "k": float(k)}) for k in range(ROWS)]
    config = (Kind.CONFIG, 0, {f"seen{writer}": True})
    absorb(run, rows_saying(config, *said), f"{writer + 1:032x}")
    return run


def test_stores_and_servers_meet_in_one_run(tmp_path: Path) -> None:
    first, copied, second = (tmp_path / name for name in ("first", "copied", "second"))
    runs = [log(first, 0), log(second, 1)]
    assert store_command(first, "copy", first, copied, environment={}).returncode == 0
    log(copied, 2)
    data = tmp_path / "data"
    with running_server(data) as one, running_server(data, "--processes", 2) as two:
        key = make_key(one, "ann")
        sending = [
            start_command(store, "sync", environment=signed_in(server.url, key))
            for store, server in ((first, one), (copied, two), (second, two))
        ]
        assert [process.wait(timeout=100) for process in sending] == [0, 0, 0]
        for store in (first, copied, second):
            found = store_command(store, "verify", "--deep", environment=signed_in(one.url, key))
            assert found.returncode == 0, found.stdout + found.stderr
    there = StoreFolder(data).run("ann", "p", "r1")
    assert counts_by_writer(rows_of(there)) == {float(w): list(range(ROWS)) for w in range(3)}
    for run in runs:
        assert digests(run).items() <= digests(there).items()
    assert [problems(store) for store in (first, copied, second, data)] == [[], [], [], []]

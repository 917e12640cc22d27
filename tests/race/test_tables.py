"""Processes that change the remotes of a store and the keys of a user at the same moment."""

from __future__ import annotations

from pathlib import Path

from store.paths import create_store
from store.sync.credentials import credentials_file, known_servers
from store.sync.remotes import remotes
from tests.helpers import open_gates, start_gated

PROCESSES = 6
CHANGES = 10


def test_no_change_is_lost(tmp_path: Path) -> None:
    store = create_store(tmp_path / "store")
    processes = [
        start_gated("change_tables", store.path, number, CHANGES) for number in range(PROCESSES)
    ]
    open_gates(processes)
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * PROCESSES
    names = {f"r{number}-{n}" for number in range(PROCESSES) for n in range(0, CHANGES, 2)}
    assert {entry.name for entry in remotes(store)} == names
    assert {server.removeprefix("https://") for server in known_servers()} == {
        f"{name}.example" for name in names
    }
    assert credentials_file().stat().st_mode & 0o777 == 0o600

"""What several tests of sync begin with: runs that are not sent yet, places for them, a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.paths import RunFolder
from tests.servers import RunningServer, running_server
from tests.sync.batches import WiredFolder, new_run, put
from tests.sync.clients import Client, client_of
from tests.sync.one_source import ROWS, A
from tests.sync.sending import two_writers


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """The run of a new store, with rows of two writers."""
    return two_writers(tmp_path / "here")


@pytest.fixture
def remote(tmp_path: Path) -> WiredFolder:
    return WiredFolder(tmp_path / "there")


@pytest.fixture
def origin(tmp_path: Path) -> RunFolder:
    """A run with ROWS of source A."""
    run = new_run(tmp_path / "origin")
    put(run, A, ROWS)
    return run


@pytest.fixture
def there(tmp_path: Path) -> RunFolder:
    """Where a run is to come to."""
    return new_run(tmp_path / "there")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """For all tests that leave it as it is; each has a project of its own."""
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture
def client(server: RunningServer, tmp_path: Path) -> Iterator[Client]:
    with client_of(server, tmp_path, tmp_path.name) as client:
        yield client

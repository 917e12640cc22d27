"""A client's store, a real server and what lies between them: for tests of what can go wrong."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from store.api.cli import cli
from store.paths import RunFolder, StoreFolder, create_store
from store.row import Kind
from store.sync.credentials import connect
from store.sync.http_remote import HttpRemote
from tests.chaos_proxy import ChaosProxy, chaos_proxy
from tests.helpers import counts_by_writer, problems, rows_of, sources_of
from tests.programs import signed_in, store_command
from tests.servers import RunningServer, make_key, start_server
from tests.stored_runs import absorb, metric
from tests.stored_runs import rows_of as rows_saying

SYNCED, FAILED, UNSENT, DIFFERS, NOT_ALLOWED = 0, 1, 3, 4, 5


@dataclass
class Client:
    """A store, and the key of a user of the server behind `proxy`, which counts its requests."""

    store: Path
    proxy: ChaosProxy
    server: RunningServer
    key: str
    project: str
    entity: str = "local"
    writers: int = 0
    logged: list[int] = field(default_factory=list)
    """The rows of each writer."""

    @property
    def environment(self) -> dict[str, str]:
        return signed_in(self.proxy.url, self.key)

    @property
    def run(self) -> RunFolder:
        return StoreFolder(self.store).run(self.entity, self.project, "r1")

    def there(self, entity: str = "ann") -> RunFolder:
        """The run as the server has it."""
        return StoreFolder(self.server.data).run(entity, self.project, "r1")

    def log(self, rows: int) -> None:
        """A further writer logs rows, and ends."""
        said = [metric(k, {"w": float(self.writers), "k": float(k)}) for k in range(rows)]
        config = (Kind.CONFIG, 0, {f"seen{self.writers}": rows})
        create_store(self.store)
        absorb(self.run, rows_saying(config, *said), f"{self.writers + 1:032x}")
        self.writers += 1
        self.logged.append(rows)

    def call(self, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return store_command(self.store, *arguments, environment=self.environment | more)

    def sync(self, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return self.call("sync", *arguments, **more)

    def requests(self) -> list[str]:
        """What was asked since the last look."""
        asked, self.proxy.requests = self.proxy.requests, []
        return asked

    def places(self) -> dict[str, dict[str, Any]]:
        """What `store status --json` says of the run, by the entity that it was sent to."""
        said = self._status("--json")
        (run,) = json.loads(said)
        return {place["entity"]: place for place in run["remotes"]}

    def place(self) -> dict[str, Any]:
        """As `places`, for a run that has one; what it says of errors is one readable line."""
        (place,) = self.places().values()
        assert_readable(place["error"])
        return place

    def shown(self) -> str:
        """What `store status` shows people, in a wide window."""
        return self._status("--table")

    def _status(self, *options: str) -> str:
        wide = {"COLUMNS": "400", **self.environment}
        done = CliRunner().invoke(
            cli, ["--store", str(self.store), "status", *options], env=wide, catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    def remote(self) -> HttpRemote:
        """The server, as the sync engine has it. To be closed."""
        return HttpRemote(connect(self.proxy.url, None))

    # -- what is to be true --------------------------------------------------------------------

    def assert_synced(self, *entities: str) -> None:
        """All that was logged is there, once, by the word of both sides."""
        for entity in entities or ("ann",):
            place = self.places()[entity]
            assert place["synced"] is True, place
            assert (place["unsent"], place["error"]) == (0, None)
            self.assert_there(entity)
        done = self.call("verify", "--deep", "--entity", (entities or ("ann",))[-1])
        assert done.returncode == 0, done.stdout + done.stderr

    def assert_there(self, entity: str = "ann") -> None:
        there = self.there(entity)
        assert counts_by_writer(rows_of(there)) == {
            float(n): list(range(rows)) for n, rows in enumerate(self.logged)
        }
        assert digests(there) == digests(self.run)
        assert problems(self.store) == []
        found = [problem for problem in problems(self.server.data) if problem.run == there.key]
        assert found == [], "other tests may leave something behind, in other runs"


def assert_readable(error: str | None) -> None:
    """An error for people: one line, nothing of Python or JSON."""
    if error is not None:
        assert error
        assert not set("\n{}[]") & set(error), error
        assert "Traceback" not in error
        assert "Error" not in error


def digests(run: RunFolder) -> dict[str, tuple[int, bytes]]:
    return {source.uuid: (source.position, source.digest) for source in sources_of(run)}


@contextlib.contextmanager
def client_of(
    server: RunningServer, folder: Path, project: str, key: str | None = None
) -> Iterator[Client]:
    """A client with an empty store, in the name of the user ann if no other key is given."""
    folder.mkdir(exist_ok=True)
    with chaos_proxy(server.url) as proxy:
        yield Client(folder / "store", proxy, server, key or make_key(server, "ann"), project)


def copy_folder(source: Path, target: Path) -> None:
    """A copy of a folder that nobody has open; what was at the target is gone."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


@contextlib.contextmanager
def server_again(client: Client) -> Iterator[RunningServer]:
    """The server of a client, started once more where it was; it is stopped in the end."""
    server = start_server(
        *(client.server.data, "--port", client.proxy.upstream), admin_key=client.server.admin_key
    )
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def wait_until(is_so: Callable[[], object], seconds: float = 60.0) -> None:
    """Look again and again; AssertionError when it does not come to that."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)

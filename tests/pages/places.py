"""What the browser looks at: a demo store shown by `store ui`, and a server with accounts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from store.paths import StoreFolder, create_store
from store.row import Kind
from tests.servers import RunningServer, accounts_of, running_server
from tests.stored_runs import BEGAN, absorb, metric, rows_of

WORKERS: Final = Path(__file__).parents[1] / "workers"
GIT: Final = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "branch": "secret-branch",
    "remote": "https://github.com/example/secret.git",
    "dirty": False,
}


@dataclass
class Demo:
    """A store of many runs (see tests/workers/make_demo.py), and the program that logs to it."""

    folder: Path
    url: str
    environment: Mapping[str, str]
    stdin: IO[str]

    def log_more(self) -> None:
        """The run "live" gets ten more rows."""
        self.stdin.write("\n")
        self.stdin.flush()

    def start(self, code: str) -> subprocess.Popen[str]:
        """A program that has `store` and this store; each line on its stdin lets it go on."""
        program = f"import store\nwait = input\n{code}"
        return subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            env={**self.environment, "STORE_DIR": str(self.folder), "STORE_SILENT": "true"},
            cwd=self.folder.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@dataclass
class Served:
    """A server with the users ann and sam, and ann's projects private and public."""

    server: RunningServer
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return self.server.url


def clean_environment(base: Path) -> dict[str, str]:
    """The variables of a process whose caches and settings lie below `base`."""
    found = {k: v for k, v in os.environ.items() if not k.startswith(("STORE_", "WANDB_"))}
    folders = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
    return found | {name: str(base / name.lower()) for name in folders}


def fill(store: StoreFolder, count: int) -> None:
    """Finished runs in project digits, which differ in config, tags and summary."""
    for number in range(count):
        model = ("cnn", "mlp", "resnet")[number % 3]
        config = {"lr": 0.001 * 2 ** (number % 6), "model": model, "optimizer": {"name": "adam"}}
        about = {
            "name": f"{model}-{number:03}",
            "tags": ["baseline"] if number % 4 == 0 else [],
            "group": f"sweep-{number % 2}",
        }
        values = [
            metric(
                step, {"train/loss": 1 / (step + 1), "val/loss": (number * 7 % 24 + 1) / (step + 2)}
            )
            for step in range(20)
        ]
        rows = rows_of(
            (Kind.ATTRIBUTE, 0, about), (Kind.CONFIG, 0, config), *values, at=BEGAN + number
        )
        absorb(store.run("local", "digits", f"d{number:03}"), rows, uuid=f"{number:032x}")


@contextlib.contextmanager
def demo_store(base: Path) -> Iterator[Demo]:
    """The demo store and its pages."""
    environment = clean_environment(base)
    folder = base / ".store"
    fill(create_store(folder), 24)
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(
            _process([str(WORKERS / "make_demo.py"), str(folder)], environment, base)
        )
        assert worker.stdout is not None
        assert worker.stdin is not None
        assert worker.stdout.readline() == "ready\n"
        arguments = ["-W", "error", "-m", "store", "--store", str(folder), "ui", "--port", "0"]
        ui = stack.enter_context(_process([*arguments, "--no-browser"], environment, base))
        assert ui.stdout is not None
        url = ui.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        yield Demo(folder, url, environment, worker.stdin)


@contextlib.contextmanager
def _process(
    arguments: list[str], environment: Mapping[str, str], place: Path
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-P", *arguments],
        env=environment,
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


@contextlib.contextmanager
def served(base: Path) -> Iterator[Served]:
    """The server."""
    data = base / "data"
    store = create_store(data)
    keys = {}
    with accounts_of(data) as accounts:
        for user in ("ann", "sam"):
            accounts.create_user(user)
            keys[user], _ = accounts.create_key(user, ("read", "write", "admin"))
        for project in ("private", "public"):
            accounts.set_visibility("ann", project, project)
            make_run(store, "ann", project, "r1")
    with running_server(data) as server:
        yield Served(server, keys)


def make_run(store: StoreFolder, entity: str, project: str, run_id: str) -> None:
    """A finished run with a git state, a command, and a host."""
    attributes: dict[str, Any] = {
        "name": "first try",
        "git": GIT,
        "command": {"command": ["python", "secret.py"]},
        "machine": {"host": "secret-host"},
    }
    rows = rows_of(
        (Kind.ATTRIBUTE, 0, attributes), *(metric(n, {"loss": 1 / (n + 1)}) for n in range(5))
    )
    absorb(store.run(entity, project, run_id), rows)

"""What the same rows cost when peers send them: CPU a row of `wandb sync` and of mlflow's client.

`wandb sync` talks to a stub on loopback that answers as far as it needs and keeps nothing, so its
server's cost is not in the figure; mlflow's client talks to `mlflow server` with SQLite.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from measure import HERE, number
from peers import VERSIONS, is_installed, python_of
from sync_sides import cpu_of

WORKER: Final = HERE / "sync_peer_worker.py"
POLL_SECONDS: Final = 0.01
FEW: Final = 10
"""Rows of the run whose cost is taken for that of starting."""
Row = dict[str, float]


class Cost(NamedTuple):
    """CPU of a peer's client and server in seconds, bytes that it sent; None: not measured."""

    client: float
    server: float | None
    wire: int | None


HEADS: Final = (
    *("peer", "rows", "client us/row", "less its start", "server us/row, less its start"),
    *("bytes/point", ""),
)


def peer_lines(rows: Sequence[Row], folder: Path) -> list[list[str]]:
    """A line for each peer, with what went wrong where nothing was measured."""
    lines = []
    for peer, measure in (("wandb", measure_wandb), ("mlflow", measure_mlflow)):
        name = f"{peer} {VERSIONS[peer]}"
        if not is_installed(peer):
            lines.append([name, "", "", "", "", "", "not installed"])
            continue
        place = folder / peer
        place.mkdir()
        try:
            few, all_of_it = (measure(part, place) for part in (rows[:FEW], rows))
        except (OSError, subprocess.SubprocessError, psutil.Error, ValueError) as error:
            lines.append([name, "", "", "", "", "", f"not measured: {error}"[:100]])
            continue
        lines.append([name, *_cells(rows, few, all_of_it), ""])
    return lines


def _cells(rows: Sequence[Row], few: Cost, found: Cost) -> list[str]:
    scale = 1e6 / len(rows)
    return [
        number(len(rows)),
        number(found.client * scale),
        number((found.client - few.client) * scale),
        number(_less(found.server, few.server) * scale),
        number(_less(found.wire, 0) / len(rows) / len(rows[0])),
    ]


def _less(value: float | None, less: float | None) -> float:
    return float("nan") if value is None or less is None else value - less


# -- processes ---------------------------------------------------------------------------------


def _environment(folder: Path, **more: str) -> dict[str, str]:
    """No settings of the user's, and a home of its own."""
    dropped = ("STORE_", "WANDB_", "MLFLOW_", "PYTHON")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return kept | {"HOME": os.fspath(folder), "XDG_CACHE_HOME": os.fspath(folder / "cache")} | more


def _run(command: Sequence[object], folder: Path, **more: str) -> float:
    """CPU seconds of a command and all that it starts.

    Raises:
        ChildProcessError: it failed; the last line that it wrote.
    """
    with (folder / "said.txt").open("w+") as said:
        process = psutil.Popen(
            list(map(str, command)),
            cwd=folder,
            env=_environment(folder, **more),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        spent: dict[int, float] = {}
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                for member in [process, *process.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        spent[member.pid] = cpu_of(member)
            time.sleep(POLL_SECONDS)
        said.seek(0)
        told = said.read().strip().splitlines()
    if process.returncode != 0:
        raise ChildProcessError(told[-1] if told else f"exit code {process.returncode}")
    return sum(spent.values())


def _job(rows: Sequence[Row], folder: Path, **more: str) -> str:
    listed = folder / "rows.jsonl"
    listed.write_text("\n".join(map(json.dumps, rows)))
    return json.dumps({"rows": os.fspath(listed), "folder": os.fspath(folder), **more})


# -- wandb -------------------------------------------------------------------------------------


def measure_wandb(rows: Sequence[Row], folder: Path) -> Cost:
    """Log offline, then `wandb sync` to the stub."""
    place = folder / f"rows-{len(rows)}"
    place.mkdir()
    python = python_of("wandb")
    _run([python, WORKER, "wandb", _job(rows, place)], place)
    (run,) = (place / "wandb").glob("offline-run-*")
    with _stub() as stub:
        client = _run(
            [python.with_name("wandb"), "sync", "--yes", run],
            place,
            WANDB_BASE_URL=stub.url,
            WANDB_API_KEY="0" * 40,
            WANDB_ERROR_REPORTING="false",
        )
    if stub.rows < len(rows):
        raise ValueError(f"{stub.rows} of {len(rows)} rows came, asked for {sorted(stub.asked)}")
    return Cost(client, None, stub.bytes)


class _Stub(ThreadingHTTPServer):
    """Answers wandb's client; counts what comes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.rows = 0
        self.bytes = 0
        self.asked: set[str] = set()


class _Answers(BaseHTTPRequestHandler):
    """A connection to the stub."""

    protocol_version = "HTTP/1.1"

    @property
    def stub(self) -> _Stub:
        """The server that it came to."""
        assert isinstance(self.server, _Stub)
        return self.server

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        self._body()
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/graphql"):
            asked = json.loads(body)
            found = re.search(r"(?:query|mutation)\s+(\w+)", asked.get("query", ""))
            name = found[1] if found else ""
            self.stub.asked.add(name)
            self._answer({"data": answer_to(name, asked.get("variables") or {}, self.stub.url)})
            return
        if self.path.endswith("/file_stream"):
            history = json.loads(body).get("files", {}).get("wandb-history.jsonl", {})
            self.stub.rows += len(history.get("content", ()))
        self._answer({})

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.stub.bytes += len(body)
        return body

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def answer_to(name: str, variables: dict[str, Any], url: str) -> dict[str, Any]:
    """The data of a GraphQL answer; an empty one where the client can do without."""
    entity = {"name": "bench"}
    if name == "Viewer":
        viewer = {"id": "1", "entity": "bench", "username": "bench", "email": "", "flags": "{}"}
        return {"viewer": viewer | {"teams": {"edges": []}}}
    if name == "UpsertBucket":
        run = str(variables.get("name") or "run")
        project = {"name": "bench", "entity": entity}
        bucket = {"id": run, "name": run, "displayName": run, "project": project}
        return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
    if name == "CreateRunFiles":
        files = [
            {"name": file, "uploadUrl": f"{url}/upload/{number}"}
            for number, file in enumerate(variables.get("files") or ())
        ]
        made = {"runID": "run", "uploadHeaders": [], "files": files}
        return {"createRunFiles": made}
    return {}


@contextlib.contextmanager
def _stub() -> Iterator[_Stub]:
    stub = _Stub()
    thread = threading.Thread(target=stub.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.shutdown()
        stub.server_close()


# -- mlflow ------------------------------------------------------------------------------------


def measure_mlflow(rows: Sequence[Row], folder: Path) -> Cost:
    """`log_batch` to a server of this machine; its start and its imports are not counted."""
    place = folder / f"rows-{len(rows)}"
    place.mkdir()
    answer = place / "answer.json"
    with _mlflow_server(place) as (server, url):
        before = _all_cpu(server)
        job = _job(rows, place, url=url, answer=os.fspath(answer))
        _run([python_of("mlflow"), WORKER, "mlflow", job], place)
        spent = _all_cpu(server) - before
    return Cost(json.loads(answer.read_text()), spent, None)


def _all_cpu(process: psutil.Process) -> float:
    return sum(map(cpu_of, [process, *process.children(recursive=True)]))


@contextlib.contextmanager
def _mlflow_server(folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [python_of("mlflow"), "-m", "mlflow", "server", "--workers", "1", "--port", port]
    with (folder / "server.txt").open("w") as said:
        process = psutil.Popen(
            [*map(str, command), "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            _await(url)
            yield process, url
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(url: str) -> None:
    limit = time.monotonic() + 120.0
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        if time.monotonic() > limit:
            raise TimeoutError("no server came up")
        time.sleep(0.2)

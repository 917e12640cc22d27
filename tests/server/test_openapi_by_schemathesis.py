"""A real server does what its own document says, whoever asks and whatever is sent.

Requests are made from the document as it is served, some that follow it and some that do not. The
tool runs as a process of its own: it changes Hypothesis for all tests in the process that it is in.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from store.paths import StoreFolder, create_store
from store.row import Kind
from store.server.accounts import Accounts
from store.server.routes import ROUTES
from tests.helpers import problems
from tests.server.reader import API, Reader, clean_folders
from tests.servers import RunningServer, running_server
from tests.stored_runs import absorb, metric, rows_of

ROOT: Final = Path(__file__).parents[2]
SHA256: Final = hashlib.sha256(b"abc").hexdigest()
HOOKS: Final = "tests.workers.openapi_batches"
CHECKS: Final = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance"),
)
KNOWN: Final[dict[str, list[str]]] = {
    "path.entity": ["crew"],
    "path.project": ["q"],
    "path.run": ["r1"],
    "path.user": ["bob"],
    "path.name": ["model.txt"],
    "path.sha256": [SHA256],
    "query.entity": ["crew", "ann"],
    "query.project": ["q", "p"],
    "query.run": ["r1"],
    "query.source": ["a" * 32],
    "body.user": ["ann", "bob"],
    "body.project": ["p"],
}
"""What is there, so that not all requests are about what is not."""
FEW, MANY = 6, 400
"""Requests to an operation, beside those that go through the edges of its schemas."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """With users, teams and projects, and one run of each that is there."""
    with clean_folders(tmp_path):
        data = tmp_path / "data"
        fill(create_store(data), Accounts(data, create=True))
        with running_server(data) as found:
            yield found


def fill(store: StoreFolder, accounts: Accounts) -> None:
    for name in ("ann", "bob", "carl"):
        accounts.create_user(name)
    for name in ("crew", "gone"):
        accounts.create_team(name, admin="ann")
    accounts.set_member("crew", "bob", "viewer")
    said = [metric(n, {"loss": 1 / (n + 1), "acc": float(n)}) for n in range(40)]
    said += [
        (Kind.CONFIG, 0, {"lr": 0.1, "deep": {"a": [1, None]}}),
        (Kind.CONSOLE, 0, {"stream": "stdout", "text": "hello\n"}),
        (Kind.FILE, 0, {"model.txt": {"sha256": SHA256, "size": 3}}),
        (Kind.METRIC, 40, {"loss": float("nan")}),
    ]
    for entity in ("ann", "crew"):
        for project, visibility in (("p", "private"), ("q", "open")):
            accounts.set_visibility(entity, project, visibility)
            for run in ("r1", "r2", "doomed"):
                folder = absorb(store.run(entity, project, run), rows_of(*said)).files
                folder.mkdir()
                (folder / "model.txt").write_bytes(b"abc")
    accounts.close()


SETTINGS: Final = """
max-stream-events = 1
request-timeout = 30.0
warnings = false
[cache]
enabled = false
[generation]
database = "none"
[phases.fuzzing.extra-data-sources]
responses = false
[phases.coverage.extra-data-sources]
responses = false
"""
"""What answers hold is not used for requests: the keys and users that the test needs are in it."""
FIXED: Final[dict[str, dict[str, object]]] = {
    "delete_run": {"path.run": "doomed"},
    "delete_team": {"path.entity": "gone"},
    "delete_user": {"path.user": "carl"},
    "change_user": {"path.user": "carl"},
    "show_series": {"query.key": ["loss"]},
    "show_project_series": {"query.key": ["loss", "acc"], "query.run": ["r1", "r2", "none"]},
}
"""What the operations that end something are to end, and what they cannot do without."""


def configuration(*, known: bool) -> str:
    """The tool's settings, as TOML; `known`: the paths are of what is there."""
    lines = [SETTINGS, "[dictionaries]"]
    lines += [f'"{name}" = {{ values = {json.dumps(words)} }}' for name, words in KNOWN.items()]
    lines.append("[parameters]")
    for name, words in KNOWN.items():
        if name.startswith("path.") and known:
            lines.append(f'"{name}" = {json.dumps(words[0])}')
        else:
            lines.append(f'"{name}" = {{ dictionary = "{name}", probability = 0.8 }}')
    for operation, values in FIXED.items():
        said = ", ".join(f'"{name}" = {json.dumps(value)}' for name, value in values.items())
        lines += ["[[operations]]", f'include-operation-id = "{operation}"']
        lines.append(f"parameters = {{ {said} }}")
    return "\n".join(lines)


def check_document(
    server: RunningServer, folder: Path, who: str, *options: object, known: bool = True
) -> None:
    """Run the tool against a server, as somebody; what it found, and its seed, are in the error."""
    (folder / "schemathesis.toml").write_text(configuration(known=known))
    header = {
        "admin": ("--header", f"Authorization: Bearer {server.admin_key}"),
        # Wrong keys of its own would only bring 429.
        "nobody": ("--generation-with-security-parameters", "false"),
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", "schemathesis.toml", "run", "--no-color"),
            *("--checks", ",".join(CHECKS), "--continue-on-failure"),
            *(*header[who], *map(str, options), f"{server.url}{API}/openapi.json"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.fspath(ROOT), "SCHEMATHESIS_HOOKS": HOOKS},
        check=False,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # All of them but the one that gives the document.
    assert f"Tested: {len(ROUTES) - 1}\n" in done.stdout, done.stdout


def require_healthy(server: RunningServer) -> None:
    """It still answers whoever has a key, ends as it should, has logged no fault and kept all."""
    with contextlib.closing(Reader(server.url, server.admin_key)) as admin:
        assert admin.get("/me").status == 200
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.told)
    assert problems(server.data) == []


@pytest.mark.parametrize(
    ("who", "known"), [("admin", True), ("nobody", True), ("admin", False)], ids=str
)
def test_a_few_requests_to_every_operation(
    server: RunningServer, tmp_path: Path, who: str, known: bool
) -> None:
    phases = "coverage,fuzzing" if known else "fuzzing"
    options = ("--seed", 1, "--max-examples", FEW, "--phases", phases)
    check_document(server, tmp_path, who, *options, known=known)
    require_healthy(server)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("who", ["admin", "nobody"])
def test_many_requests_to_every_operation(server: RunningServer, tmp_path: Path, who: str) -> None:
    number = int.from_bytes(os.urandom(4), "big")
    options = ("--seed", number, "--max-examples", MANY, "--phases", "coverage,fuzzing")
    check_document(server, tmp_path, who, *options)
    require_healthy(server)

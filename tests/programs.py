"""`store` as a process of its own, against a real server: what a person or a script calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

# A folder of the name "store" in the working directory is not to be taken for the package.
COMMAND = [sys.executable, "-P", "-W", "error", "-m", "store"]
SECONDS = 100.0


def signed_in(url: str, key: str, **more: str) -> dict[str, str]:
    """The variables that name a server and a key."""
    return {"STORE_URL": url, "STORE_API_KEY": key, **more}


def store_command(
    store: Path, *arguments: object, environment: dict[str, str], timeout: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Call `store --store STORE ARGUMENTS`, whatever it ends with."""
    return subprocess.run(
        [*COMMAND, "--store", os.fspath(store), *map(str, arguments)],
        env=_clean() | environment,
        cwd=store.parent,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start_command(
    store: Path, *arguments: object, environment: dict[str, str], **options: Any
) -> subprocess.Popen[bytes]:
    """Start `store --store STORE ARGUMENTS`."""
    command = [*COMMAND, "--store", os.fspath(store), *map(str, arguments)]
    process = subprocess.Popen(
        command, env=_clean() | environment, cwd=store.parent, stdin=subprocess.DEVNULL, **options
    )
    return cast("subprocess.Popen[bytes]", process)


def status_of(store: Path, environment: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """What `store status --json` says, a record for each run."""
    done = store_command(store, "status", "--json", environment=environment or {})
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def _clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("STORE_", "WANDB_"))}

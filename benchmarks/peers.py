"""Environments for the trackers that are measured beside this one: `.venvs/<peer>`.

    python benchmarks/peers.py install [NAME ...]    make them (all, when none is named)
    python benchmarks/peers.py list                  what is installed, and in which version

Each peer has an environment of its own, because their requirements exclude each other. Versions
are pinned: a figure without the version that it belongs to says nothing. A peer that is not
installed is reported as "not installed" by the benchmarks, never left out in silence.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
ENVIRONMENTS: Final = ROOT / ".venvs"
WORKER: Final = Path(__file__).with_name("log_worker.py")
VERSIONS: Final = {
    "wandb": "0.31.0",
    "trackio": "0.43.0",
    "swanlab": "0.10.3",
    "tensorboardX": "2.6.5",
    "neptune-scale": "0.30.0",
    "aim": "3.29.1",
    "mlflow": "3.17.2",
}
ALSO: Final = {
    "tensorboardX": ["setuptools<81", "tensorboard==2.20.0"],
    "aim": ["setuptools<81"],
}
"""What a peer needs at run time without asking for it."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, there or not."""
    folder = ENVIRONMENTS / peer
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def is_installed(peer: str) -> bool:
    """Whether the peer was installed to the end, in the pinned version."""
    mark = ENVIRONMENTS / peer / "installed.txt"
    return mark.exists() and mark.read_text() == VERSIONS[peer]


def install(peer: str) -> bool:
    """Make the environment of one peer; False when pip could not."""
    if is_installed(peer):
        print(f"{peer} {VERSIONS[peer]}: installed")
        return True
    folder = ENVIRONMENTS / peer
    venv.create(folder, with_pip=True, clear=True)
    done = subprocess.run(
        [
            *(os.fspath(python_of(peer)), "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", f"{peer}=={VERSIONS[peer]}", *ALSO.get(peer, ())),
        ],
        check=False,
    )
    if done.returncode == 0:
        (folder / "installed.txt").write_text(VERSIONS[peer])
    print(f"{peer} {VERSIONS[peer]}: {'installed' if done.returncode == 0 else 'FAILED'}")
    return done.returncode == 0


def run_peer(peer: str, job: dict[str, Any], folder: Path, timeout: float) -> dict[str, Any]:
    """Let the worker script do `job` in the peer's environment; its answer, or {"error": ...}.

    The process gets a home of its own and no tracker settings of the user's, is the only one
    that runs, and is killed with all its helpers after `timeout` seconds.
    """
    if not is_installed(peer):
        return {"error": "not installed"}
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("STORE_", "WANDB_", "NEPTUNE_", "MLFLOW_", "SWANLAB_", "PYTHON"))
    } | {"HOME": os.fspath(folder), "XDG_CACHE_HOME": os.fspath(folder / "cache")}
    answer = folder / "answer.json"
    process = subprocess.Popen(
        [python_of(peer), WORKER, peer, json.dumps(job | {"answer": os.fspath(answer)})],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end_group(process)
        return {"error": f"took more than {timeout:.0f} s"}
    _end_group(process)
    if not answer.exists():
        lines = errors.decode(errors="replace").strip().splitlines()
        return {"error": lines[-1][:100] if lines else f"exit code {process.returncode}"}
    answered: dict[str, Any] = json.loads(answer.read_text())
    return answered


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the helpers that a peer started and left behind."""
    if sys.platform != "win32":
        import signal

        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser("install", help="make the environments of peers")
    installing.add_argument("names", nargs="*", metavar="NAME")
    commands.add_parser("list", help="show what is installed")
    chosen = parser.parse_args()
    unknown = set(getattr(chosen, "names", ())) - VERSIONS.keys()
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    if chosen.command == "list":
        for peer, version in VERSIONS.items():
            print(f"{peer:15} {version:8} {'' if is_installed(peer) else 'not installed'}")
        return 0
    failed = [peer for peer in chosen.names or VERSIONS if not install(peer)]
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

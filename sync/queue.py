"""Queue: the runs that the agent of this host is to send, one empty file each.

    <store>/.agent/<host>/<entity>~<project>~<run id>      names as in paths
    <store>/.agent/<host>.lock                             held by the agent while it works

`init()` puts a run in; the agent takes it out once it has ended and all of it was acknowledged.
Runs that were logged with mode="offline" never get in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from store.host import host_name
from store.names import encode_name
from store.paths import RunFolder, StoreFolder


def _folder(store_path: Path) -> Path:
    return store_path / ".agent" / encode_name(host_name(), "host")


def lock_path(store_path: Path) -> Path:
    """The lock of this host's agent."""
    folder = _folder(store_path)
    return folder.with_name(f"{folder.name}.lock")


def enqueue(run: RunFolder) -> None:
    """Let the agent send `run`. OSError: the store cannot be written to."""
    folder = _folder(run.path.parents[2])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / run.key.replace("/", "~")).touch()


def queued(store: StoreFolder) -> Iterator[RunFolder]:
    """The runs in the queue."""
    try:
        names = sorted(os.listdir(_folder(store.path)))
    except OSError:
        return
    for name in names:
        path = store.path.joinpath(*name.split("~"))
        if len(name.split("~")) == 3:
            yield RunFolder(path, store)


def dequeue(run: RunFolder) -> None:
    """The run is sent."""
    name = run.key.replace("/", "~")
    (_folder(run.path.parents[2]) / name).unlink(missing_ok=True)

"""Live: which runs of a shared store are being written, in one folder that one look lists.

    <store>/.live/<entity>~<project>~<run id>~<writer uuid>     empty; names as in paths

A writer puts its mark there with its first row and takes it away when it has ended. A mark says
where to look and no more: that of a writer that died stays until its journal has gone.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from store.paths import RunFolder, StoreFolder


def _folder(store_path: Path) -> Path:
    return store_path / ".live"


def _mark(run: RunFolder, uuid: str) -> Path:
    return _folder(run.path.parents[2]) / f"{run.key.replace('/', '~')}~{uuid}"


def mark(run: RunFolder, uuid: str) -> None:
    """A writer of `run` begins. OSError: the store cannot be written to."""
    path = _mark(run, uuid)
    path.parent.mkdir(exist_ok=True)
    path.touch()


def unmark(run: RunFolder, uuid: str) -> None:
    """A writer of `run` has ended, or its journal has gone."""
    with contextlib.suppress(OSError):
        _mark(run, uuid).unlink()


def marked(store: StoreFolder) -> dict[str, set[str]]:
    """The uuids of the writers that have a mark, by the key of their run."""
    found: dict[str, set[str]] = {}
    try:
        names = os.listdir(_folder(store.path))
    except OSError:
        return found
    for name in names:
        *parts, uuid = name.split("~")
        if len(parts) == 3:
            found.setdefault("/".join(parts), set()).add(uuid)
    return found

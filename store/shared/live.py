"""Live: which runs of a shared store are being written, in one folder that one look lists.

    <store>/.live/<entity>~<project>~<run id>~<writer uuid>     empty; names as in paths

A writer puts its mark there with its first row, touches it as a sign of life, and takes it away
when it has ended. A mark says where to look and no more: that of a writer that died stays until
its journal has gone, and a name that is too long for a disk has none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Final

from store.paths import RunFolder, StoreFolder

RECENT_SECONDS: Final = 600.0
"""More than clocks may differ by and hosts may be late in seeing a sign."""


def _folder(store_path: Path) -> Path:
    return store_path / ".live"


def _mark(run: RunFolder, uuid: str) -> Path:
    return _folder(run.path.parents[2]) / f"{run.key.replace('/', '~')}~{uuid}"


def mark(run: RunFolder, uuid: str) -> None:
    """A writer of `run` begins, or lives on. OSError: the store cannot be written to."""
    path = _mark(run, uuid)
    path.parent.mkdir(exist_ok=True)
    try:
        path.touch()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise


def unmark(run: RunFolder, uuid: str) -> None:
    """A writer of `run` has ended, or its journal has gone."""
    with contextlib.suppress(OSError):
        _mark(run, uuid).unlink()


def marked(store: StoreFolder) -> set[str]:
    """The keys of the runs that had a sign of a writer within the last RECENT_SECONDS."""
    found: set[str] = set()
    since = time.time() - RECENT_SECONDS
    try:
        with os.scandir(_folder(store.path)) as marks:
            for entry in marks:
                *parts, _uuid = entry.name.split("~")
                with contextlib.suppress(OSError):
                    if len(parts) == 3 and entry.stat().st_mtime > since:
                        found.add("/".join(parts))
    except OSError:
        return found
    return found

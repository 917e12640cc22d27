"""Troubles: why a remote could not be reached at all, for `store status` and `finish()`.

    <store>/.agent/<remote, as a name of a path>.trouble      {"error": ..., "at": ...}

What concerns one run is noted in its own database; this is about all of them, and is gone with the
next success.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import NamedTuple

from store.names import encode_name
from store.settings_sources import replace_file


class Trouble(NamedTuple):
    """What went wrong, and when (seconds since 1970)."""

    error: str
    at: float


def _file(store_path: Path, remote: str) -> Path:
    return store_path / ".agent" / f"{encode_name(remote[:100], 'remote')}.trouble"


def note_trouble(store_path: Path, remote: str, error: str) -> None:
    """Remember it; a disk that takes nothing is no reason to fail."""
    file = _file(store_path, remote)
    with contextlib.suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        said = {"error": error, "at": time.time()}
        replace_file(file, json.dumps(said).encode(), private=False)


def clear_trouble(store_path: Path, remote: str) -> None:
    """The remote answers."""
    with contextlib.suppress(OSError):
        _file(store_path, remote).unlink(missing_ok=True)


def read_trouble(store_path: Path, remote: str) -> Trouble | None:
    """What was wrong at the last try, or None."""
    try:
        fields = json.loads(_file(store_path, remote).read_bytes())
        return Trouble(str(fields["error"]), float(fields["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None

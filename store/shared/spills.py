"""Spills: folders outside a store where this host has put journals of its runs (settings.spool).

They are listed in the user's state folder, apart for each host, because a home may be shared:

    <state>/spills/<host>/<store id>/<entity>~<project>~<run id>     one folder a line
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from store.host import host_name, state_folder
from store.names import encode_name

if TYPE_CHECKING:
    from store.paths import RunFolder


def _lists(store_id: str) -> Path:
    return state_folder() / "spills" / encode_name(host_name(), "host") / store_id


def _list(run: RunFolder) -> Path:
    return _lists(run.store_id) / run.key.replace("/", "~")


def spilled_runs(store_id: str) -> frozenset[str]:
    """Keys of the runs of a store that have journals outside it."""
    try:
        listed = os.listdir(_lists(store_id))
    except OSError:
        return frozenset()
    return frozenset(name.replace("~", "/") for name in listed)


def spill_folders(run: RunFolder) -> list[Path]:
    """The folders that may hold journals of `run`, in the order in which they were listed."""
    if not run.store_id:
        return []
    try:
        return [Path(line) for line in _list(run).read_text().splitlines()]
    except OSError:
        return []


def add_spill_folder(run: RunFolder, spool: Path) -> Path:
    """Make the folder for journals of `run` below `spool` and list it for every fold here."""
    folder = Path(os.path.abspath(spool)) / run.store_id / run.key
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in spill_folders(run):
        listed = _list(run)
        listed.parent.mkdir(parents=True, exist_ok=True)
        with open(listed, "a", encoding="utf-8") as file:
            file.write(f"{folder}\n")
    return folder


def drop_spill_folders(run: RunFolder) -> None:
    """Forget the spill folders of `run` once nothing is left in them."""
    folders = spill_folders(run)
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
    if folders and not any(folder.exists() for folder in folders):
        _list(run).unlink(missing_ok=True)

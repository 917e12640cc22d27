"""Which file system a folder lies on, and what may be done there.

The device number of a folder is looked up in /proc/self/mountinfo (proc(5)); no call is made on
the folder's file system beyond stat. What is not known to be safe counts as unsafe.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MAPPABLE: Final = frozenset({"ext3", "ext4", "xfs", "tmpfs"})
"""File systems where allocated blocks stay allocated and shared mappings are coherent."""
_known: dict[int, str] = {}


def file_system(folder: Path) -> str:
    """The type of the file system below `folder`, such as "ext4", or "unknown"."""
    try:
        device = os.stat(folder).st_dev
        if device not in _known:
            _known[device] = _look_up(device)
    except OSError:
        return "unknown"
    return _known[device]


def is_mappable(folder: Path) -> bool:
    """True where a journal may be written through a shared mapping."""
    return hasattr(os, "posix_fallocate") and file_system(folder) in MAPPABLE


def _look_up(device: int) -> str:
    wanted = f"{os.major(device)}:{os.minor(device)}"
    found = "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            mounted, _, rest = line.partition(" - ")
            if mounted.split()[2] == wanted:
                found = rest.split()[0]
    return found

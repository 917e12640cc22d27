"""Which file system a folder lies on, and what may be done there.

On Linux the device number of a folder is looked up in /proc/self/mountinfo (proc(5)), and where it
does not stand there (btrfs gives each subvolume one of its own) the longest mount point above it;
no call is made on the folder's file system beyond stat. Elsewhere psutil lists the mounts. What is
not known to be local counts as shared between hosts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from store.locks import no_fork

Mode = Literal["local", "shared"]
LOCAL: Final = frozenset(
    "ext2 ext3 ext4 xfs btrfs zfs bcachefs f2fs overlay tmpfs ramfs apfs hfs ntfs ntfs3 vfat exfat"
    " jfs reiserfs".split()
)
"""File systems of one host: locks, shared mappings and new names mean there what they say."""
MAPPABLE: Final = frozenset({"ext3", "ext4", "xfs", "tmpfs"})
"""File systems where allocated blocks stay allocated and shared mappings are coherent."""
_REMOTE_MAGIC: Final = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFE534D42: "smb2",
    0xFF534D42: "cifs",
    0x65735546: "fuse",
    0x0BD00BD0: "lustre",
    0x19830326: "beegfs",
    0x47504653: "gpfs",
    0x00C36400: "ceph",
    0x01021997: "9p",
    0x5346414F: "afs",
    0xAAD7AAEA: "panfs",
    0x013661D8: "gfs2",
    0x7461636F: "ocfs2",
    0x786F4256: "vboxsf",
}
"""Types that statfs(2) tells by number, of file systems that other hosts may write to."""


class Mount(NamedTuple):
    """A line of /proc/self/mountinfo: where, of what type, with which options."""

    point: str
    device: str
    kind: str
    options: str


def file_system(folder: Path) -> str:
    """The type of the file system below `folder`, such as "ext4", or "unknown"."""
    # Looked up each time: a device's number is given to another mount once it is free.
    try:
        found = find_mount(folder)
    except OSError:
        return "unknown"
    return found.kind if found else "unknown"


def is_mappable(folder: Path) -> bool:
    """True where a journal may be written through a shared mapping."""
    return hasattr(os, "posix_fallocate") and file_system(folder) in MAPPABLE


def detect_mode(folder: Path) -> Mode:
    """Whether only this host can write to the disk of `folder`, as far as can be told.

    Both the list of mounts and, where there is one, the number that statfs gives must say so.
    """
    kind = file_system(folder)
    if not sys.platform.startswith("linux") and kind == "unknown":
        return "local"
    return "local" if kind in LOCAL and statfs_name(folder) is None else "shared"


def find_mount(folder: Path) -> Mount | None:
    """The mount that `folder` lies on; None when it cannot be told. OSError: no such folder."""
    status = os.stat(folder)
    if not sys.platform.startswith("linux"):
        return _longest(os.path.realpath(folder), _mounts_elsewhere())
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    listed = list(_mounts())
    # The last one mounted hides the others.
    for mount in reversed(listed):
        if mount.device == device:
            return mount
    return _longest(os.path.realpath(folder), listed)


def statfs_name(folder: Path) -> str | None:
    """What statfs(2) calls the disk of `folder`, where it is one that hosts share."""
    if not sys.platform.startswith("linux"):
        return None
    with no_fork:
        import ctypes

    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(folder), buffer) != 0:
        return None
    # struct statfs begins with f_type, a long.
    magic = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_long))[0] & 0xFFFFFFFF
    return _REMOTE_MAGIC.get(magic)


def _mounts() -> Iterator[Mount]:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                mounted, _, rest = line.partition(" - ")
                fields, after = mounted.split(), rest.split()
                if len(fields) >= 6 and len(after) >= 3:
                    point = _unescape(fields[4])
                    # Those of the mount, and those of its file system, which says some again.
                    options = dict.fromkeys(f"{fields[5]},{after[2]}".split(","))
                    yield Mount(point, fields[2], after[0], ",".join(options))
    except OSError:
        return


def _mounts_elsewhere() -> Iterator[Mount]:
    with no_fork:
        import psutil

    for mount in psutil.disk_partitions(all=True):
        yield Mount(mount.mountpoint, mount.device, mount.fstype.lower(), mount.opts)


def _longest(path: str, mounts: Iterator[Mount] | list[Mount]) -> Mount | None:
    found: Mount | None = None
    for mount in mounts:
        above = os.path.join(mount.point, "")
        inside = path == mount.point or os.path.join(path, "").startswith(above)
        if inside and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _unescape(text: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, letter)
    return text

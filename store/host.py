"""This host: its name, what tells it from others, and its own folders beside any store.

Folders here are local to the host, or hold what only this host may use: caches that can be made
anew at any time, and the state that has to outlive a process.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from store.disk import LOCAL, file_system


def host_name() -> str:
    """STORE_HOST, or this host's name, without the import that `platform` costs."""
    given = os.environ.get("STORE_HOST")
    if given:
        return given
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


def kernel_of(folder: Path) -> str:
    """What stands for "locks on files in `folder` are kept by the same kernel, for one mount".

    The name alone is not enough: nodes may bear the same one, and two mounts of one disk on one
    host may not see each other's locks. "" when the folder is not there.
    """
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return ""
    return f"{host_name()[:64]}/{_boot()}/{device}"


@functools.cache
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read(8).decode()
    except OSError:
        return ""


def state_folder() -> Path:
    """The user's folder for what this host has to remember across runs."""
    if os.name == "posix" and os.uname().sysname == "Linux":
        base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        return Path(base) / "runstore"
    from platformdirs import user_state_path

    return user_state_path("runstore")


def cache_folders() -> Iterator[Path]:
    """The folders for caches, best first, each there, on a local disk and writable."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for base, name in (
        (os.environ.get("STORE_CACHE"), ""),
        (home, "runstore"),
        (os.environ.get("XDG_RUNTIME_DIR"), "runstore"),
    ):
        if base and os.path.isabs(base) and _usable(folder := Path(base, name)):
            yield folder
    import tempfile

    private = Path(tempfile.gettempdir(), f"runstore-{_user()}")
    if _usable(private) and _is_private(private):
        yield private


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    # Only Linux says what a disk is; elsewhere a cache folder is taken to be local.
    is_local = file_system(folder) in LOCAL or not sys.platform.startswith("linux")
    return is_local and os.access(folder, os.W_OK | os.X_OK)


def _is_private(folder: Path) -> bool:
    """Whether the folder is this user's alone: anybody may have made it in a shared /tmp."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.lstat()
    mode = stat.S_IMODE(status.st_mode)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not mode & 0o077


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"

"""Small disks of our own: a tmpfs, and ext4 in a file. They need root and say "not run" without."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN of the kernel's ext4.h."""
NO_LOG_FLUSH = struct.pack("I", 2)
"""Drop all that is not on the disk yet, the file system's own log included."""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        pytest.skip(f"not run: {' '.join(command)}: {done.stderr.strip()}")


def _need(*programs: str) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("not run: needs root")
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"not run: needs {program}")


@contextmanager
def tmpfs(folder: Path, megabytes: int) -> Iterator[Path]:
    """A memory disk of a few megabytes."""
    _need("mount")
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True, timeout=60)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write to a folder, root included."""
    _need("mount")
    _run("mount", "--bind", str(folder), str(folder))
    try:
        _run("mount", "-o", "remount,ro,bind", str(folder))
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True, timeout=60)


def make_image(image: Path, megabytes: int) -> None:
    """An empty ext4 file system in a file."""
    _need("mount", "mkfs.ext4")
    with open(image, "wb") as file:
        file.truncate(megabytes * 2**20)
    _run("mkfs.ext4", "-q", "-F", str(image))


@contextmanager
def ext4(image: Path, folder: Path) -> Iterator[Path]:
    """The image, mounted at `folder`."""
    folder.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True, timeout=60)


def cut_power(folder: Path) -> None:
    """What a power cut leaves on the disk of `folder`: nothing is written from here on."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SHUTDOWN, NO_LOG_FLUSH)
    finally:
        os.close(fd)


@contextmanager
def ballast(folder: Path) -> Iterator[Path]:
    """A file that takes all the room there is; remove it to give the room back."""
    path = folder / "ballast"
    block = bytes(4096)
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(block) == len(block):
                pass
        except OSError:
            pass
    yield path
    path.unlink(missing_ok=True)

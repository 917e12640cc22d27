"""Disks in user space: one that shows a folder (bindfs), and one whose server never answers."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

FORCE, DETACH = 1, 2
"""MNT_FORCE and MNT_DETACH of umount2(2)."""
INIT = 26
"""FUSE_INIT of the kernel's fuse.h."""


def _need() -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("not run: needs root")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("not run: needs /dev/fuse")


@contextmanager
def bindfs(source: Path, folder: Path, *options: str) -> Iterator[Path]:
    """`source`, seen through a FUSE mount at `folder`."""
    _need()
    if shutil.which("bindfs") is None:
        pytest.skip("not run: needs bindfs")
    source.mkdir(exist_ok=True)
    folder.mkdir()
    subprocess.run(["bindfs", *options, source, folder], check=True, timeout=60)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True, timeout=60)


@contextmanager
def silent(folder: Path) -> Iterator[Path]:
    """A disk that takes every request and answers none: callers wait, and no signal ends that."""
    _need()
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"silent", os.fsencode(folder), b"fuse", 0, options) != 0:
        os.close(fd)
        pytest.skip(f"not run: mount: {os.strerror(ctypes.get_errno())}")
    server = threading.Thread(target=_take, args=(fd,))
    server.start()
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), FORCE)  # ends the waiting, and the server's read
        libc.umount2(os.fsencode(folder), DETACH)
        server.join(60)
        os.close(fd)


def _take(fd: int) -> None:
    with suppress(OSError):  # the end of the mount
        while True:
            request = os.read(fd, 2**20)
            _, opcode, unique = struct.unpack_from("=IIQ", request)
            if opcode == INIT:
                answer = struct.pack("=IIII", 7, 31, 0, 0) + struct.pack("=HHII", 0, 0, 4096, 1)
                answer = answer.ljust(64, b"\0")
                os.write(fd, struct.pack("=IiQ", 16 + len(answer), 0, unique) + answer)

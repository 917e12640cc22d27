"""The journal: the append-only file that one process writes and any process reads.

A segment is the 8 bytes MAGIC and then frames: `<length, crc32>` as two little-endian uint32,
then `length` bytes of payload (one packed row). A length of 0, or the end of the file, ends the
data. A frame is there when its crc fits; log() returns only after that, so SIGKILL loses no row.

Two media write the same bytes. `MappedJournal` stores into shared memory over blocks that were
allocated before (no system call, and the interpreter's lock is never handed over, which costs
other threads' time slices of 5 ms). `AppendJournal` makes one `write` a row; it serves wherever
a shared mapping or an allocation promises nothing (network disks, copy-on-write, other systems).
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple, Protocol
from zlib import crc32

from store.disk import is_mappable

MAGIC: Final = b"RUNJRNL\x01"
HEADER: Final = Struct("<II")
ROW_START: Final = b"\x95"
MAX_PAYLOAD: Final = 16 * 2**20
FIRST_WINDOW: Final = 128 * 1024
LARGEST_WINDOW: Final = 4 * 2**20
READ_BYTES: Final = 2**20
_pack_header: Final[Callable[[int, int], bytes]] = HEADER.pack


class Journal(Protocol):
    """What a writer needs of either medium. None of the calls is safe against another thread."""

    path: Path

    @property
    def end(self) -> int:
        """The offset behind the last frame."""
        ...

    def append(self, payload: bytes) -> None:
        """Add one frame. OSError: it has to be added again, unless `left_behind` finds it there;
        those before it are unharmed, but for what `NetworkJournal` says of its disks.
        """
        ...

    def left_behind(self) -> bytes | None:
        """The payload of the whole frame behind the end that an interrupted append has left."""
        ...

    def accept(self, payload: bytes) -> None:
        """Move the end behind the frame that `left_behind` gave."""
        ...

    def prepare(self) -> Callable[[], Callable[[], None]] | None:
        """When room runs short: a call that makes more, slowly, and needs no lock.

        What that call gives is to be called under the lock, unless the journal was closed.
        """
        ...

    def syncing(self) -> Callable[[], None]:
        """A call that puts every frame of now on the disk itself, slowly, and needs no lock."""
        ...

    def close(self, *, trim: bool) -> None:
        """Let go of the file; `trim` gives allocated room behind the last frame back."""
        ...


def create_journal(path: Path, medium: str) -> Journal:
    """Create a segment; `medium` is auto, mmap or write. The file must not exist."""
    if medium == "mmap" or (medium == "auto" and is_mappable(path.parent)):
        return MappedJournal(path)
    return AppendJournal(path)


def _create(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0), 0o666)


class MappedJournal:
    """Frames are stored through a window of shared memory that moves along the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = _create(path)
        self._base = 0
        self._at = 0
        self._room = 0
        self._size = FIRST_WINDOW
        try:
            self._window = _map(self._fd, 0, FIRST_WINDOW)
        except BaseException:
            os.close(self._fd)
            path.unlink()
            raise
        self._room = FIRST_WINDOW
        self._window[: len(MAGIC)] = MAGIC
        self._at = len(MAGIC)

    @property
    def end(self) -> int:
        return self._base + self._at

    def append(self, payload: bytes) -> None:
        size = len(payload)
        at = self._at
        stop = at + 8 + size
        if stop > self._room:
            self._extend(8 + size)
            at = self._at
            stop = at + 8 + size
        self._window[at:stop] = _pack_header(size, crc32(payload)) + payload
        self._at = stop

    def left_behind(self) -> bytes | None:
        if self._at + 8 > self._room:
            return None
        size, crc = HEADER.unpack_from(self._window, self._at)
        payload = self._window[self._at + 8 : self._at + 8 + size]
        return payload if size and len(payload) == size and crc32(payload) == crc else None

    def accept(self, payload: bytes) -> None:
        self._at += 8 + len(payload)

    def prepare(self) -> Callable[[], Callable[[], None]] | None:
        if self._room - self._at > self._room // 2:
            return None
        base, length = self._next_window(0)
        # The journal may be closed while room is made, and its number given to another file.
        fd = os.dup(self._fd)

        def grow() -> Callable[[], None]:
            try:
                window = _map(fd, base, length)
            finally:
                os.close(fd)
            return lambda: self._swap(window, base, length)

        return grow

    def _swap(self, window: mmap.mmap, base: int, length: int) -> None:
        if 0 <= self.end - base < length and self._base < base:
            self._use(window, base, length)
        else:
            window.close()

    def syncing(self) -> Callable[[], None]:
        return _syncing(self._fd)

    def close(self, *, trim: bool) -> None:
        self._window.close()
        self._room = -1
        if trim:
            # A disk that refuses leaves zeros behind the data, which readers stop at.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.end)
        os.close(self._fd)

    def _next_window(self, need: int) -> tuple[int, int]:
        end = self.end
        base = end - end % mmap.ALLOCATIONGRANULARITY
        self._size = min(2 * self._size, LARGEST_WINDOW)
        length = max(self._size, end - base + need)
        return base, length + -length % mmap.ALLOCATIONGRANULARITY

    def _extend(self, need: int) -> None:
        base, length = self._next_window(need)
        self._use(_map(self._fd, base, length), base, length)

    def _use(self, window: mmap.mmap, base: int, length: int) -> None:
        old, end = self._window, self.end
        self._window, self._base, self._at, self._room = window, base, end - base, length
        old.close()


def _map(fd: int, base: int, length: int) -> mmap.mmap:
    # Blocks first: a store into a hole of a full disk would kill the process with SIGBUS.
    os.posix_fallocate(fd, base, length)
    return mmap.mmap(fd, length, offset=base)


def pack_frame(payload: bytes) -> bytes:
    return _pack_header(len(payload), crc32(payload)) + payload


class AppendJournal:
    """Each frame is one `write` to a file opened with O_APPEND."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = _create(path)
        self.end = 0
        try:
            self._write(MAGIC)
        except BaseException:
            os.close(self._fd)
            path.unlink()
            raise

    def append(self, payload: bytes) -> None:
        self._write(pack_frame(payload))

    def _write(self, frame: bytes) -> None:
        written = os.write(self._fd, frame)
        if written != len(frame):
            # A full disk may take a part of the frame first; what follows it would be unreadable.
            os.ftruncate(self._fd, self.end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self.end += written

    def left_behind(self) -> bytes | None:
        size = os.fstat(self._fd).st_size
        if size == self.end:
            return None
        chunk = read_frames(self.path, self.end)
        if len(chunk.payloads) == 1 and chunk.offset == size:
            return bytes(chunk.payloads[0])
        os.ftruncate(self._fd, self.end)
        return None

    def accept(self, payload: bytes) -> None:
        self.end += HEADER.size + len(payload)

    def prepare(self) -> Callable[[], Callable[[], None]] | None:
        return None

    def syncing(self) -> Callable[[], None]:
        return _syncing(self._fd)

    def close(self, *, trim: bool) -> None:  # noqa: ARG002 - nothing was allocated ahead
        os.close(self._fd)


def _syncing(fd: int) -> Callable[[], None]:
    # The journal may be closed meanwhile, and its number given to another file.
    copy = os.dup(fd)

    def sync() -> None:
        try:
            getattr(os, "fdatasync", os.fsync)(copy)
        finally:
            os.close(copy)

    return sync


def is_foreign(error: OSError) -> bool:
    """Whether a signal handler raised `error` in our midst: TimeoutError is an OSError, too."""
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in ("store", "os", "pathlib", "contextlib"):
            return True
        trace = trace.tb_next
    return False


def sync_path(path: Path) -> None:
    """Put a file, or a folder's list of names, on the disk itself; one that is gone is none."""
    if sys.platform == "win32" and path.is_dir():
        return
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # folded meanwhile, by a commit that was synced
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Chunk(NamedTuple):
    """Frames read from a segment.

    `offset` lies behind the last of them. `complete` is False when more can be read at once;
    `bad` tells that bytes follow which are no frame (yet: in a live journal it may be underway).
    """

    payloads: list[memoryview]
    offset: int
    complete: bool
    bad: bool


def read_frames(path: Path, offset: int, limit: int = READ_BYTES) -> Chunk:
    """Read the frames from `offset` (0 = the start of the segment), about `limit` bytes of them.

    Opened afresh for each call, which is what makes another host's writes visible on NFS.

    Raises:
        FileNotFoundError: the segment was folded and removed meanwhile.
    """
    with open(path, "rb", buffering=0) as file:
        if offset == 0:
            magic = file.read(len(MAGIC))
            if magic != MAGIC:
                written = magic.rstrip(b"\0")
                return Chunk([], 0, True, bad=not MAGIC.startswith(written))
            offset = len(MAGIC)
        file.seek(offset)
        chunk = _scan(file.read(limit), offset)
        if chunk.payloads or not chunk.bad:
            return chunk
        # One frame may be larger than the limit; nothing is lost by reading its full length.
        file.seek(offset)
        return _scan(file.read(MAX_PAYLOAD + HEADER.size), offset)


def _scan(content: bytes, offset: int) -> Chunk:
    view, at, length = memoryview(content), 0, len(content)
    payloads: list[memoryview] = []
    unpack, header_size = HEADER.unpack_from, HEADER.size
    while at + header_size <= length:
        size, crc = unpack(view, at)
        start = at + header_size
        stop = start + size
        if size == 0:
            return Chunk(payloads, offset + at, True, False)
        if stop > length:
            return Chunk(payloads, offset + at, not payloads, not payloads)
        payload = view[start:stop]
        if crc32(payload) != crc:
            return Chunk(payloads, offset + at, True, True)
        payloads.append(payload)
        at = stop
    torn = at < length and any(content[at:])
    return Chunk(payloads, offset + at, not payloads, torn and not payloads)


def rest_of(path: Path, offset: int) -> bytes:
    """What follows `offset` in a dead journal, empty where that is only allocated room."""
    with open(path, "rb") as file:
        file.seek(offset)
        rest = file.read()
    return b"" if rest == bytes(len(rest)) else rest.rstrip(b"\0")


def find_frame(path: Path, offset: int) -> int | None:
    """The offset of the next whole frame behind damaged bytes at `offset`, or None."""
    content = path.read_bytes()
    view = memoryview(content)
    # An array of five is what every row begins with; it spares most of the crc work.
    start = content.find(ROW_START, offset + 1 + HEADER.size)
    while start >= 0:
        size, crc = HEADER.unpack_from(content, start - HEADER.size)
        stop = start + size
        if 0 < size <= MAX_PAYLOAD and stop <= len(content) and crc32(view[start:stop]) == crc:
            return start - HEADER.size
        start = content.find(ROW_START, start + 1)
    return None

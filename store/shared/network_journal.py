"""The journal on a network disk, which may lose what it took.

What write(2) hands over waits in this host's cache for the file server, which may refuse it: it is
full, the file was removed by another host, or it has given this host up meanwhile. A later write
or fsync says so, once, and its own bytes may have been taken all the same; the cache is dropped,
and the descriptor may be of no use any more. Or it goes on taking rows for a file that was removed.

So frames are kept here until, after they were synced, the file was twice seen to be there (once
does not do: a host may read, then comes a row, and then the host removes the file). The next
segment begins with those of a journal that `is_lost`. A full disk alone is a doubt: the next sync
is followed by a look at what is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from store.journal import MAGIC, AppendJournal, is_foreign, pack_frame

KEEP_SECONDS: Final = 5.0
"""Between the two looks: what a host may take from its last read of a file to its removal."""


class NetworkJournal(AppendJournal):
    """Frames are written as to any disk; `remains` gives them again where they are lost."""

    def __init__(self, path: Path) -> None:
        self._frames: deque[tuple[int, bytes]] = deque()
        self._kept_from = len(MAGIC)
        self._safe = self._seen = self._seen_before = 0
        self._seen_at = 0.0
        self._doubts = 0
        """Refusals of a full disk that no sync has followed yet."""
        self.is_lost = False
        """Whether rows of this journal may be in no file."""
        self.is_replaced = False
        """Whether all of them were written again, into the next segment."""
        super().__init__(path)
        self._inode = os.fstat(self._fd).st_ino

    def append(self, payload: bytes) -> None:
        frame = pack_frame(payload)
        # Before it is written: behind that a signal's exception would come too late for the writer.
        self._frames.append((self.end + len(frame), frame))
        try:
            self._write(frame)
        except OSError as error:
            if not is_foreign(error):
                self._frames.pop()
                # It may be told of frames before this one, and of them it is told only once.
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    self._doubts += 1
                else:
                    self.is_lost = True
            raise

    def left_behind(self) -> bytes | None:
        try:
            payload = super().left_behind()
        except OSError:
            if not self.is_lost:
                raise
            payload = None
        if payload is None:
            self._forget_unwritten()
        return payload

    def accept(self, payload: bytes) -> None:
        self._forget_unwritten()
        frame = pack_frame(payload)
        self._frames.append((self.end + len(frame), frame))
        super().accept(payload)

    def _forget_unwritten(self) -> None:
        while self._frames and self._frames[-1][0] > self.end:
            self._frames.pop()

    def syncing(self) -> Callable[[], None]:
        self._forget()
        end, sync, doubts = self.end, super().syncing(), self._doubts
        unsure = self._doubted() if doubts else b""

        def sync_all() -> None:
            try:
                sync()
                if doubts and not self._is_there(unsure, end):
                    self.is_lost = True
            except OSError:
                self.is_lost = True
                raise
            # The kernel tells of a loss once: a sync after, or beside, that one says nothing.
            if self.is_lost:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
            self._safe = max(self._safe, end)
            self._doubts -= doubts

        return sync_all

    def _doubted(self) -> bytes:
        return b"".join(frame for end, frame in self._frames if end <= self.end)

    def _is_there(self, frames: bytes, end: int) -> bool:
        """Whether the file server has `frames` before `end`; all that was written is synced."""
        with self.path.open("rb", buffering=0) as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(file.fileno(), len(frames), end - len(frames)) == frames

    def _forget(self) -> None:
        if self.is_lost:
            return
        while self._frames and self._frames[0][0] <= self._seen_before:
            self._kept_from, _ = self._frames.popleft()

    def look(self, *, afresh: bool) -> None:
        """Find out whether the file was removed; it may take as long as the file server does.

        With `afresh` the server is asked; else this is what is known here, maybe a minute old.
        """
        safe = self._safe
        try:
            if not afresh:
                is_gone = self._fd >= 0 and os.fstat(self._fd).st_nlink == 0
            else:
                with self.path.open("rb", buffering=0) as file:
                    is_gone = os.fstat(file.fileno()).st_ino != self._inode
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                return
            is_gone = True
        if afresh and not is_gone and time.monotonic() >= self._seen_at + KEEP_SECONDS:
            self._seen_at = time.monotonic()
            self._seen_before, self._seen = self._seen, safe
        self.is_lost = self.is_lost or is_gone

    def remains(self) -> bytes:
        """What a file needs to hold every row, or, where the file cannot be read any more, those
        that were not safe.
        """
        frames = b"".join(frame for end, frame in self._frames if end <= self.end)
        with contextlib.suppress(OSError):
            content = os.pread(self._fd, self._kept_from, 0)
            if len(content) == self._kept_from and content.startswith(MAGIC):
                return content + frames
        return MAGIC + frames

    def inherit(self, frames: bytes) -> None:
        """Begin with `frames`, synced. OSError: there is no file then."""
        try:
            self._write(frames)
            os.fsync(self._fd)
        except BaseException:
            self.close(trim=False)
            self.path.unlink(missing_ok=True)
            raise
        self._safe = self._kept_from = self.end

    def close(self, *, trim: bool) -> None:
        """With `trim`, the rows are synced; what fails tells `is_lost`."""
        try:
            if trim:
                os.fsync(self._fd)
                if self._doubts and not self._is_there(self._doubted(), self.end):
                    self.is_lost = True
        except OSError:
            self.is_lost = True
        finally:
            with contextlib.suppress(OSError):  # a disk that lost the file says so again
                os.close(self._fd)
            self._fd = -1

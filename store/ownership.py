"""Ownership: which writers live, and what they say of themselves.

`<uuid>.own` is flock'd by a writer before its first journal exists, and for as long as it lives:
the kernel lets go of it with the process. Looking takes the lock shared and at once gives it
back; only the adoption of a dead writer's journal takes it exclusively. Where files cannot be
locked the answer is "unknown", and nobody's journal is removed on that word.

On a shared disk a lock says something only to the kernel that keeps it, which the file names;
locks of other hosts are never asked for. There a writer lives that gave a sign a short while ago:
its background thread touches `.own`, or adds to the journal, every SIGN_SECONDS.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from store.host import kernel_of

if TYPE_CHECKING:
    from store.paths import RunFolder

try:
    import fcntl
except ImportError:  # Windows has no flock: every writer's state is "unknown" there
    fcntl = None  # type: ignore[assignment]

Life = Literal["alive", "dead", "unknown"]
NOTE_BYTES: Final = 512
SIGN_SECONDS: Final = 20.0
SILENT_SECONDS: Final = 90.0
"""Signs may come late: other hosts keep what they know of a file for a while."""


class Ownership:
    """The writer's side of `<uuid>.own`."""

    def __init__(self, path: Path) -> None:
        """Create and lock the file. It bears its name only once it is locked and has its room."""
        self.path = path
        unnamed = path.with_suffix(".owning")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.open(unnamed, flags, 0o666)
        try:
            self._kernel = kernel_of(path.parent)
            os.write(self._fd, self._text({}))
            if fcntl is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(unnamed, path)
        except BaseException:
            os.close(self._fd)
            unnamed.unlink(missing_ok=True)
            raise

    def note(self, facts: dict[str, Any]) -> None:
        """Replace what the file says, which a full disk does not refuse for one block."""
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, self._text(facts), 0)

    def _text(self, facts: dict[str, Any]) -> bytes:
        text = json.dumps({"kernel": self._kernel} | facts).encode()
        return text[:NOTE_BYTES].ljust(NOTE_BYTES)

    def release(self) -> None:
        """Let go of the lock, also for children that a fork left with a copy of the descriptor."""
        _unlock(self._fd)
        self.abandon()

    def abandon(self) -> None:
        """In a forked child: close the inherited descriptor; the lock stays the parent's."""
        with contextlib.suppress(OSError):  # a file that another host has removed
            os.close(self._fd)


def life_of(path: Path) -> Life:
    """Whether the writer that owns `path` lives, as far as this kernel's locks tell."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return "unknown"
    try:
        if not _try_lock(fd, exclusive=False):
            return "alive"
    except OSError:
        return "unknown"
    else:
        _unlock(fd)
        return "dead"
    finally:
        os.close(fd)


def writer_life(run: RunFolder, uuid: str) -> Life:
    """Whether a writer of `run` lives."""
    own = run.own(uuid)
    if not run.is_shared:
        return life_of(own)
    note, touched = _read_own(own)
    if note.get("ended"):
        return "dead"
    if note.get("kernel") == kernel_of(own.parent):
        return life_of(own)
    if own.parent != run.journals:  # spilled before this host was started anew
        _, touched = _read_own(run.journals / own.name)
    return "alive" if _is_recent(touched) or _has_logged(run, uuid) else "unknown"


def is_dead_here(own: Path) -> bool:
    """Whether the writer that owns `own`, on a shared disk, was one of this host and is over."""
    is_ours = read_note(own).get("kernel") == kernel_of(own.parent)
    return is_ours and life_of(own) == "dead"


def is_written(run: RunFolder) -> bool:
    """Whether a writer of `run` is known to live."""
    return any(writer_life(run, uuid) == "alive" for uuid in run.owned())


def is_written_here(run: RunFolder) -> bool:
    """Whether a writer of `run` on this host is known to live."""
    owned = [run.own(uuid) for uuid in run.owned()]
    if run.is_shared:
        owned = [own for own in owned if read_note(own).get("kernel") == kernel_of(own.parent)]
    return any(life_of(own) == "alive" for own in owned)


def _has_logged(run: RunFolder, uuid: str) -> bool:
    """Whether a writer has added to its journal a short while ago."""
    for _, path in run.segments().get(uuid, [])[-1:]:
        # A file that is opened afresh has the server's times, which stat() may know of old.
        with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
            if _is_recent(os.fstat(file.fileno()).st_mtime):
                return True
    return False


def _is_recent(moment: float) -> bool:
    return time.time() - moment < SILENT_SECONDS


def read_note(path: Path) -> dict[str, Any]:
    """What a writer says in its `.own`; {} when there is none."""
    return _read_own(path)[0]


def _read_own(path: Path) -> tuple[dict[str, Any], float]:
    """What a writer says in its `.own`, and when it touched it last; ({}, 0) when there is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            text, touched = file.read(NOTE_BYTES), os.fstat(file.fileno()).st_mtime
    except OSError:
        return {}, 0.0
    try:
        facts = json.loads(text)
    except ValueError:
        return _read_cut(text), touched
    return (facts if isinstance(facts, dict) else {}), touched


def _read_cut(text: bytes) -> dict[str, Any]:
    """Cut off at its end: what matters stands first."""
    import re

    counts = re.findall(rb'"(waiting|dropped)": (\d+)', text)
    facts: dict[str, Any] = {key.decode(): int(count) for key, count in counts}
    kernel = re.search(rb'"kernel": "([^"\\]*)"', text)
    return facts | ({"kernel": kernel[1].decode()} if kernel else {})


@contextlib.contextmanager
def adopted(path: Path) -> Iterator[bool]:
    """Hold a dead writer's `.own` exclusively; gives False when it cannot be had."""
    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        yield False
        return
    try:
        try:
            held = _try_lock(fd, exclusive=True)
        except OSError:
            held = False
        try:
            yield held
        finally:
            if held:
                _unlock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int, *, exclusive: bool) -> bool:
    if fcntl is None:
        raise OSError(errno.ENOSYS, "no flock")
    how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _unlock(fd: int) -> None:
    # By hand: closing does not unlock while a child that was forked meanwhile has a copy.
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)

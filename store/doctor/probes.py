"""What `store check --disk` tries out on a disk, in a process of its own: any of it may hang.

    python -m store.doctor.probes FOLDER TOKEN PROBE...        "ready", then a line of JSON for each

A probe works in FOLDER/.doctor/TOKEN, which the last one, `tidy`, removes, and answers yes or no (a
sentence says why), or gives facts. Who runs this (`examination`) waits for each line for a while,
then kills the session. Where two processes are needed, a fork is the other one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import select
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, Self

from store.disk import detect_mode, find_mount
from store.doctor.neighbours import DOCTOR, is_granted, read_records, reason
from store.paths import STORE_NAME

READY: Final = "ready"
"""The first line: from here on, what takes long is the disk."""
SYNCS: Final = 11
SYNC_SECONDS: Final = 2.0
"""No further fsync is measured after this time, once there are three."""
_DONE: Final = "done"
RENAMED_BYTES: Final = 4096
RENAME_SECONDS: Final = 2.0
DEATH_SECONDS: Final = 3.0
"""How long a lock may outlive its holder: FUSE lets go of it a moment later."""


class No(Exception):
    """It does not work here; the message says how that showed."""


class Other:
    """Another process: it does `work`, says how that went, and waits to be killed."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._out, into = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.write(into, _outcome(work).encode())
                signal.pause()
            finally:
                os._exit(1)
        os.close(into)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._out)

    def has_said(self) -> bool:
        return bool(select.select([self._out], [], [], 0)[0])

    def expect_success(self) -> None:
        """Wait until it is done. No: it said that something was wrong."""
        said = os.read(self._out, 4096).decode() or "the second process died of it"
        if said != _DONE:
            raise No(said)

    def kill(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0


def _outcome(work: Callable[[], None]) -> str:
    try:
        work()
    except No as no:
        return str(no)
    except OSError as error:
        return reason(error)
    return _DONE


# -- the probes --------------------------------------------------------------------------------


def look(folder: Path) -> dict[str, Any]:
    """What is known of the folder without writing to it."""
    if not folder.is_dir():
        raise No("there is no such folder" if not folder.exists() else "it is no folder")
    mount, record = find_mount(folder), _record(folder)
    facts: dict[str, Any] = {
        "folder": os.fspath(folder),
        "recorded": record.get("mode"),
        "forced": record.get("forced") is True,
        "detected": detect_mode(folder),
        "mount": mount._asdict() if mount else None,
    }
    if hasattr(os, "statvfs"):
        room = os.statvfs(folder)
        facts["free_bytes"] = room.f_bavail * room.f_frsize
        # 0 of 0: a file system that makes inodes as it needs them (btrfs, and many shares).
        facts["free_inodes"] = room.f_favail if room.f_files else None
    return facts


def _record(folder: Path) -> dict[str, Any]:
    try:
        fields = json.loads((folder / "store.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def create(work: Path) -> None:
    work.parent.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    fd = os.open(work / "made", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(fd, b"content")
        os.fsync(fd)
    finally:
        os.close(fd)
    if (work / "made").read_bytes() != b"content":
        raise No("what was written is not what is read")


def link(work: Path) -> None:
    source, target = work / "linked", work / "link"
    source.write_bytes(b"x")
    os.link(source, target)
    if os.stat(source).st_nlink != 2:
        raise No(f"st_nlink is {os.stat(source).st_nlink} after a link")
    with contextlib.suppress(FileExistsError):
        os.link(work / "made", target)
        raise No("a link replaces a file that is there")


def rename(work: Path) -> None:
    _rename(work, may_be_away=True)


def replace(work: Path) -> None:
    _rename(work, may_be_away=False)


def _rename(work: Path, *, may_be_away: bool) -> None:
    """Rename files over one that another process reads again and again."""
    target = work / "renamed"

    def read() -> None:
        reads, changes, last = 0, 0, b""
        deadline = time.monotonic() + RENAME_SECONDS
        while reads < 300 or (changes < 20 and time.monotonic() < deadline):
            reads += 1
            try:
                content = target.read_bytes()
            except FileNotFoundError:
                # libfuse gives an open file another name before it lets one be renamed over it.
                if not may_be_away:
                    raise No("the name is away for a moment meanwhile") from None
                continue
            except OSError as error:
                if error.errno == errno.ESTALE:
                    continue  # opened just before the rename: NFS says so, and the name is there
                raise
            if content != content[:1] * RENAMED_BYTES:
                raise No("a file that is renamed over another is seen in part")
            changes += content != last
            last = content

    target.write_bytes(b"0" * RENAMED_BYTES)
    with Other(read) as other:
        turn = 0
        while not other.has_said():
            turn += 1
            (work / "renaming").write_bytes(b"%d" % (turn % 10) * RENAMED_BYTES)
            os.replace(work / "renaming", target)
        other.expect_success()


def list_names(work: Path) -> None:
    def make() -> None:
        (work / "made by another").touch()

    os.listdir(work)
    with Other(make) as other:
        other.expect_success()
        if "made by another" not in os.listdir(work):
            raise No("a file that another process made is not listed")


def names(work: Path) -> None:
    folder = work / "names"
    folder.mkdir()
    wanted = {"%41%2F", "a~b", ".store.1", "n" * 250}
    for name in wanted:
        (folder / name).touch()
    if set(os.listdir(folder)) != wanted:
        raise No("file names come back changed")


def append(work: Path) -> None:
    path, lines, size = work / "appended", 200, 64

    def write(letter: bytes = b"b") -> None:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        for _ in range(lines):
            os.write(fd, letter * (size - 1) + b"\n")
        os.close(fd)

    with Other(write) as other:
        write(b"a")
        other.expect_success()
    found = path.read_bytes().splitlines()
    whole = sum(min(lines, found.count(letter * (size - 1))) for letter in (b"a", b"b"))
    if whole < 2 * lines:
        raise No(f"{2 * lines - whole} of {2 * lines} lines of two processes were lost")


def sync_folder(work: Path) -> None:
    fd = os.open(work, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def allocate(work: Path) -> None:
    if not hasattr(os, "posix_fallocate"):
        raise No("this system has no posix_fallocate")
    with open(work / "allocated", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2**20)
        if os.fstat(file.fileno()).st_blocks * 512 < 2**20:
            raise No("blocks that were asked for are not there")


def share_map(work: Path) -> None:
    path = work / "mapped"
    path.write_bytes(bytes(4096))

    def write() -> None:
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096) as there:
            there[0] = 1

    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096) as here:
        if here[0]:
            raise No("a new file holds something")
        with Other(write) as other:
            other.expect_success()
            if not here[0]:
                raise No("another process's change is not seen")


def flock(work: Path) -> None:
    _lock(work / "flock", "flock")


def lockf(work: Path) -> None:
    _lock(work / "lockf", "lockf")


def _lock(path: Path, kind: Literal["flock", "lockf"]) -> None:
    path.touch()
    fd = os.open(path, os.O_RDWR)

    def hold() -> None:
        if not is_granted(os.open(path, os.O_RDWR), kind):
            raise No("a lock that nobody has is refused")

    try:
        with Other(hold) as other:
            other.expect_success()
            if is_granted(fd, kind):
                raise No("two processes were given the same lock")
            other.kill()
            deadline = time.monotonic() + DEATH_SECONDS
            while not is_granted(fd, kind):
                if time.monotonic() > deadline:
                    raise No("the lock of a process that was killed stays")
                time.sleep(0.01)
    finally:
        os.close(fd)


def speed(work: Path) -> dict[str, float]:
    """`sync`: seconds for a write and its fsync, the median; `clock`: seconds that this host's
    clock is ahead of the one that gives files their times, by the quickest of them.
    """
    took: list[tuple[float, float]] = []
    began = time.monotonic()
    while len(took) < 3 or (len(took) < SYNCS and time.monotonic() - began < SYNC_SECONDS):
        with open(work / f"speed.{len(took)}", "wb", buffering=0) as file:
            at, start = time.time(), time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            seconds = time.perf_counter() - start
            took.append((seconds, at + seconds / 2 - os.fstat(file.fileno()).st_mtime))
    return {"sync": statistics.median(seconds for seconds, _ in took), "clock": min(took)[1]}


def tidy(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    with contextlib.suppress(OSError):  # records of hosts are in it
        work.parent.rmdir()


PROBES: Final[dict[str, Callable[[Path], dict[str, Any] | None]]] = {
    "look": look,
    "create": create,
    "link": link,
    "rename": rename,
    "replace": replace,
    "list": list_names,
    "names": names,
    "append": append,
    "sync folder": sync_folder,
    "allocate": allocate,
    "map": share_map,
    "flock": flock,
    "lockf": lockf,
    "speed": speed,
    "others": read_records,
    "tidy": tidy,
}
GATES: Final = ("look", "create")
"""Without a yes of these, nothing more is tried."""
_BY_TWO: Final = {"rename", "replace", "list", "append", "map", "flock", "lockf"}


def try_out(folder: Path, token: str, name: str) -> dict[str, Any]:
    """Run one probe; its answer, as it is handed on."""
    told = {"probe": name, "answer": "yes", "detail": "", "facts": {}}
    if name in _BY_TWO and not hasattr(os, "fork"):
        return told | {"answer": "unknown", "detail": "it takes a fork to try it"}
    try:
        place = folder if name == "look" else folder / DOCTOR / token
        told["facts"] = PROBES[name](place) or {}
    except No as no:
        told |= {"answer": "no", "detail": str(no)}
    except OSError as error:
        told |= {"answer": "no", "detail": reason(error)}
    return told


def folder_at(path: Path) -> Path:
    """The store that `path` means, or the folder that one would be made in."""
    if not (path / "store.json").exists() and (path / STORE_NAME / "store.json").exists():
        return path / STORE_NAME
    return path.parent if path.name == STORE_NAME and not path.exists() else path


def main(path: str, token: str, *wanted: str) -> None:
    """Run the probes of these names; see the top."""
    print(READY, flush=True)
    folder = folder_at(Path(path))
    for name in wanted:
        told = try_out(folder, token, name)
        print(json.dumps(told), flush=True)
        if name in GATES and told["answer"] != "yes":
            return


if __name__ == "__main__":
    main(*sys.argv[1:])

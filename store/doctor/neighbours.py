"""What hosts that share a disk leave there for each other's `store check --disk`.

    python -m store.doctor.neighbours FOLDER HOST SECONDS RECORD

keeps RECORD (JSON) as FOLDER/.doctor/HOST.json, and says "held", or why it cannot.

A record bears its name only once it is complete and, with SECONDS above 0, locked; it is touched
each second while the lock is held, and says afterwards that it is not. So another host that is
given the lock of a record which says "held", and was touched just now, knows that locks do not
reach it. Ages are differences of file times: no host's clock is in them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final, Literal

from store.host import kernel_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

DOCTOR: Final = ".doctor"
TOUCH_SECONDS: Final = 1.0


def read_records(work: Path) -> dict[str, Any]:
    """The records beside `work`, a folder to write in, and whether their locks are respected."""
    (work / "now").write_bytes(b"x")
    now = os.stat(work / "now").st_mtime
    found = []
    for name in sorted(os.listdir(work.parent)):
        if name.endswith(".json"):
            with contextlib.suppress(OSError):  # taken away just now, or not for us to read
                found.append(_read_record(work.parent / name, now))
    return {"records": found, "boot": _boot(work)}


def _read_record(path: Path, now: float) -> dict[str, Any]:
    try:
        fd = os.open(path, os.O_RDWR)
    except PermissionError:  # another user's; NFS locks nothing that is open for reading only
        fd = os.open(path, os.O_RDONLY)
    try:
        age = now - os.fstat(fd).st_mtime
        try:
            lock = "granted" if is_granted(fd) else "refused"
        except OSError as error:
            lock = reason(error)
        content = os.pread(fd, 65536, 0)
    finally:
        os.close(fd)
    try:
        record = json.loads(content)
    except ValueError:
        record = None
    facts = record if isinstance(record, dict) else {}
    return {"name": path.stem, "age": age, "lock": lock, "record": facts}


def is_granted(fd: int, kind: Literal["flock", "lockf"] = "flock") -> bool:
    """Whether the file's exclusive lock is to be had; it is then. OSError: there are no locks."""
    if fcntl is None:
        raise OSError(errno.ENOSYS, "this system has no such locks")
    lock = fcntl.flock if kind == "flock" else fcntl.lockf
    try:
        lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def reason(error: OSError) -> str:
    """What the system says of it."""
    return error.strerror or str(error)


def _boot(folder: Path) -> str:
    return kernel_of(folder).rsplit("/", 2)[-2]


def leave(folder: Path, host: str, seconds: float, record: dict[str, Any]) -> None:
    """Put `record` where other hosts find it, and keep it locked for `seconds`.

    In a folder that is no store it is removed again.
    """
    path = folder / DOCTOR / f"{host}.json"
    path.parent.mkdir(exist_ok=True)
    record["boot"] = _boot(path.parent)
    fd = _publish(path, record | {"held": seconds > 0})
    try:
        print("held", flush=True)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            os.utime(fd)
            time.sleep(min(left, TOUCH_SECONDS))
    finally:
        if (folder / "store.json").exists():
            if seconds > 0:
                os.close(_publish(path, record | {"held": False}))
        else:
            path.unlink()
            with contextlib.suppress(OSError):  # another host's record is there
                path.parent.rmdir()
        os.close(fd)


def _publish(path: Path, record: dict[str, Any]) -> int:
    unnamed = path.with_suffix(f".{os.getpid()}")
    fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    if record["held"]:
        is_granted(fd)
    os.write(fd, json.dumps(record).encode())
    os.fsync(fd)
    os.replace(unnamed, path)
    return fd


def main(path: str, host: str, seconds: str, record: str) -> None:
    """Keep a record, see the top; SIGTERM ends it early."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        leave(Path(path), host, float(seconds), json.loads(record))
    except OSError as error:
        print(reason(error), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

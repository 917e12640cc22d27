"""The doctor of disks: has all that a store needs of a disk tried out in a folder.

`examine` has the probes of `probes` made by a child process and waits for each answer for a
while; this process never touches the disk, so nothing of it hangs. A child that does not answer is
killed, and a new one goes on with the next probe; one that the kernel does not let die (it waits in
a call to a file server) is left behind and named. What it means is told by `verdict`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from store.disk import Mount
from store.doctor.probes import GATES, PROBES, READY
from store.doctor.verdict import Answer, Facts, Neighbour, Verdict
from store.host import host_name
from store.names import encode_name

PROBE_SECONDS: Final = 10.0
START_SECONDS: Final = 60.0
KILL_SECONDS: Final = 2.0
FRESH_SECONDS: Final = 15.0
"""A record that was touched this short a time ago is of a process that lives."""
left_behind: Final[list[Child]] = []
"""Children that could not be killed: to drop one would be to wait for it."""


def examine(path: Path, timeout: float = PROBE_SECONDS) -> Facts:
    """Make all probes in the store at `path`, or in a folder that is none, each in `timeout`."""
    token = f"{os.getpid()}-{os.urandom(4).hex()}"
    told: dict[str, dict[str, Any]] = {}
    left: list[int] = []
    waiting = list(PROBES)
    try:
        while waiting:
            for answer in _ask(path, [token, *waiting], timeout, left):
                told[answer["probe"]] = answer
            if told["look"]["answer"] != "yes" or told["create"]["answer"] == "hangs":
                break
            # Where nothing can be made, nothing else can be tried; a folder may have been made.
            may_go_on = told["create"]["answer"] == "yes"
            rest = PROBES if may_go_on else ("tidy",)
            waiting = [name for name in rest if name not in told]
    except KeyboardInterrupt:
        list(_ask(path, [token, "tidy"], timeout, left))
        raise
    return _facts(path, told, tuple(left))


def _ask(path: Path, words: list[str], timeout: float, left: list[int]) -> Iterator[dict[str, Any]]:
    """The answers of one child: to all probes, or up to the first that it does not survive."""
    child = Child("store.doctor.probes", os.fspath(path), *words)
    try:
        if child.line(START_SECONDS) != READY:
            raise ChildProcessError("the interpreter that is to try out the disk does not start")
        for name in words[1:]:
            try:
                line = child.line(timeout)
            except TimeoutError:
                yield {"probe": name, "answer": "hangs", "detail": f"no answer in {timeout:g} s"}
                return
            if line is None:
                yield {"probe": name, "answer": "crashed", "detail": "the process died of it"}
                return
            answer = json.loads(line)
            yield answer
            if name in GATES and answer["answer"] != "yes":
                return
    finally:
        if not child.end():
            left.append(child.process.pid)


class Child:
    """A module of ours as a process; a thread reads its lines, and may be left waiting for one."""

    def __init__(self, module: str, *arguments: str) -> None:
        # -P: a store.py of the user's working directory is not ours to import.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self, timeout: float | None = None) -> str | None:
        """The next line; None at the end. TimeoutError: none came."""
        try:
            return self._lines.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def end(self) -> bool:
        """Kill it and what it started. False: the kernel lets it wait for the disk, unkillable."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        try:
            self.process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            left_behind.append(self)
            return False
        self._thread.join(KILL_SECONDS)
        if not self._thread.is_alive() and self.process.stdout is not None:
            self.process.stdout.close()
        return True


def _facts(path: Path, told: dict[str, dict[str, Any]], left: tuple[int, ...]) -> Facts:
    found = {name: answer.get("facts") or {} for name, answer in told.items()}
    looked, measured = found["look"], found.get("speed", {})
    mount = looked.get("mount")
    clock = measured.get("clock")
    return Facts(
        path=looked.get("folder", os.fspath(path)),
        host=host_name(),
        answers={
            name: Answer(answer["answer"], answer["detail"])
            for name, answer in told.items()
            if name != "tidy"
        },
        mount=Mount(**mount) if mount else None,
        recorded=looked.get("recorded"),
        forced=looked.get("forced", False),
        detected=looked.get("detected"),
        free_bytes=looked.get("free_bytes"),
        free_inodes=looked.get("free_inodes"),
        sync=measured.get("sync"),
        clock=clock,
        neighbours=_neighbours(found.get("others", {}), clock),
        left=left,
    )


def _neighbours(found: dict[str, Any], clock: float | None) -> tuple[Neighbour, ...]:
    """The records of other hosts. They are other people's files: nothing in them is believed."""
    here = _file_name(host_name())
    return tuple(
        _neighbour(item, clock, str(found.get("boot")))
        for item in found.get("records", ())
        if item["name"] != here
    )


def _neighbour(item: dict[str, Any], clock: float | None, boot: str) -> Neighbour:
    record = item["record"]
    theirs = record.get("clock")
    apart = None
    if isinstance(theirs, (int, float)) and clock is not None:
        apart = theirs - clock
    return Neighbour(
        host=str(record.get("host", item["name"]))[:64],
        age=item["age"],
        held=record.get("held") is True and item["age"] < FRESH_SECONDS,
        lock=item["lock"],
        clock=apart,
        same_machine=record.get("boot") == boot,
    )


def _file_name(host: str) -> str:
    return encode_name(host[:40], "host")


@contextlib.contextmanager
def record_kept(facts: Facts, verdict: Verdict, seconds: float, timeout: float) -> Iterator[str]:
    """Leave a record of this host in the folder, locked for `seconds` or until the block ends.

    Gives "", or why there is none. With 0 seconds it is there, unlocked, when the block begins.
    """
    record = {
        "host": facts.host,
        "clock": facts.clock,
        "verdict": verdict.name,
        "file_system": facts.mount.kind if facts.mount else None,
    }
    child = Child(
        "store.doctor.neighbours",
        facts.path,
        _file_name(facts.host),
        str(seconds),
        json.dumps(record),
    )
    try:
        said = child.line(START_SECONDS + timeout)
        yield "" if said == "held" else said or "the process died of it"
    except TimeoutError:
        yield f"no answer in {timeout:g} s"
    finally:
        child.process.terminate()
        with contextlib.suppress(TimeoutError):
            child.line(timeout)
        child.end()

"""`store check --disk`: what a disk can do, and which mode a store there needs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from store.api.output import OutputFormat, format_age, format_size, write_rows
from store.api.shell import has_color, paint, printed, say
from store.doctor.examination import examine, record_kept
from store.doctor.verdict import Facts, Neighbour, Verdict, judge, remarks

LABELS: Final = {
    "create": "make files",
    "link": "hard links",
    "rename": "atomic rename",
    "replace": "and never away",
    "list": "new names seen",
    "names": "file names",
    "append": "append by two",
    "sync folder": "fsync a folder",
    "allocate": "fallocate",
    "map": "shared mmap",
    "flock": "flock",
    "lockf": "fcntl locks",
}
"""The probes that answer yes or no, as a person reads them."""
_WIDTH: Final = 16


def check_disk(path: Path, hold: float, timeout: float, output: OutputFormat) -> bool:
    """Examine the disk of `path`, print what was found; True when a store may be there.

    Leaves a record for other hosts, locked for `hold` seconds (above 0).
    """
    facts = examine(path, timeout)
    verdict, also = judge(facts), list(remarks(facts))
    if output.kind in ("json", "nl"):
        indent = 2 if output.kind == "json" else None
        printed(json.dumps(_record(facts, verdict, also), indent=indent))
    elif output.kind in ("csv", "tsv"):
        write_rows(("fact", "value"), _lines(facts), output)
    else:
        _print(facts, verdict, also)
    if facts.word("create") == "yes" and (hold > 0 or facts.recorded):
        _leave(facts, verdict, hold, timeout)
    return verdict.is_fine


def _leave(facts: Facts, verdict: Verdict, hold: float, timeout: float) -> None:
    with record_kept(facts, verdict, hold, timeout) as problem:
        if problem:
            say(f"no record for other hosts could be left: {problem}")
        elif hold > 0:
            say(f"a lock is held for {hold:g} s: call `store check --disk` on another host now")
            time.sleep(hold)


def _record(facts: Facts, verdict: Verdict, also: list[str]) -> dict[str, Any]:
    record = asdict(facts)
    record["mount"] = facts.mount._asdict() if facts.mount else None
    record["answers"] = {name: answer._asdict() for name, answer in facts.answers.items()}
    record["neighbours"] = [other._asdict() for other in facts.neighbours]
    return record | {"verdict": verdict._asdict(), "remarks": also}


def _print(facts: Facts, verdict: Verdict, also: list[str]) -> None:
    for name, value in _lines(facts):
        printed(f"{name.ljust(_WIDTH)}{paint(value)}")
    printed("")
    printed(paint(verdict.sentence, "green" if verdict.is_fine else "red", bold=has_color()))
    if verdict.action:
        printed(paint(f"to do: {verdict.action}"))
    for remark in also:
        printed(paint(f"note: {remark}"))


def _lines(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "folder", facts.path
    yield "host", facts.host
    if facts.mount:
        yield "mounted at", f"{facts.mount.point} ({facts.mount.kind}: {facts.mount.options})"
    if facts.detected:
        yield "mode", f"{facts.recorded or 'no store yet'}; the disk looks {facts.detected}"
    for probe, label in LABELS.items():
        if probe in facts.answers:
            answer = facts.answers[probe]
            yield label, f"{answer.word}: {answer.detail}" if answer.detail else answer.word
    if facts.sync is not None:
        yield "write and fsync", f"{1000 * facts.sync:.3g} ms"
    if facts.clock is not None:
        yield "clock", f"{_apart(facts.clock)} the times of files"
    if facts.free_bytes is not None:
        inodes = "" if facts.free_inodes is None else f", {facts.free_inodes:,} inodes"
        yield "free", format_size(facts.free_bytes) + inodes
    for other in facts.neighbours:
        yield f"host {other.host}", _about(other)


def _about(other: Neighbour) -> str:
    where = " on this machine" if other.same_machine else ""
    seen = f"seen{where} {format_age(other.age)} ago"
    clock = f", its clock {_apart(other.clock)} ours" if other.clock is not None else ""
    if not other.held:
        locks = ""
    elif other.lock == "refused":
        locks = ", its lock keeps us out: locks reach other hosts"
    elif other.lock == "granted":
        locks = ", its lock does not keep us out: locks are local to a host"
    else:
        locks = f", its lock cannot be tried: {other.lock}"
    return seen + locks + clock


def _apart(seconds: float) -> str:
    return f"{abs(seconds):.3f} s {'ahead of' if seconds > 0 else 'behind'}"

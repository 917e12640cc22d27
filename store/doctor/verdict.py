"""What the facts about a disk mean for a store on it; pure functions.

Both modes need files that can be made, renamed over one another and listed under the names that
they were given. Local mode needs locks besides. Shared mode needs none, but it needs hard
links where rows without a journal are to be kept. A lock that hangs is no good to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from store.disk import Mount

Word = Literal["yes", "no", "hangs", "crashed", "unknown"]
CLOCK_SECONDS: Final = 5.0
SLOW_SECONDS: Final = 0.5
LEAST_BYTES: Final = 128 * 2**20
"""Two segments of a journal."""
LEAST_INODES: Final = 1000
_NEEDED: Final = {
    "rename": "rename is not atomic",
    "list": "new files are not listed",
    "names": "file names are not kept as they are",
}
_LOCAL_LOCKS: Final = {"nolock", "local_lock=flock", "local_lock=all", "localflock", "nobrl"}
"""Mount options of NFS, Lustre and CIFS with which a lock is known to its own host only."""
_OTHER_DISK: Final = "keep the store on another disk, named by --store, dir= or STORE_DIR"


class Answer(NamedTuple):
    """What came of a probe; `detail` says how it failed."""

    word: Word
    detail: str = ""


class Neighbour(NamedTuple):
    """The record of another host.

    `age`: seconds since it was touched; `held`: its host says that it has the lock; `lock`: what we
    got, "granted", "refused" or an error; `clock`: seconds that its clock is ahead of ours.
    """

    host: str
    age: float
    held: bool
    lock: str
    clock: float | None
    same_machine: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was found; what could not be is None, or has no answer.

    `sync`: seconds for a write and its fsync; `clock`: seconds that our clock is ahead of the one
    that gives files their times; `left`: processes that wait for the disk and cannot be killed.
    """

    path: str
    host: str
    answers: dict[str, Answer]
    mount: Mount | None = None
    recorded: str | None = None
    forced: bool = False
    detected: str | None = None
    free_bytes: int | None = None
    free_inodes: int | None = None
    sync: float | None = None
    clock: float | None = None
    neighbours: tuple[Neighbour, ...] = ()
    left: tuple[int, ...] = ()

    def word(self, probe: str) -> Word:
        """The answer of a probe."""
        return self.answers.get(probe, Answer("unknown")).word


class Verdict(NamedTuple):
    """One sentence, and what to do ("": nothing). `name` stays as it is, for scripts."""

    name: str
    sentence: str
    action: str
    is_fine: bool


def judge(facts: Facts) -> Verdict:
    """What to do about a store in this folder."""
    return _unusable(facts) or (_in_shared_mode if _is_shared(facts) else _in_local_mode)(facts)


def _is_shared(facts: Facts) -> bool:
    return "shared" in (facts.recorded, facts.detected) and not _is_forced_local(facts)


def _is_forced_local(facts: Facts) -> bool:
    return facts.forced and facts.recorded == "local"


def _unusable(facts: Facts) -> Verdict | None:
    for probe in ("look", "create"):
        if facts.word(probe) in ("hangs", "crashed"):
            action = f"see whether `ls {facts.path}` answers; the mount or its server needs mending"
            return Verdict("silent", "the disk does not answer", action, False)
    look, create = facts.answers["look"], facts.answers.get("create", Answer("unknown"))
    if look.word != "yes":
        action = f"mkdir -p {facts.path}, or name another folder"
        return Verdict("missing", f"this folder cannot be used: {look.detail}", action, False)
    if create.word != "yes":
        action = "get the right to write here, or name another folder with STORE_DIR"
        return Verdict("unwritable", f"nothing can be written here: {create.detail}", action, False)
    for probe, sentence in _NEEDED.items():
        if facts.word(probe) not in ("yes", "unknown"):
            return Verdict("unfit", f"do not keep a store here: {sentence}", _OTHER_DISK, False)
    if "hangs" in (facts.word("flock"), facts.word("lockf")):
        action = "mount it with locks that work, or without any (NFSv3: nolock), and check again"
        return Verdict("locks hang", "do not keep a store here: locks hang", action, False)
    if _is_full(facts):
        action = "make room; rows wait in memory, or in the folder of the setting `spool`"
        return Verdict("full", "the disk is almost full", action, False)
    return None


def _is_full(facts: Facts) -> bool:
    room, inodes = facts.free_bytes, facts.free_inodes
    return (room is not None and room < LEAST_BYTES) or (
        inodes is not None and inodes < LEAST_INODES
    )


def _in_local_mode(facts: Facts) -> Verdict:
    if facts.word("replace") in ("no", "crashed"):
        return Verdict(
            "unfit", f"do not keep a store here: {_NEEDED['rename']}", _OTHER_DISK, False
        )
    if facts.word("flock") in ("no", "crashed"):
        action = "store config --mode shared" if facts.recorded else "set STORE_DISK=shared"
        sentence = "shared mode is needed: locks do not work here"
        return Verdict("shared needed", sentence, action, not facts.recorded)
    if facts.detected == "shared":
        sentence = "local mode was forced: this store is for one host only"
        return Verdict("local, forced", sentence, "", True)
    return Verdict("local", "local mode is right here", "", True)


def _in_shared_mode(facts: Facts) -> Verdict:
    if facts.recorded == "local":
        if facts.word("link") != "yes":
            sentence = "shared mode is needed, and there are no hard links for it"
            action = "store copy it to another disk, and go on there"
            return Verdict("shared needed", sentence, action, False)
        action = "store config --mode shared"
        return Verdict("shared needed", "shared mode is needed", action, False)
    if facts.recorded is None:
        told, action = "shared mode is needed", "nothing: a store that is made here gets it"
    else:
        told, action = "shared mode works", ""
    if facts.word("link") != "yes":
        sentence = "no hard links: journals stay, rows without a journal cannot be kept"
        limit = "log into this store and sync from it; pull and import into another one"
        return Verdict("no hard links", sentence, limit, True)
    if _locks_are_local(facts):
        sentence = f"{told}; locks do not reach other hosts, which is no harm"
        return Verdict("shared, locks are local", sentence, action, True)
    if facts.detected == "local":
        sentence = "shared mode works; the disk is of this host, where local mode is quicker"
        action = "if no other host writes here: store config --mode local"
        return Verdict("shared, disk is local", sentence, action, True)
    return Verdict("shared", told, action, True)


def _locks_are_local(facts: Facts) -> bool:
    options = set(facts.mount.options.split(",")) if facts.mount else set()
    met = any(other.held and other.lock != "refused" for other in facts.neighbours)
    return met or facts.word("flock") != "yes" or bool(options & _LOCAL_LOCKS)


def remarks(facts: Facts) -> Iterator[str]:
    """What is worth knowing besides, a sentence each."""
    options = set(facts.mount.options.split(",")) if facts.mount else set()
    if "soft" in options or "softerr" in options:
        yield "mounted soft: a late answer becomes an error, and rows may be lost: mount it hard"
    if "nocto" in options:
        yield "mounted nocto: rows of other hosts are seen late"
    if facts.word("replace") == "no" and _is_shared(facts):
        yield "a file is away for a moment while another is renamed over it, which is no harm"
    if facts.clock is not None and abs(facts.clock) > CLOCK_SECONDS:
        where = "ahead of" if facts.clock > 0 else "behind"
        yield f"this host's clock is {abs(facts.clock):.0f} s {where} the file server's: set it"
    if facts.sync is not None and facts.sync > SLOW_SECONDS:
        yield (
            f"a write and its fsync take {facts.sync:.1f} s: with `store config spool FOLDER`, a"
            " folder of this host, log() does not wait for the disk"
        )
    for other in facts.neighbours:
        if other.clock is not None and abs(other.clock) > CLOCK_SECONDS:
            where = "ahead of" if other.clock > 0 else "behind"
            yield f"the clock of {other.host} is {abs(other.clock):.0f} s {where} this host's"
    for pid in facts.left:
        yield f"process {pid} waits for the disk and cannot be ended before that answers"

"""Verify: whether a remote has what is here, by its own word and, deeply, row by row.

Verified means: the same digest at the same position for every source, no row that either side
keeps as a stub only, every file's content there. A deep look trusts no stored digest: here they
are made anew from the tables, and the remote's rows are fetched and hashed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Final, NamedTuple

from store.paths import RunFolder
from store.reading import reading
from store.reread import digest_from_tables
from store.row import DIGEST_START, BadRowError, Kind, next_digest, row_digest
from store.sync.blobs import wanted_files
from store.sync.cursors import Target
from store.sync.receive import Positions, fields_of
from store.sync.remote import Remote
from store.sync.wire import RunName

SHOWN: Final = 8
"""Digits of a source's uuid in messages."""


class Verified(NamedTuple):
    """What a look at one run found.

    `rows` are here, `unsent` of them not there. `findings` are sentences on what is wrong; a run
    without any, and with nothing unsent, is verified.
    """

    rows: int
    unsent: int
    findings: tuple[str, ...]

    @property
    def is_verified(self) -> bool:
        return not self.unsent and not self.findings


def verify_run(run: RunFolder, remote: Remote, target: Target, *, deep: bool) -> Verified:
    """Compare a run with what `target` has of it; journals are to be folded before.

    Raises:
        SyncError, NotAllowed, EntityUnknown: see `Remote`.
        StoreError, OSError, sqlite3.Error: the run cannot be read.
    """
    name = RunName(target.entity, target.project, run.id)
    (there,) = remote.positions([name], to_send=False)
    if isinstance(there, Exception):
        raise there
    with reading(run) as connection:
        here: Positions = {
            uuid: (position, digest)
            for uuid, position, digest in connection.execute(
                "SELECT uuid, position, digest FROM source"
            )
        }
        findings = _compare(here, there)
        if deep:
            findings += _look_deeply(connection, remote, name, there)
        findings += _stubs(connection, target)
    sizes = dict(wanted_files(run).values())
    missing = remote.missing_blobs(name, sizes, held=()) if sizes else {}
    if missing:
        findings.append(f"{len(missing)} files are not there")
    rows = sum(position for position, _ in here.values())
    unsent = sum(max(0, here[uuid][0] - there.get(uuid, (0, b""))[0]) for uuid in here)
    return Verified(rows, unsent, tuple(findings))


def _compare(here: Positions, there: Positions) -> list[str]:
    findings = []
    for uuid, (position, digest) in here.items():
        known, known_digest = there.get(uuid, (0, DIGEST_START))
        if known > position:
            findings.append(
                f"source {uuid[:SHOWN]} has {known - position} rows more there: `store pull`"
            )
        elif known == position and known_digest != digest:
            findings.append(f"source {uuid[:SHOWN]} differs at row {position}")
    return findings


def _stubs(connection: sqlite3.Connection, target: Target) -> list[str]:
    (here,) = connection.execute("SELECT count(*) FROM rejected").fetchone()
    (there,) = connection.execute(
        "SELECT count(*) FROM refused WHERE remote = ? AND entity = ? AND project = ?", target
    ).fetchone()
    findings = [f"{here} rows are here as stubs only"] if here else []
    return findings + ([f"{there} rows are there as stubs only"] if there else [])


def _look_deeply(
    connection: sqlite3.Connection, remote: Remote, name: RunName, there: Positions
) -> list[str]:
    findings = []
    for source, uuid, digest in connection.execute(
        "SELECT id, uuid, digest FROM source"
    ).fetchall():
        if digest_from_tables(connection, source) != digest:
            findings.append(f"source {uuid[:SHOWN]} is not what it was here: `store check`")
    hashed: dict[str, tuple[int, bytes]] = {}
    for section in remote.fetch(name, {}):
        position, digest = hashed.get(section.uuid, (0, DIGEST_START))
        if section.first != position + 1:
            findings.append(f"source {section.uuid[:SHOWN]} has a hole at row {position + 1} there")
        stubs = {place: row_hash for place, row_hash, _ in section.stubs}
        for place, row in enumerate(fields_of(section)):
            row_hash = stubs.get(place, b"")
            if row[1] != Kind.STUB:
                with contextlib.suppress(BadRowError):  # no row at all: its digest fits nothing
                    row_hash = row_digest(row)
            digest = next_digest(digest, row_hash)
        hashed[section.uuid] = (section.last, digest)
    for uuid, (position, digest) in there.items():
        found = hashed.get(uuid, (0, DIGEST_START))
        if position and (found[0] < position or (found[0] == position and found[1] != digest)):
            findings.append(f"source {uuid[:SHOWN]} is not what its digest says there")
    return findings

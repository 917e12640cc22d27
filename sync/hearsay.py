"""Hearsay: what the hosts that share a store know of its remotes, each in a file of its own.

    <run>/remotes/<remote, entity and project as one name>.<host>.json

A host writes what a remote has just told it, and reads what others were told. The newest word on a
target counts as a whole, also where it is lower: a server may have been restored from a copy.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from store.database import RunDatabase
from store.errors import StoreLocked
from store.host import host_name
from store.locks import run_lock
from store.names import encode_name
from store.paths import RunFolder
from store.settings_sources import replace_file
from store.shared.snapshots import open_database
from store.sync.cursors import Target, move_cursors, note_refused, read_cursors

LOCK_SECONDS: Final = 2.0


def _folder(run: RunFolder) -> Path:
    return run.path / "remotes"


def _file(run: RunFolder, target: Target) -> Path:
    name = blake2b("\0".join(target).encode(), digest_size=8).hexdigest()
    return _folder(run) / f"{name}.{encode_name(host_name(), 'host')}.json"


def tell_others(run: RunFolder, target: Target, connection: sqlite3.Connection) -> None:
    """Write down what `target` has just told this host; a disk that takes nothing is no failure."""
    place, tried, error, files = connection.execute(
        "SELECT place, tried, error, files FROM target"
        " WHERE remote = ? AND entity = ? AND project = ?",
        target,
    ).fetchone() or ("", None, None, None)
    word = {
        "target": target,
        "place": place,
        "tried": tried,
        "error": error,
        "files": files,
        "positions": {
            uuid: (position, digest.hex())
            for uuid, (position, digest) in read_cursors(connection, target).items()
        },
        "refused": connection.execute(
            "SELECT s.uuid, r.number, r.reason FROM refused r JOIN source s ON s.id = r.source"
            " WHERE r.remote = ? AND r.entity = ? AND r.project = ?",
            target,
        ).fetchall(),
    }
    file, data = _file(run, target), json.dumps(word).encode()
    with contextlib.suppress(OSError):
        try:
            replace_file(file, data, private=False)
        except FileNotFoundError:
            file.parent.mkdir(exist_ok=True)
            replace_file(file, data, private=False)


def hear_others(run: RunFolder) -> None:
    """Take over what other hosts were told later than this one."""
    words = [word for path in _files(run) if (word := _read(path)) is not None]
    if not words:
        return
    with contextlib.suppress(StoreLocked), run_lock(run.lock).hold(LOCK_SECONDS):
        database = open_database(run)
        try:
            for word in sorted(words, key=lambda word: float(word["tried"] or 0.0)):
                _take_over(database, word)
        finally:
            database.close()


def _files(run: RunFolder) -> list[Path]:
    ours = f".{encode_name(host_name(), 'host')}.json"
    try:
        names = os.listdir(_folder(run))
    except OSError:
        return []
    return [
        _folder(run) / name for name in names if name.endswith(".json") and not name.endswith(ours)
    ]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        word: dict[str, Any] = json.loads(path.read_bytes())
        word["target"] = Target(*map(str, word["target"]))
        word["positions"] = {
            str(uuid): (int(position), bytes.fromhex(digest))
            for uuid, (position, digest) in word["positions"].items()
        }
        word["refused"] = [(str(u), int(n), str(reason)) for u, n, reason in word["refused"]]
        word["tried"], word["place"] = float(word["tried"] or 0.0), str(word["place"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return word


def _take_over(database: RunDatabase, word: dict[str, Any]) -> None:
    target = word["target"]
    (known,) = database.execute(
        "SELECT tried FROM target WHERE remote = ? AND entity = ? AND project = ?", target
    ).fetchone() or (None,)
    if known is not None and known >= word["tried"]:
        return
    move_cursors(database, target, word["positions"])
    note_refused(database, target, word["refused"])
    with database.transaction():
        database.execute(
            "INSERT OR REPLACE INTO target VALUES(?, ?, ?, ?, ?, ?, ?)",
            (*target, word["place"], word["tried"], word["error"], word["files"]),
        )

"""Check: is a store what it claims to be? Every crash, race and property test ends here.

Per run: SQLite's own integrity check; per source, numbers 1..position without a hole and a digest
that can be made anew from the tables; config, attributes, files and summary equal to what the rows
say; nothing in a table that belongs to no row; journals and `.own` files accounted for; kept files
equal to their SHA-256. A *problem* means that something is wrong; a *note* that something was set
aside or is left over, as after any crash. `repair` mends what can be mended from what is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from store import rebuild
from store.database import RunDatabase, Source
from store.errors import StoreError, StoreLocked
from store.fold import fold
from store.jsontext import from_json
from store.locks import run_lock
from store.ownership import is_written, writer_life
from store.paths import RunFolder, StoreFolder
from store.row import DIGEST_START, Kind, next_digest
from store.shared.publish import publish
from store.shared.snapshots import forget_home, open_database, read_newest
from store.shared.spills import spill_folders

LOCK_SECONDS: Final = 30.0


class Finding(NamedTuple):
    """One thing that was found; `run` is entity/project/id, or "" for the store itself."""

    run: str
    level: Literal["problem", "note"]
    text: str
    repaired: bool = False


def check_store(store: StoreFolder, *, repair: bool = False) -> Iterator[Finding]:
    """Check every run of `store`, and what lies beside them."""
    yield from _check_leftovers(store, repair)
    for run in store.runs():
        yield from check_run(run, repair=repair)


def check_run(run: RunFolder, *, repair: bool = False) -> Iterator[Finding]:
    """Check one run; its journals are folded first."""
    for text, level, repaired in _check_run(run, repair):
        yield Finding(run.key, level, text, repaired)


_Found = tuple[str, Literal["problem", "note"], bool]


def _check_run(run: RunFolder, repair: bool) -> Iterator[_Found]:
    try:
        fold(run, timeout=LOCK_SECONDS)
    except StoreLocked as error:
        yield f"not folded: {error.message}", "note", False
    except (StoreError, sqlite3.Error, OSError) as error:
        yield from _damaged(run, f"cannot be folded: {error}", repair)
        return
    with run_lock(run.lock).hold(LOCK_SECONDS):
        database = open_database(run)
        try:
            damage = database.execute("PRAGMA integrity_check").fetchall()
            if damage != [("ok",)]:
                database.close()
                yield from _damaged(run, f"SQLite finds damage: {damage[0][0]}", repair)
                return
            yield from _check_tables(database, repair)
            yield from _check_journals(run, database)
            yield from _check_files(run, database)
            if run.is_shared:
                yield from _check_snapshot(run)
        except sqlite3.DatabaseError as error:
            database.close()
            yield from _damaged(run, f"cannot be read: {error}", repair)
        finally:
            database.close()
    if run.is_shared and not is_written(run):
        with contextlib.suppress(StoreError, OSError):  # not ours to write to, or no hard links
            publish(run)


def _damaged(run: RunFolder, text: str, repair: bool) -> Iterator[_Found]:
    if not repair:
        yield text, "problem", False
        return
    if run.is_shared:
        with run_lock(run.lock).hold(LOCK_SECONDS):
            forget_home(run)
        yield f"{text}; it is only a cache and will be made anew", "problem", True
        return
    try:
        with run_lock(run.lock).hold(LOCK_SECONDS):
            saved = rebuild.salvage(run)
    except (StoreError, sqlite3.Error, OSError) as error:
        yield f"{text}; repair failed: {error}", "problem", False
        return
    yield f"{text}; {saved.rows} rows saved, the old file is {saved.kept_as.name}", "problem", True


def _check_tables(database: RunDatabase, repair: bool) -> Iterator[_Found]:
    for source in database.sources():
        yield from _check_source(database, source, repair)
    for table, column in (("point", "row"), ("object", "row"), ("line", "row"), ("event", "row")):
        (strays,) = database.execute(
            f"SELECT count(*) FROM {table} t LEFT JOIN rows r ON r.seq = t.{column}"
            " WHERE r.seq IS NULL"
        ).fetchone()
        if strays:
            if repair:
                with database.transaction():
                    database.execute(
                        f"DELETE FROM {table} WHERE {column} NOT IN (SELECT seq FROM rows)"
                    )
            yield f"{strays} entries of table {table} belong to no row", "problem", repair
    for table in rebuild.stale_tables(database.connection):
        if repair:
            with database.transaction():
                rebuild.rematerialize(database.connection, table)
        yield f"table {table} is not what the rows say", "problem", repair


def _check_source(database: RunDatabase, source: Source, repair: bool) -> Iterator[_Found]:
    who = f"source {source.uuid[:8]}"
    count, first, last = database.execute(
        "SELECT count(*), min(number), max(number) FROM rows WHERE source = ?", (source.id,)
    ).fetchone()
    if count != source.position or (count and (first, last) != (1, source.position)):
        yield f"{who}: {count} rows are here, position says {source.position}", "problem", False
        return
    digest, reasons = DIGEST_START, []
    for item in rebuild.reread(database.connection, source.id):
        digest = next_digest(digest, item.digest)
        if item.row.kind == Kind.STUB:
            reasons.append((item.row.number, item.reason or "unknown"))
    if digest != source.digest:
        if repair:
            with database.transaction():
                database.execute("UPDATE source SET digest = ? WHERE id = ?", (digest, source.id))
        yield f"{who}: the rows do not add up to the digest", "problem", repair
    for number, reason in reasons:
        # The last frame of a killed writer was never acknowledged; a refused row was said to be.
        inside = number < source.position and reason.startswith(("damaged", "lost"))
        yield f"{who}: row {number} is a stub ({reason})", "problem" if inside else "note", False


def _check_journals(run: RunFolder, database: RunDatabase) -> Iterator[_Found]:
    listed = run.segments()
    for uuid, segments in listed.items():
        source = database.source(uuid)
        life = writer_life(run, uuid)
        if source is None:
            yield f"journal {uuid[:8]} holds no row yet ({life})", "note", False
        elif life == "dead" or source.ended:
            numbers = [number for number, _ in segments]
            yield f"journal {uuid[:8]} of a dead writer waits for segments {numbers}", "note", False
        elif life == "unknown":
            yield f"journal {uuid[:8]}: nobody can tell whether its writer lives", "note", False
    for folder in spill_folders(run):
        if not folder.is_dir():
            yield f"the spill folder {folder} is gone", "problem", False


def _check_snapshot(run: RunFolder) -> Iterator[_Found]:
    try:
        found = read_newest(
            run, lambda snapshot: snapshot.execute("PRAGMA integrity_check").fetchall()
        )
    except (StoreError, OSError) as error:
        yield f"the newest snapshot cannot be read: {error}", "problem", False
        return
    if found is not None and found[1] != [("ok",)]:
        name, damage = found[0].path.name, found[1][0][0]
        yield f"SQLite finds damage in {name}: {damage}", "problem", False


def _check_files(run: RunFolder, database: RunDatabase) -> Iterator[_Found]:
    for name, text in database.execute("SELECT name, value FROM file WHERE value NOT NULL"):
        facts, path = from_json(text), Path(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or not isinstance(facts, dict):
            yield f"the file row {name!r} describes no file of the run", "note", False
            continue
        try:
            content = (run.files / path).read_bytes()
        except OSError:
            sha256 = str(facts.get("sha256"))
            if (run.blobs / sha256[:2] / sha256).is_file():
                yield (
                    f"the file {name!r} is kept without its name, which no disk takes",
                    "note",
                    False,
                )
            else:
                yield f"the kept file {name!r} is missing", "problem", False
            continue
        if hashlib.sha256(content).hexdigest() != facts.get("sha256"):
            yield f"the kept file {name!r} has changed", "problem", False


def _check_leftovers(store: StoreFolder, repair: bool) -> Iterator[Finding]:
    trash = store.path / ".trash"
    left = [*store.path.glob(".store.*"), *(trash.iterdir() if trash.is_dir() else ())]
    for path in left:
        if repair:
            _remove(path)
        yield Finding("", "note", f"left over: {path.relative_to(store.path)}", repair)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""store.json: what makes a folder a store. Written once, whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, Literal, NamedTuple

from store.disk import Mode, detect_mode
from store.errors import SchemaTooNew, StoreCorrupt, StoreNotFound

FORMAT: Final = 1
FILE: Final = "store.json"


class Record(NamedTuple):
    """What store.json says. `forced`: somebody said the mode, whatever the disk looks like."""

    id: str
    format: int
    mode: str
    forced: bool

    def text(self) -> str:
        forced = ', "forced": true' if self.forced else ""
        return f'{{"id": "{self.id}", "format": {self.format}, "mode": "{self.mode}"{forced}}}\n'


def new_record(path: Path, disk: Literal["auto"] | Mode) -> Record:
    """The record of a store that is being made at `path`."""
    found = detect_mode(path)
    mode = found if disk == "auto" else disk
    return Record(os.urandom(16).hex(), FORMAT, mode, forced=mode != found)


def read_record(path: Path) -> Record:
    """The record of the store at `path`.

    Raises:
        StoreNotFound, StoreCorrupt, SchemaTooNew: there is none, or none that can be read.
    """
    import json

    file = path / FILE
    try:
        fields = json.loads(file.read_bytes())
        record = Record(
            str(fields["id"]),
            int(fields["format"]),
            str(fields["mode"]),
            bool(fields.get("forced", False)),
        )
    except (FileNotFoundError, NotADirectoryError):
        raise StoreNotFound(path) from None
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt(file, f"not a store's record: {error!r}") from error
    if record.format > FORMAT:
        raise SchemaTooNew(file, record.format, FORMAT)
    return record


def replace_record(path: Path, record: Record) -> None:
    """Let the store at `path` have another record. OSError."""
    os.replace(_write_beside(path / FILE, record.text()), path / FILE)


def publish(path: Path, text: str) -> None:
    """Write a file that is whole or not there; the first of several writers wins. OSError."""
    temporary = _write_beside(path, text)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    except OSError:  # a disk without hard links
        if not path.exists():
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_beside(path: Path, text: str) -> Path:
    temporary = path.parent / f".store.{os.getpid()}.{os.urandom(4).hex()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary

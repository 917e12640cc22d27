"""Rows to a file, in the format that the file's extension names.

The rows go to a hidden file beside the target, which is fsynced and then renamed over it: a failed
export leaves what was there before. Text and SQLite are streamed, Parquet holds all rows in memory.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from store.api.output import Kind, OutputFormat, write_rows
from store.api.text import flat, simple, unique_names, visible
from store.errors import UsageError


def write_file(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Write `rows` to `path` in the format of its extension; returns how many were written.

    `.db` is an SQLite database with the table `result`; a database that holds anything else is not
    replaced. `.parquet` gives each column the one type that its values share, else text, and holds
    all rows in memory. UsageError: unknown extension, no such folder, pyarrow is missing.
    """
    writer = _FILES.get(path.suffix.lower())
    if writer is None:
        known = ", ".join(_FILES)
        raise UsageError(f"{path.name}: unknown file format", hint=f"the name may end in {known}")
    if writer is _file_parquet:
        _pyarrow()
    if writer is _file_database:
        _check_replaceable(Path(os.path.realpath(path)))
    with replaced(path) as scratch:
        return writer(scratch, columns, rows)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place once the block has ended well.

    UsageError: there is no such folder.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}")
    scratch = target.with_name(f".{target.name[:64]}.{secrets.token_hex(6)}.tmp")
    try:
        yield scratch
        with scratch.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


def _file_text(
    kind: Kind, path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> int:
    with path.open("x", encoding="utf-8", newline="") as file:
        return write_rows(columns, rows, OutputFormat(kind), stream=file)


def _check_replaceable(path: Path) -> None:
    if not path.exists():
        return
    import sqlite3

    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            found = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path} is not replaced: {error}", hint="choose another name") from error
    if found - {"result"} or path.with_name(f"{path.name}-wal").exists():
        raise UsageError(
            f"{path} is a database that is in use or holds other tables",
            hint="choose another name; an export only replaces an export",
        )


def _file_database(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    from sqlite_utils import Database
    from sqlite_utils.db import quote_identifier

    names = unique_names([visible(column) for column in columns], str.casefold)
    count = 0

    def records() -> Iterator[list[Any]]:
        nonlocal count
        yield names
        for row in rows:
            yield [_database_value(item) for _, item in zip(names, row, strict=True)]
            count += 1

    database = Database(str(path))
    try:
        database.execute("PRAGMA journal_mode = MEMORY")
        # Columns without a type keep every value as it is: no affinity turns "007" into 7.
        fields = ", ".join(map(quote_identifier, names))
        database.execute(f"CREATE TABLE result ({fields})")
        database.table("result").insert_all(records())
    finally:
        database.close()
    return count


def _database_value(value: object) -> Any:
    plain = simple(value)
    if isinstance(plain, (dict, list)) or (
        isinstance(plain, int) and not -(2**63) <= plain < 2**63
    ):
        return str(flat(plain))
    return plain


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError(
            "writing Parquet needs pyarrow", hint="pip install 'runstore[parquet]'"
        ) from error


def _file_parquet(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    arrow, parquet = _pyarrow()
    names = unique_names(columns)
    data: list[list[Any]] = [[] for _ in names]
    count = 0
    for row in rows:
        for values, item in zip(data, row, strict=True):
            values.append(simple(item))
        count += 1
    arrays = [_arrow_array(arrow, values) for values in data]
    parquet.write_table(arrow.table(arrays, names=names), str(path))
    return count


def _arrow_array(arrow: Any, values: list[Any]) -> Any:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int, float} and all(abs(v) <= 2**53 for v in values if type(v) is int):
        kinds = {float}
    if kinds == {int} and not all(-(2**63) <= v < 2**63 for v in values if v is not None):
        kinds = {str}
    types = {bool: arrow.bool_, int: arrow.int64, float: arrow.float64, bytes: arrow.binary}
    if len(kinds) == 1 and (make := types.get(kinds.copy().pop())):
        return arrow.array(values, type=make())
    texts = [None if value is None else str(flat(value)) for value in values]
    return arrow.array(texts, type=arrow.string())


_FILES: Final[dict[str, Callable[[Path, Sequence[str], Iterable[Sequence[object]]], int]]] = {
    ".csv": functools.partial(_file_text, "csv"),
    ".tsv": functools.partial(_file_text, "tsv"),
    ".json": functools.partial(_file_text, "json"),
    ".nl": functools.partial(_file_text, "nl"),
    ".jsonl": functools.partial(_file_text, "nl"),
    ".db": _file_database,
    ".parquet": _file_parquet,
}

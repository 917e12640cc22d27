"""Wire: how rows travel, version 1.

A batch is MAGIC, the expanded size and the crc32 of what follows (two little-endian uint32), and
a zlib stream of one msgpack map: the run, the id of the store that it comes from, and sections.
A section is a stretch of one source's rows, numbered `first`, `first + 1` ..., by columns: kinds
as runs, steps and times as differences, metrics in groups that share their rows, and everything
that is no number as the JSON text that the tables keep (see `store.jsontext`).

Whoever receives a batch trusts nothing in it: `decode_batch` checks every type, bounds the rows,
values and texts, and the memory that reading takes (under 200 MB for the worst of bytes).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import groupby
from struct import Struct
from typing import Any, Final, NamedTuple

import msgpack

from store.errors import UsageError
from store.names import encode_name
from store.row import Kind, packb
from store.sync.bounds import require_bounded
from store.sync.columns import (
    BadBatchError,
    pack_column,
    pack_integers,
    pack_times,
    unpack_column,
    unpack_integers,
    unpack_times,
)

__all__ = ["BadBatchError", "Batch", "Group", "RunName", "Section", "decode_batch", "encode_batch"]

WIRE_VERSION: Final = 1
MAGIC: Final = b"RUNB\x01"
HEADER: Final = Struct("<II")
CONTENT_TYPE: Final = "application/x-runstore-batch"
LEVEL: Final = 1
MAX_EXPANDED: Final = 24 * 2**20
MAX_ROWS: Final = 10_000
MAX_TEXT: Final = 16 * 2**20
"""Characters of names, JSON and console text in one batch."""
MAX_VALUES: Final = 2_000_000
MAX_PARTS: Final = 1_000_000
"""Lists, maps and all that is in them, in one batch; and as many again in the JSON in it."""
MAX_KEYS: Final = 20_000
"""Keys of maps in one batch: a section has twelve."""
MAX_WORD: Final = 64
MAX_REASON: Final = 1000
"""Characters of a source's kind or a store's id, and of the reason of a stub."""


class RunName(NamedTuple):
    """Where a run belongs."""

    entity: str
    project: str
    run: str

    def __str__(self) -> str:
        return "/".join(self)


class Group(NamedTuple):
    """Metrics that the same rows have: a column of numbers (None = NaN) for each name.

    `rows` are indexes into the section; None = all its metric rows, in order.
    """

    rows: Sequence[int] | None
    names: list[str]
    columns: list[Sequence[float | int | None]]


class Section(NamedTuple):
    """Rows `first`, `first + 1` ... of one source, by columns (see the module).

    `objects` are (name, index, JSON), `lines` (index, stream, text), `others` (index, JSON),
    `stubs` (index, h(n), reason). `writing`: whether the writer lives, as far as the sender knows.
    """

    uuid: str
    kind: str
    first: int
    kinds: Sequence[int]
    steps: Sequence[int]
    times: Sequence[float]
    groups: list[Group]
    objects: list[tuple[str, int, str]]
    lines: list[tuple[int, str, str]]
    others: list[tuple[int, str]]
    stubs: list[tuple[int, bytes, str]]
    writing: bool | None

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self.first + len(self.kinds) - 1


class Batch(NamedTuple):
    """Rows of one run; `store` is the id of the store that they come from.

    `is_new`: the run is to be nobody else's yet, for it was begun with resume="never".
    """

    run: RunName
    store: str
    sections: list[Section]
    is_new: bool = False

    @property
    def rows(self) -> int:
        return sum(len(section.kinds) for section in self.sections)


def encode_batch(batch: Batch) -> bytes:
    """The bytes of a batch."""
    content = packb(
        {
            "run": list(batch.run),
            "store": batch.store,
            "sections": [_pack_section(section) for section in batch.sections],
            **({"new": True} if batch.is_new else {}),
        }
    )
    body = zlib.compress(content, LEVEL)
    return MAGIC + HEADER.pack(len(content), zlib.crc32(body)) + body


def decode_batch(data: bytes) -> Batch:
    """Reverse `encode_batch`.

    Raises:
        BadBatchError: not a batch, damaged, of another version, or too large.
    """
    content = _expand(data)
    try:
        require_bounded(content, items=MAX_PARTS, keys=MAX_KEYS)
        fields = msgpack.unpackb(
            content,
            strict_map_key=True,
            max_array_len=MAX_PARTS,
            max_map_len=MAX_KEYS,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise BadBatchError(f"not msgpack: {error}") from error
    budget = _Budget()
    run = _run_name(_list(_get(fields, "run"), str, 3))
    sections = [_unpack_section(item, budget) for item in _list(_get(fields, "sections"), dict)]
    is_new = fields.get("new", False)
    if type(is_new) is not bool:
        raise BadBatchError("new is neither true nor false")
    return Batch(run, _word(fields, "store"), sections, is_new)


def _expand(data: bytes) -> bytes:
    start = len(MAGIC) + HEADER.size
    if data[: len(MAGIC)] != MAGIC or len(data) < start:
        known = data[: len(MAGIC) - 1] == MAGIC[:-1]
        raise BadBatchError("a batch of another version" if known else "not a batch")
    size, crc = HEADER.unpack_from(data, len(MAGIC))
    body = memoryview(data)[start:]
    if zlib.crc32(body) != crc:
        raise BadBatchError("damaged on the way: wrong crc")
    if size > MAX_EXPANDED:
        raise BadBatchError(f"expands to {size} bytes, at most {MAX_EXPANDED} are taken")
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(body, size + 1)
    except zlib.error as error:
        raise BadBatchError(f"not zlib: {error}") from error
    if len(content) != size or not stream.eof or stream.unused_data:
        raise BadBatchError("its size is not what its header says")
    return content


def _run_name(parts: list[str]) -> RunName:
    try:
        for part, what in zip(parts, RunName._fields, strict=True):
            encode_name(part, what)
    except UsageError as error:
        raise BadBatchError(error.message) from error
    return RunName(*parts)


# -- sections ----------------------------------------------------------------------------------


def _pack_section(section: Section) -> dict[str, Any]:
    return {
        "uuid": section.uuid,
        "kind": section.kind,
        "first": section.first,
        "kinds": [[kind, len(list(run))] for kind, run in groupby(section.kinds)],
        "steps": pack_integers(section.steps),
        "times": pack_times(section.times),
        "groups": [_pack_group(group) for group in section.groups],
        "objects": section.objects,
        "lines": section.lines,
        "others": section.others,
        "stubs": section.stubs,
        "writing": section.writing,
    }


def _pack_group(group: Group) -> list[Any]:
    return [
        None if group.rows is None else pack_integers(group.rows),
        group.names,
        [pack_column(column) for column in group.columns],
    ]


def parts_of(text: str) -> int:
    """The most values that a JSON text can have: each takes about 150 bytes once it is read."""
    if text.startswith('"'):
        return 1
    return 1 + text.count(",") + text.count("[") + text.count("{")


class _Budget:
    """What a batch may still take of each kind."""

    def __init__(self) -> None:
        self.rows = MAX_ROWS
        self.parts = MAX_PARTS
        self.text = MAX_TEXT
        self.values = MAX_VALUES

    def take_rows(self, count: int) -> None:
        self.rows -= count
        if self.rows < 0:
            raise BadBatchError(f"more than {MAX_ROWS} rows in one batch")

    def take_text(self, text: str) -> None:
        self.text -= len(text)
        if self.text < 0:
            raise BadBatchError(f"more than {MAX_TEXT} characters of text in one batch")

    def take_json(self, text: str) -> None:
        self.take_text(text)
        self.parts -= parts_of(text)
        if self.parts < 0:
            raise BadBatchError(f"more than {MAX_PARTS} values in the JSON of one batch")

    def take_values(self, count: int) -> None:
        self.values -= count
        if self.values < 0:
            raise BadBatchError(f"more than {MAX_VALUES} values in one batch")


def _unpack_section(fields: dict[str, Any], budget: _Budget) -> Section:
    uuid = _take(fields, "uuid", str)
    if not (1 <= len(uuid) <= 64 and uuid.isascii() and uuid.isalnum()):
        raise BadBatchError("a source's uuid is 1 to 64 letters and digits")
    kinds = _unpack_kinds(_get(fields, "kinds"), budget)
    count = len(kinds)
    first = _take(fields, "first", int)
    if not 1 <= first <= 2**62:
        raise BadBatchError("a row's number is out of range")
    writing = _get(fields, "writing")
    if writing is not None and type(writing) is not bool:
        raise BadBatchError("writing is neither true, false nor nil")
    section = Section(
        uuid,
        _word(fields, "kind"),
        first,
        kinds,
        unpack_integers(_take(fields, "steps", bytes), count),
        unpack_times(_take(fields, "times", bytes), count),
        [_unpack_group(group, kinds, budget) for group in _list(_get(fields, "groups"), list)],
        [_typed(item, (str, int, str)) for item in _list(_get(fields, "objects"), list)],
        [_typed(item, (int, str, str)) for item in _list(_get(fields, "lines"), list)],
        [_typed(item, (int, str)) for item in _list(_get(fields, "others"), list)],
        [_typed(item, (int, bytes, str)) for item in _list(_get(fields, "stubs"), list)],
        writing,
    )
    _check_indexes(section, count, budget)
    return section


def _check_indexes(section: Section, count: int, budget: _Budget) -> None:
    objects = [index for _, index, _ in section.objects]
    others = [line[0] for line in section.lines] + [other[0] for other in section.others]
    stubs = [stub[0] for stub in section.stubs]
    for indexes in (objects, others, stubs):
        if indexes and not (min(indexes) >= 0 and max(indexes) < count):
            raise BadBatchError("an index beyond the section's rows")
    kinds = section.kinds
    if any(kinds[index] != Kind.METRIC for index in objects) or any(
        kinds[index] == Kind.METRIC for index in others
    ):
        raise BadBatchError("a text in a row that has none of its kind")
    for name, _, text in section.objects:
        budget.take_text(name)
        budget.take_json(text)
    for _, stream, text in section.lines:
        budget.take_text(stream)
        budget.take_text(text)
    for _, text in section.others:
        budget.take_json(text)
    for _, row_hash, reason in section.stubs:
        if len(row_hash) not in (0, 16) or len(reason) > MAX_REASON:
            raise BadBatchError(f"a stub has 16 bytes and a reason of at most {MAX_REASON} letters")


def _unpack_kinds(runs: object, budget: _Budget) -> list[int]:
    kinds: list[int] = []
    for item in _list(runs, list):
        kind, count = _typed(item, (int, int))
        if not (0 <= kind <= 255 and count > 0):
            raise BadBatchError("a row's kind is out of range")
        budget.take_rows(count)
        kinds += [kind] * count
    return kinds


def _unpack_group(fields: list[Any], kinds: list[int], budget: _Budget) -> Group:
    if len(fields) != 3:
        raise BadBatchError("a group has three parts")
    names = _list(fields[1], str)
    columns = _list(fields[2], list)
    for name in names:
        budget.take_text(name)
    if len(set(names)) != len(names) or len(names) != len(columns):
        raise BadBatchError("a group has one column for each name")
    rows, count = None, kinds.count(Kind.METRIC)
    if fields[0] is not None:
        data = _typed_one(fields[0], bytes)
        count = len(data) // 8
        if count > len(kinds):
            raise BadBatchError("a group has more rows than its section")
        rows = unpack_integers(data, count)
        if rows and not (min(rows) >= 0 and max(rows) < len(kinds)):
            raise BadBatchError("an index beyond the section's rows")
        if any(kinds[index] != Kind.METRIC for index in rows):
            raise BadBatchError("numbers in a row that has none")
    budget.take_values(count * len(names))
    return Group(rows, names, [unpack_column(column, count) for column in columns])


# -- types -------------------------------------------------------------------------------------


def _get(fields: object, name: str) -> Any:
    if not isinstance(fields, dict) or name not in fields:
        raise BadBatchError(f"{name} is missing")
    return fields[name]


def _take(fields: dict[str, Any], name: str, kind: type) -> Any:
    return _typed_one(_get(fields, name), kind, name)


def _word(fields: dict[str, Any], name: str) -> str:
    text: str = _take(fields, name, str)
    if len(text) > MAX_WORD:
        raise BadBatchError(f"{name} is longer than {MAX_WORD} letters")
    return text


def _typed_one(value: object, kind: type, name: str = "a value") -> Any:
    if type(value) is not kind:
        raise BadBatchError(f"{name} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _typed(item: object, kinds: tuple[type, ...]) -> Any:
    if type(item) is not list or tuple(map(type, item)) != kinds:
        raise BadBatchError(f"an entry is not of the types {[kind.__name__ for kind in kinds]}")
    return tuple(item)


def _list(value: object, kind: type, length: int | None = None) -> list[Any]:
    if type(value) is not list or (length is not None and len(value) != length):
        raise BadBatchError("a list is missing, or has another length")
    if kind is not object and not set(map(type, value)) <= {kind}:
        raise BadBatchError(f"a list holds other things than {kind.__name__}")
    return value

"""Coverage-guided fuzzing of all that reads bytes and names which come from elsewhere.

    python -m fuzz.decoders TARGET [FILE | FOLDER | -libFuzzer_option=value ...]

A target takes bytes, and raises where what it calls breaks a promise: an error of another kind
than its docstring names, or an answer that cannot be. Seeds are made here; what is found beyond
them is kept in build/fuzz/TARGET, also an input that fails: give its file to see it fail again.
"""

from __future__ import annotations

import contextlib
import ntpath
import os
import posixpath
import random
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any, Final, NamedTuple
from zlib import crc32

import atheris
import msgpack

with atheris.instrument_imports(include=["store"]):  # pyright: ignore[reportAttributeAccessIssue]
    from store.database import RunDatabase
    from store.errors import UsageError
    from store.journal import HEADER as FRAME
    from store.journal import MAGIC as JOURNAL_MAGIC
    from store.journal import find_frame, read_frames, rest_of
    from store.names import decode_name, encode_name
    from store.reread import digest_from_tables
    from store.row import BadRowError, Row, pack_row, packb, row_digest, unpack_row
    from store.stretch import Stretch
    from store.sync.blobs import is_safe_name
    from store.sync.pieces import cut
    from store.sync.receive import GapError, absorb_batch, fields_of
    from store.sync.wire import BadBatchError, Batch, Section, decode_batch, encode_batch
    from tests.sync.batches import content_of, frame, sample

FOUND: Final = Path("build/fuzz")
SCRATCH: Final = FOUND / "scratch" / str(os.getpid())
_COMPONENT: Final = re.compile(r"([a-z0-9._-]|%[0-9A-F]{2}){1,250}")
RAW, FRAMED = b"\0", b"\1"
"""The first byte of an input: the others as they are, or in a frame whose crc is right."""


def require(holds: bool, what: str, *facts: object) -> None:
    """Not `assert`, which an optimised interpreter passes over."""
    if not holds:
        raise RuntimeError(f"{what}: {facts!r}")


# -- batches -----------------------------------------------------------------------------------


def _batch(data: bytes) -> Batch | None:
    given = data[1:] if data[:1] != FRAMED else frame(data[1:])
    try:
        return decode_batch(given)
    except BadBatchError:
        return None


def batch(data: bytes) -> None:
    """What is decoded can be encoded again, and gives its rows; columns give the same rows."""
    found = _batch(data)
    if found is None:
        return
    again = decode_batch(encode_batch(found))
    require(repr(again) == repr(found), "encoded and decoded again", found, again)
    for section in found.sections:
        rows = fields_of(section)
        require(len(rows) == len(section.kinds), "a row for each kind", section)
        if not section.stubs:
            require(repr(_by_pieces(section)) == repr(_sorted(rows)), "pieces", section)


def _sorted(rows: list[Any]) -> list[Any]:
    """Stretches put the keys of a row in the order of the groups."""
    return [(*row[:4], sorted(row[4].items())) if type(row[4]) is dict else row for row in rows]


def _by_pieces(section: Section) -> list[Any]:
    rows: list[Any] = []
    for piece in cut(section):
        if not isinstance(piece, Stretch):
            rows += fields_of(piece)
            continue
        for n, values in enumerate(zip(*piece.values, strict=True)):
            data = dict(zip(piece.keys, values, strict=True))
            rows.append((piece.numbers[n], 3, piece.steps[n], piece.times[n], data))
    return _sorted(rows)


def absorbed(data: bytes) -> None:
    """A batch is taken, or refused with GapError; twice is once; the tables give its digest."""
    found = _batch(data)
    if found is None:
        return
    with _new_database() as database:
        try:
            first = absorb_batch(database, found)
        except GapError:
            return
        second = absorb_batch(database, found)
        require(first.positions == second.positions and second.new == 0, "twice", found)
        for source in database.sources():
            digest = digest_from_tables(database.connection, source.id)
            require(digest == source.digest, "the digest of the tables", found)


@contextlib.contextmanager
def _new_database() -> Iterator[RunDatabase]:
    for ending in ("", "-wal", "-shm"):
        (SCRATCH / f"run.db{ending}").unlink(missing_ok=True)
    database = RunDatabase(SCRATCH / "run.db")
    try:
        yield database
    finally:
        database.close()


def _mutate_batch(data: bytes, size: int, seed: int) -> bytes:
    """A change in one value of what is packed, which bytes that change at random seldom make."""
    dice = random.Random(seed)
    try:
        tree = msgpack.unpackb(data[1:], strict_map_key=False) if data[:1] == FRAMED else None
        if dice.random() < 0.3 or not isinstance(tree, dict | list):
            return bytes(atheris.Mutate(data, size))
        _change(tree, dice)
        made = FRAMED + packb(tree)
        return made if len(made) <= size else data
    except (ValueError, TypeError, OverflowError, RecursionError):
        return bytes(atheris.Mutate(data, size))


ODD: Final[tuple[Any, ...]] = (
    *(None, True, 0, 1, -1, 3, 255, 2**31, 2**62, 2**63 - 1, -(2**63), 2**64 - 1),
    *(0.5, -0.0, float("nan"), float("inf"), "", "a", "\0", '"\\ud800"', "[1]", "1e999", "NaN"),
    *('{"_deleted":true}', '{"a":{}}', "9" * 400, b"", bytes(8), bytes(16), [], {}, [[3, 2]]),
)


def _change(tree: Any, dice: random.Random) -> None:
    """Replace, repeat, remove or alter one leaf or branch somewhere below `tree`."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        if not keys:
            return
        key = dice.choice(keys)
        below = tree[key]
        if not (isinstance(below, dict | list) and below and dice.random() < 0.85):
            break
        tree = below
    way = dice.randrange(4)
    if way == 0:
        del tree[key]
    elif way == 1 and isinstance(tree, list):
        tree.insert(dice.randrange(len(tree) + 1), below)
    elif way == 2 and isinstance(below, bytes | str):
        raw = below.encode() if isinstance(below, str) else below
        made = bytes(atheris.Mutate(raw or b"a", len(raw) + 8))
        tree[key] = made if isinstance(below, bytes) else made.decode("utf-8", "replace")
    else:
        tree[key] = dice.choice(ODD)


def _batch_seeds() -> list[bytes]:
    first = sample()
    rows = [section._replace(first=1, stubs=[]) for section in first.sections]
    many = rows[0]._replace(
        kinds=[3] * 40,
        steps=list(range(40)),
        times=[float(n + 1) for n in range(40)],
        groups=[rows[0].groups[0]._replace(columns=[[n / 2 for n in range(40)]])],
        objects=[],
        lines=[],
        others=[],
    )
    made = [first, first._replace(sections=rows), first._replace(sections=[many])]
    packed = [FRAMED + packb(content_of(encode_batch(one))) for one in made]
    return [*packed, RAW + encode_batch(first)]


# -- journals ----------------------------------------------------------------------------------


def journal(data: bytes) -> None:
    """Frames are read to the first that is damaged; no reading stands still or goes back."""
    given = atheris.FuzzedDataProvider(data)  # pyright: ignore[reportAttributeAccessIssue]
    limit = given.ConsumeIntInRange(16, 200)
    whole = [given.ConsumeBytes(given.ConsumeIntInRange(1, 99)) for _ in range(given.ConsumeInt(1))]
    whole = [payload for payload in whole if payload]
    path = SCRATCH / "a.journal"
    frames = [FRAME.pack(len(one), crc32(one)) + one for one in whole]
    path.write_bytes(JOURNAL_MAGIC + b"".join(frames) + given.ConsumeBytes(10**6))
    payloads = _read_all(path, limit)
    require(payloads[: len(whole)] == whole, "whole frames are read", whole, payloads)
    for payload in payloads:
        row(payload)


def raw_journal(data: bytes) -> None:
    """Any bytes as a journal."""
    path = SCRATCH / "b.journal"
    path.write_bytes(data)
    for limit in (16, 64, 2**20):
        require(_read_all(path, limit) == _read_all(path, 2**20), "the limit tells", limit)
    for offset in range(0, len(data), 7):
        find_frame(path, offset)
        rest_of(path, offset)


def _read_all(path: Path, limit: int) -> list[bytes]:
    found: list[bytes] = []
    offset = 0
    while True:
        chunk = read_frames(path, offset, limit)
        require(chunk.offset >= offset, "read backwards", offset, chunk)
        found += map(bytes, chunk.payloads)
        if chunk.complete:
            return found
        require(chunk.offset > offset, "stood still", offset, chunk)
        offset = chunk.offset


def row(data: bytes) -> None:
    """A row packs as itself, and has a digest unless its values cannot be kept."""
    try:
        found = unpack_row(data)
        digest = row_digest(found)
    except BadRowError:
        return
    again = unpack_row(pack_row(*found))
    require(repr(again) == repr(found), "packed and unpacked again", found, again)
    require(row_digest(again) == digest, "another digest", found)


def _row_seeds() -> list[bytes]:
    data = {"loss": 0.5, "n": 3, "deep": [{"a": [None, True]}], "": "\U0001f600", "b": b"\xff"}
    rows = [Row(1, 1, 0, 1.5, {"host": "h"}), Row(2, 3, -1, 1e300, data)]
    stamp = packb([2**63 - 1, 255, 2, 0.5, {"a": msgpack.Timestamp(1, 2)}])
    return [*(pack_row(*one) for one in rows), stamp]


def _journal_seeds() -> list[bytes]:
    frames = b"".join(FRAME.pack(len(one), crc32(one)) + one for one in _row_seeds())
    return [JOURNAL_MAGIC, JOURNAL_MAGIC + frames, JOURNAL_MAGIC + frames[:-1] + bytes(40)]


# -- names -------------------------------------------------------------------------------------


def _text(data: bytes) -> str:
    """Bytes that are no UTF-8 become half characters, which no valid text has."""
    return data.decode("utf-8", "surrogateescape")


def name(data: bytes) -> None:
    """A name becomes one plain path component, and is read back from it."""
    text = _text(data)
    try:
        coded = encode_name(text)
    except UsageError:
        return
    require(_COMPONENT.fullmatch(coded) is not None, "a plain component", text, coded)
    require(not _is_device(coded) and coded[0] != "." and coded[-1] != ".", "on disks", text, coded)
    require(decode_name(coded) == text, "read back", text, coded)


def component(data: bytes) -> None:
    """A component is read as the name that it was made from, or stays as it is."""
    text = _text(data)
    found = decode_name(text)
    require(found == text or encode_name(found) == text, "never made", text, found)


def file_name(data: bytes) -> None:
    """A name that is called safe stays below its folder, on every system."""
    text = _text(data)
    if not is_safe_name(text):
        return
    text.encode()
    require(posixpath.normpath(text) == text and text[0] != "/", "leaves its folder", text)
    drive, rest = ntpath.splitdrive(text)
    require(not drive and not rest.startswith("/") and "\\" not in text, "a drive", text)
    require(not any(map(_is_device, text.split("/"))), "a device", text)
    require(unicodedata.normalize("NFC", text) == text, "another spelling", text)


def _is_device(part: str) -> bool:
    is_reserved: Callable[[str], bool] | None = getattr(ntpath, "isreserved", None)
    return is_reserved(part) if is_reserved else PureWindowsPath(part).is_reserved()


# -- the fuzzer --------------------------------------------------------------------------------


class Target(NamedTuple):
    """What is called, the inputs to begin with, and another way to change them."""

    call: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    mutate: Callable[[bytes, int, int], bytes] | None = None


def _names() -> list[bytes]:
    words = (
        "a",
        "A b/c",
        "con",
        "lpt1.txt",
        "..",
        ".x",
        "a.",
        "%41%2f",
        "\u00fc\u03ba",
        "x/y.z/nul",
    )
    return [word.encode() for word in words]


TARGETS: Final = {
    "batch": Target(batch, _batch_seeds, _mutate_batch),
    "absorbed": Target(absorbed, _batch_seeds, _mutate_batch),
    "row": Target(row, _row_seeds),
    "journal": Target(journal, _journal_seeds),
    "raw-journal": Target(raw_journal, _journal_seeds),
    "name": Target(name, _names),
    "component": Target(component, _names),
    "file-name": Target(file_name, _names),
}


def main() -> None:
    target, options = TARGETS.get("".join(sys.argv[1:2])), sys.argv[2:]
    if target is None:
        sys.exit(f"{__doc__}\nTargets: {', '.join(TARGETS)}")
    kept = FOUND / sys.argv[1]
    SCRATCH.mkdir(parents=True, exist_ok=True)
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (kept / f"seed-{number}").write_bytes(seed)
    given = any(not option.startswith("-") for option in options)
    arguments = [
        sys.argv[0],
        f"-artifact_prefix={kept}/",
        *options,
        *([] if given else [str(kept)]),
    ]
    more: dict[str, Any] = {} if target.mutate is None else {"custom_mutator": target.mutate}
    atheris.Setup(arguments, target.call, **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

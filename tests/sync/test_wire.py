"""Batches as bytes: what goes in comes out; all else that comes in is refused, within bounds."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings

from store.row import packb
from store.sync.wire import (
    MAGIC,
    MAX_ROWS,
    BadBatchError,
    Batch,
    Group,
    RunName,
    decode_batch,
    encode_batch,
)
from tests.sync.any_batches import batches
from tests.sync.batches import (
    NO_TEXTS,
    batch_of,
    by_wire,
    changed,
    content_of,
    frame,
    frame_of,
    rows_in,
    sample,
)

PROFILE = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)


def plain(value: object) -> object:
    """Lists for all sequences, bit patterns for floats: what equals is the same to the bit."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


# -- there and back ----------------------------------------------------------------------------


@PROFILE
@given(batches)
def test_a_batch_comes_out_as_it_went_in(batch: Batch) -> None:
    found = by_wire(batch)
    assert plain(found) == plain(batch)
    assert found.rows == batch.rows
    assert plain(rows_in(found)) == plain(rows_in(batch))


@pytest.mark.parametrize(
    "column",
    [
        [float("nan")],
        [float("inf"), float("-inf"), 0.0, -0.0, 5e-324],
        [2**63 - 1, -(2**63), 2**63 - 1, 0, -1],
        [1, 1.0, None, float("nan"), -0.0],
        [None, None],
    ],
)
def test_numbers_keep_their_type_and_their_bits(column: list[Any]) -> None:
    (section, *_) = sample().sections
    count = len(column)
    section = section._replace(
        kinds=[3] * count,
        steps=[2**63 - 1, -(2**63), 0, -1, 1][:count],
        times=[-0.0, 1e308, 5e-324, float("nan"), float("-inf")][:count],
        groups=[Group(None, ["x"], [column])],
        **NO_TEXTS,
    )
    (found,) = by_wire(batch_of(section)).sections
    assert plain(found) == plain(section)
    assert [type(value) for value in found.groups[0].columns[0]] == [type(v) for v in column]


def test_a_batch_without_rows_and_a_section_without_rows_travel() -> None:
    (section, *_) = sample().sections
    empty = section._replace(**NO_TEXTS, kinds=[], steps=[], times=[], groups=[])
    assert by_wire(batch_of()).rows == 0
    (found,) = by_wire(batch_of(empty)).sections
    assert found == empty
    assert found.last == empty.first - 1


def test_a_full_batch_travels_and_one_row_more_does_not() -> None:
    (section, *_) = sample().sections

    def of(count: int) -> Batch:
        return batch_of(
            section._replace(
                kinds=[3] * count,
                steps=range(count),
                times=[1.0] * count,
                groups=[Group(None, ["a"], [[0.5] * count])],
                **NO_TEXTS,
            )
        )

    assert by_wire(of(MAX_ROWS)).rows == MAX_ROWS
    with pytest.raises(BadBatchError, match="rows"):
        by_wire(of(MAX_ROWS + 1))


# -- damage ------------------------------------------------------------------------------------


def test_bytes_that_end_anywhere_are_no_batch() -> None:
    data = encode_batch(sample())
    for length in range(len(data)):
        with pytest.raises(BadBatchError):
            decode_batch(data[:length])
    with pytest.raises(BadBatchError):
        decode_batch(data + b"\0")


def test_no_flipped_bit_goes_unseen() -> None:
    data = bytearray(encode_batch(sample()))
    for place in range(8 * len(data)):
        data[place // 8] ^= 1 << place % 8
        with pytest.raises(BadBatchError):
            decode_batch(bytes(data))
        data[place // 8] ^= 1 << place % 8
    assert decode_batch(bytes(data)) == by_wire(sample())


def test_content_that_ends_anywhere_is_no_batch_though_its_crc_is_right() -> None:
    content = packb(content_of(encode_batch(sample())))
    for length in range(len(content)):
        with pytest.raises(BadBatchError):
            decode_batch(frame(content[:length]))


def test_another_version_is_told_from_strangers() -> None:
    data = encode_batch(sample())
    with pytest.raises(BadBatchError, match="another version"):
        decode_batch(MAGIC[:-1] + b"\x02" + data[len(MAGIC) :])
    with pytest.raises(BadBatchError, match="not a batch"):
        decode_batch(b"PK\x03\x04" + data)
    with pytest.raises(BadBatchError, match="crc"):
        decode_batch(data[:-1] + bytes([data[-1] ^ 1]))


# -- lies --------------------------------------------------------------------------------------

WRONG: Final[list[Any]] = [
    *(None, True, False, 0, 1, -1, 2, 200, 2**62 + 1, 2**63, 2**64 - 1, -(2**63)),
    *(1.5, float("nan"), float("inf"), "", "x", "x" * 300, "3" * 32, b"", b"x", b"x" * 8),
    *(b"\xff" * 16, [], [[]], [0], ["x", 0, "y"], [0, "x"], [[3, 1]], [[3, 6]], {}, {"a": 1}),
    {b"kinds": 1},
]


def nodes(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value in nested lists and dicts."""
    yield path
    if isinstance(tree, dict | list):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield from nodes(tree[key], (*path, key))


def with_other(tree: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    copied = dict(tree) if isinstance(tree, dict) else list(tree)
    copied[path[0]] = with_other(tree[path[0]], path[1:], value)
    return copied


def without(tree: Any, path: tuple[Any, ...]) -> Any:
    copied = dict(tree) if isinstance(tree, dict) else list(tree)
    if len(path) == 1:
        del copied[path[0]]
    else:
        copied[path[0]] = without(tree[path[0]], path[1:])
    return copied


def test_anything_in_any_place_is_refused_or_is_a_batch() -> None:
    """What is not refused must be one that whoever receives it can rely on."""
    tree = content_of(encode_batch(batch_of(sample().sections[0])))
    refused = 0
    for path in nodes(tree):
        for value in WRONG:
            try:
                batch = decode_batch(frame_of(with_other(tree, path, value)))
            except BadBatchError:
                refused += 1
                continue
            assert plain(by_wire(batch)) == plain(batch)
            assert [len(rows) for rows in rows_in(batch)] == [len(s.kinds) for s in batch.sections]
    assert refused > 1000


def test_nothing_may_be_missing() -> None:
    tree = content_of(encode_batch(batch_of(sample().sections[0])))
    for path in nodes(tree):
        if path and path != ("sections", 0):
            with_less = without(tree, path)
            # An entry less of what a section has a list of is a batch of its own kind.
            if isinstance(path[-1], int) and path[-2] in {"objects", "lines", "others", "stubs"}:
                continue
            if isinstance(path[-1], int) and path[-2] == "groups":
                continue
            with pytest.raises(BadBatchError):
                decode_batch(frame_of(with_less))


@pytest.mark.parametrize(
    "fields",
    [
        {"uuid": "a/../b"},
        {"uuid": "\u0661"},
        {"uuid": "a" * 65},
        {"kind": "k" * 65},
        {"first": 0},
        {"first": 2**62 + 1},
        {"kinds": [[3, 5]]},
        {"kinds": [[3, 6], [3, 0]]},
        {"kinds": [[256, 6]]},
        {"kinds": [[-1, 6]]},
        {"steps": b"\0" * 47},
        {"times": b"\0" * 56},
        {"groups": [[None, ["a", "a"], [["d", b"\0" * 24]] * 2]]},
        {"groups": [[None, ["a"], [["d", b"\0" * 32]]]]},
        {"groups": [[None, ["a"], [["m", [1, 2]]]]]},
        {"groups": [[None, ["a"], [["m", [1, 2, True]]]]]},
        {"groups": [[None, ["a"], [["m", [1, 2, 2**63]]]]]},
        {"groups": [[None, ["a"], [["z", b"\0" * 24]]]]},
        {"groups": [[None, ["a"], []]]},
        {"groups": [[b"\x02" + b"\0" * 7, ["a"], [["m", [1]]]]]},  # a console row
        {"groups": [[b"\x06" + b"\0" * 7, ["a"], [["m", [1]]]]]},
        {"groups": [[b"\xff" * 8, ["a"], [["m", [1]]]]]},
        {"groups": [[b"\0" * 56, ["a"], [["m", [1] * 7]]]]},
        {"objects": [["a", 6, "1"]]},
        {"objects": [["a", -1, "1"]]},
        {"objects": [["a", 3, "1"]]},  # an event
        {"lines": [[0, "stdout", "x"]]},  # a metric row
        {"others": [[1, "{}"]]},
        {"others": [[3, b"{}"]]},
        {"stubs": [[4, b"h" * 15, "lost"]]},
        {"stubs": [[4, b"h" * 16, "x" * 1001]]},
        {"writing": 1},
    ],
    ids=lambda fields: repr(fields)[:30],
)
def test_what_does_not_fit_together_is_refused(fields: dict[str, object]) -> None:
    assert decode_batch(changed()).rows == 6
    with pytest.raises(BadBatchError):
        decode_batch(changed(**fields))


@pytest.mark.parametrize("part", ["entity", "project", "run"])
@pytest.mark.parametrize(
    "name", ["", " ", "x" * 129, "ü" * 65, "\U0001f600" * 30, "x" * 10**6], ids=len
)
def test_names_that_no_disk_takes_are_refused(part: str, name: str) -> None:
    run = RunName("e", "p", "r")._replace(**{part: name})
    with pytest.raises(BadBatchError):
        by_wire(Batch(run, "s", []))


def test_text_that_is_no_utf8_is_refused() -> None:
    content = packb(content_of(encode_batch(sample())))
    assert content.count(b"hello\n") == 2
    for bad in (b"hell\xff\n", b"hel\xed\xa0\x80", b"he\xf8\x88\x80\x80"):
        with pytest.raises(BadBatchError, match="utf-8"):
            decode_batch(frame(content.replace(b"hello\n", bad[:6].ljust(6, b"\xff"))))

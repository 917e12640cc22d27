"""Whatever people log is kept as it was, or refused; bytes that are no row never stop the rest."""

from __future__ import annotations

import math
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.api.values import clean_metrics, clean_setting
from store.check import check_run
from store.fold import fold
from store.journal import HEADER, MAGIC
from store.paths import create_store
from store.row import Kind, Row, canonical_data, pack_row, row_digest, unpack_row
from tests.helpers import rows_of

PROFILE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)


class Hostile:
    """An object that raises wherever it is touched."""

    def __float__(self) -> float:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        return "Hostile()"

    def item(self) -> float:
        raise MemoryError("no")


texts = st.text(st.characters(), max_size=8)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    texts,
    st.binary(max_size=3),
    st.just(Hostile()),
    st.complex_numbers(),
    st.fractions(),
    st.decimals(allow_nan=True, allow_infinity=True),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(texts, st.integers(), st.none()), inner, max_size=3),
    ),
    max_leaves=8,
)


@PROFILE
@given(st.dictionaries(st.one_of(texts, st.integers()), anything, max_size=4))
def test_what_is_kept_reads_back_with_the_same_digest(data: dict[Any, Any]) -> None:
    refused: list[str] = []
    cleaned = clean_metrics(data, lambda reason, key: refused.append(reason))
    payload = pack_row(1, Kind.METRIC, 0, 1.0, cleaned)
    row = unpack_row(payload)
    assert row_digest(row) == row_digest(Row(1, Kind.METRIC, 0, 1.0, cleaned))
    assert canonical_data(row.kind, row.data) == canonical_data(row.kind, cleaned)


@PROFILE
@given(anything)
def test_any_setting_becomes_data(value: Any) -> None:
    payload = pack_row(1, Kind.CONFIG, 0, 1.0, {"key": clean_setting(value)})
    row_digest(unpack_row(payload))


@PROFILE
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(), min_size=1))
def test_plain_floats_are_kept_as_they_are(data: dict[str, float]) -> None:
    cleaned = clean_metrics(data, lambda reason, key: None)
    assert list(cleaned) == list(data)
    for key, value in data.items():
        assert cleaned[key] == value or (math.isnan(value) and math.isnan(cleaned[key]))


poison = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.sampled_from(
        [
            msgpack.packb(value)
            for value in (
                [1, 2],
                "text",
                [2, 3, 0, 1.0, {1: 2.0}],
                [2, 3, 0, 1.0, {"a": b"bytes"}],
                [2, 3, 0, 1.0, {"a": 2**64 - 1}],
                [2, 3, 2**64 - 1, 1.0, {}],
                [2, 3, 0, float("nan"), {}],
                [2, 3, 0, 1, {}],
                [2, "3", 0, 1.0, {}],
                [2, 3, 0, 1.0, [1]],
                [2, 300, 0, 1.0, {}],
                [2, 3, 0, 1.0, {"a": msgpack.ExtType(5, b"x")}],
                [2, 3, 0, 1.0, {"a": msgpack.Timestamp(1)}],
            )
        ]
        + [b"\x91" * 100 + b"\x01", b"\x95\x02\x03\x00" + b"\xcb" + b"\x3f\xf0" + b"\x00" * 6]
    ),
)


@settings(PROFILE, max_examples=60)
@given(st.lists(st.one_of(st.none(), poison), min_size=1, max_size=8))
def test_poison_takes_its_number_and_stops_nothing(frames: list[bytes | None]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        run = create_store(folder / "s").run("local", "p", "r")
        run.journals.mkdir(parents=True)
        content, good = MAGIC, []
        for number, frame in enumerate(frames, 1):
            payload = frame
            if payload is None:
                payload = pack_row(number, Kind.METRIC, number, 1.0, {"x": float(number)})
                good.append(number)
            content += HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        (run.journals / ("0" * 32 + ".1.journal")).write_bytes(content)
        fold(run, timeout=10)
        kept = {row.number: row.data for row in rows_of(run)}
        # A frame of random bytes may happen to read as a row of its own.
        assert {n: kept.get(n) for n in good} == {n: {"x": float(n)} for n in good}
        levels = [f for f in check_run(run) if f.level == "problem"]
        assert [f for f in levels if "stub" not in f.text] == []
    finally:
        shutil.rmtree(folder)

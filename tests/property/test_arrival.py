"""Any order in which the rows of several sources arrive gives the same tables and digests."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import RunDatabase
from store.reread import digest_from_tables, reread
from store.row import DELETED, DIGEST_START, Kind, Row, next_digest, row_digest

SOURCES = ["a" * 32, "b" * 32, "c" * 32]
TABLES = ("config", "attribute", "file", "summary")
PROFILE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)

keys = st.sampled_from(["loss", "acc", "val/x", "ü", "", "a b"])
numbers = st.one_of(
    st.floats(width=64),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0.0, -0.0, 1, 1.0, float("nan"), float("inf"), True]),
)
nested = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
metric_data = st.dictionaries(
    keys, st.one_of(numbers, st.text(max_size=4), st.lists(st.floats(), max_size=2)), max_size=4
)
plain_data = st.fixed_dictionaries({"loss": st.floats(-10, 10), "acc": st.floats(-10, 10)})
setting_data = st.dictionaries(keys, st.one_of(nested, st.just(DELETED)), max_size=3)
facts = st.one_of(
    st.tuples(st.just(int(Kind.METRIC)), st.one_of(metric_data, plain_data, plain_data)),
    st.tuples(
        st.sampled_from([int(k) for k in (Kind.CONFIG, Kind.SUMMARY, Kind.ATTRIBUTE)]), setting_data
    ),
    st.tuples(
        st.just(int(Kind.FILE)), st.dictionaries(keys, st.fixed_dictionaries({"size": st.just(1)}))
    ),
    st.tuples(
        st.just(int(Kind.CONSOLE)),
        st.fixed_dictionaries({"stream": st.just("stdout"), "text": st.text(max_size=5)}),
    ),
)
times = st.one_of(st.just(1.0), st.floats(0.5, 4.0))


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Rows of several sources; times may be equal, and even go back."""
    found = {}
    for source in SOURCES[: draw(st.integers(1, 3))]:
        rows = draw(st.lists(st.tuples(facts, st.integers(-3, 9), times), min_size=1, max_size=14))
        found[source] = [
            Row(number, kind, step, time, data)
            for number, ((kind, data), step, time) in enumerate(rows, 1)
        ]
    return found


@contextmanager
def database(folder: Path, name: str) -> Iterator[RunDatabase]:
    opened = RunDatabase(folder / f"{name}.db")
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def contents(db: RunDatabase) -> dict[str, list[Any]]:
    found = {table: db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}
    found["sources"] = sorted(
        (s.uuid, s.position, s.digest, s.step, s.latest) for s in db.sources()
    )
    for source in db.sources():
        assert digest_from_tables(db.connection, source.id) == source.digest
    return found


def deliver(db: RunDatabase, rows: dict[str, list[Row]], choose: random.Random) -> None:
    """Random stretches, some of them twice, in random turns."""
    left = dict.fromkeys(rows, 0)
    while left:
        source = choose.choice(list(left))
        at = left[source]
        stop = min(len(rows[source]), at + choose.randint(1, 6))
        first = max(0, at - choose.randint(0, 3))
        db.absorb(source, rows[source][first:stop])
        if choose.random() < 0.3:
            db.absorb(source, rows[source][:stop])
        left[source] = stop
        if stop == len(rows[source]):
            del left[source]


@PROFILE
@given(histories(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_equal_tables(
    rows: dict[str, list[Row]], choose: random.Random
) -> None:
    with scratch() as folder, database(folder, "one") as one, database(folder, "two") as two:
        deliver(one, rows, choose)
        deliver(two, rows, choose)
        assert contents(one) == contents(two)
        for source, expected in rows.items():
            digest = DIGEST_START
            for row in expected:
                digest = next_digest(digest, row_digest(row))
            found = one.source(source)
            assert found is not None
            assert (found.position, found.digest) == (len(expected), digest)


@PROFILE
@given(histories(), st.randoms(use_true_random=False))
def test_two_copies_merge_in_either_direction(
    rows: dict[str, list[Row]], choose: random.Random
) -> None:
    with scratch() as folder, database(folder, "one") as one, database(folder, "two") as two:
        for source, all_rows in rows.items():
            for db in (one, two):
                part = all_rows[: choose.randint(0, len(all_rows))]
                if part:
                    db.absorb(source, part)
        for here, there in ((one, two), (two, one), (one, two)):
            for found in there.sources():
                here.absorb(found.uuid, [i.row for i in reread(there.connection, found.id)])
        assert contents(one) == contents(two)


@PROFILE
@given(histories(), st.randoms(use_true_random=False))
def test_rows_take_the_place_of_stubs(rows: dict[str, list[Row]], choose: random.Random) -> None:
    with scratch() as folder, database(folder, "one") as one, database(folder, "two") as two:
        for source, all_rows in rows.items():
            two.absorb(source, all_rows)
            for row in all_rows:
                if choose.random() < 0.3:
                    with one.transaction():
                        one.reject(source, row.number, b"", "withheld", digest=row_digest(row))
                else:
                    one.absorb(source, [row])
            before = one.source(source)
            one.absorb(source, all_rows)
            after = one.source(source)
            assert before is not None
            assert after is not None
            assert before.digest == after.digest
        assert contents(one) == contents(two)
        assert one.execute("SELECT count(*) FROM rejected").fetchone() == (0,)

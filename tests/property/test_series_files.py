"""Buckets and column files give what the points themselves give, whatever is logged and when."""

from __future__ import annotations

import tempfile
from array import array
from bisect import bisect_left
from contextlib import closing
from math import fsum, inf, isclose, isfinite, nan
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.database import RunDatabase
from store.paths import RunFolder, create_store
from store.row import Kind, Row
from store.server.buckets import SIZE, make_buckets
from store.server.column_files import ColumnFiles
from store.server.columns import Columns
from store.server.m4 import edge, m4, means
from store.server.points import Points
from tests.stored_runs import BEGAN, absorb, metric, rows_of

Filed = tuple[RunFolder, ColumnFiles, Path]

plain = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3))
values = st.one_of(plain, plain, plain, st.sampled_from([nan, inf, -inf, 1e308, -0.0]))
small = st.one_of(plain, plain, st.sampled_from([nan, inf, -inf]))
long_values = st.one_of(st.lists(plain, max_size=600), st.lists(values, max_size=600))


@given(st.data(), long_values, st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_m4_with_buckets_is_m4_of_the_points(
    data: st.DataObject, listed: list[float], columns: int
) -> None:
    steps = data.draw(st.lists(st.integers(0, 900), min_size=len(listed), max_size=len(listed)))
    x, y = sorted(steps), array("d", listed)
    low = data.draw(st.integers(-10, 900))
    high = data.draw(st.integers(low, 910))
    known = data.draw(st.integers(0, len(y)))
    buckets = make_buckets(y, make_buckets(y[:known]))
    assert list(m4(x, y, columns, low, high, buckets)) == list(m4(x, y, columns, low, high))


@given(st.lists(small, min_size=SIZE, max_size=600), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_the_mean_of_a_column_is_that_of_its_finite_values(
    listed: list[float], columns: int
) -> None:
    x, y = range(len(listed)), array("d", listed)
    low, high = 0.0, float(len(listed) - 1)
    at, found = means(x, y, columns, low, high, make_buckets(y))
    pairs = dict(zip(at, found, strict=True))
    if len(y) <= 4 * columns:
        assert not pairs
        return
    for column in range(columns):
        first = bisect_left(x, edge(column, columns, low, high))
        stop = bisect_left(x, edge(column + 1, columns, low, high))
        stop = len(y) if column == columns - 1 else stop
        finite = [value for value in listed[first:stop] if isfinite(value)]
        if finite:
            value = pairs.pop((first + stop - 1) / 2)
            assert isclose(value, fsum(finite) / len(finite), abs_tol=1e-9)
    assert not pairs


# -- files -------------------------------------------------------------------------------------


def read(run: RunFolder, points: Points, key: str = "x") -> Columns:
    with closing(RunDatabase(run.database, write=False)) as database:
        (found,) = points.read_all(database.connection, run, [key])
        return found


def same(one: Columns, other: Columns) -> bool:
    """Equal, with NaN equal to itself."""
    return (
        (one.mark, list(one.steps), list(one.times), one.in_time)
        == (other.mark, list(other.steps), list(other.times), other.in_time)
        and bytes(memoryview(one.values)) == bytes(memoryview(other.values))  # type: ignore[arg-type]
        and [list(map(repr, part)) for part in one.buckets]
        == [list(map(repr, part)) for part in other.buckets]
    )


parts = st.lists(
    st.tuples(
        st.sampled_from(["a" * 32, "b" * 32]),
        st.lists(st.tuples(st.integers(0, 300), values), min_size=1, max_size=90),
    ),
    min_size=1,
    max_size=8,
)


@given(parts)
@settings(max_examples=40, deadline=None)
def test_a_growing_run_reads_the_same_from_files_and_from_its_database(
    arrivals: list[tuple[str, list[tuple[int, float]]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = create_store(Path(folder, "s")).run("e", "p", "r")
        files = ColumnFiles(Path(folder, "columns"), least=20)
        lasting, numbers = Points(files=files), dict[str, int]()
        for uuid, logged in arrivals:
            first = numbers.get(uuid, 0)
            rows = [
                Row(first + n, int(Kind.METRIC), step, BEGAN + first + n, {"x": value})
                for n, (step, value) in enumerate(logged, 1)
            ]
            numbers[uuid] = first + len(rows)
            absorb(run, rows, uuid)
            fresh = read(run, Points())
            assert same(read(run, lasting), fresh)
            assert same(read(run, Points(files=files)), fresh)


@pytest.fixture
def filed(tmp_path: Path) -> Filed:
    """A run of 100 points that are kept in a file, which is all that there is room for."""
    run = create_store(tmp_path / "s").run("e", "p", "r")
    absorb(run, rows_of(*[metric(step, {"x": step}) for step in range(100)]))
    files = ColumnFiles(tmp_path / "columns", least=20, most_bytes=4000)
    read(run, Points(files=files))
    (path,) = (tmp_path / "columns").glob("*/*")
    return run, files, path


def loaded(run: RunFolder, files: ColumnFiles) -> Columns | None:
    with closing(RunDatabase(run.database, write=False)) as database:
        return files.load(database.connection, run, "x", "")


def test_a_database_that_is_another_one_is_noticed(filed: Filed) -> None:
    run, files, _ = filed
    assert loaded(run, files) is not None
    with closing(RunDatabase(run.database)) as database:
        database.connection.execute("UPDATE source SET digest = x'00'")
    assert loaded(run, files) is None
    for path in run.path.glob("run.db*"):
        path.unlink()
    absorb(run, rows_of(*[metric(step, {"x": -step}) for step in range(100)]), "c" * 32)
    assert loaded(run, files) is None
    assert list(read(run, Points(files=files)).values) == [-step for step in range(100)]


@pytest.mark.parametrize("harm", ["cut", "empty", "head", "gone"])
def test_a_file_that_is_damaged_is_made_anew(filed: Filed, harm: str) -> None:
    run, files, path = filed
    content = path.read_bytes()
    path.unlink()
    harmed = {"cut": content[:-8], "empty": b"", "head": content[:20] + b"?" + content[21:]}
    if harm in harmed:
        path.write_bytes(harmed[harm])
    assert loaded(run, files) is None
    assert list(read(run, Points(files=files)).values) == list(range(100))
    assert path.read_bytes() == content


def test_the_files_used_longest_ago_go_first(filed: Filed) -> None:
    run, files, path = filed
    assert path.stat().st_size < 4000 < 2 * path.stat().st_size
    other = run.path.with_name("other")
    absorb(RunFolder(other), rows_of(*[metric(step, {"x": step}) for step in range(100)]))
    read(RunFolder(other), Points(files=files))
    assert not path.exists()
    assert len(list(path.parents[1].glob("*/*"))) == 1
    assert loaded(run, files) is None
    files.forget(RunFolder(other))
    assert list(path.parents[1].glob("*/*")) == []

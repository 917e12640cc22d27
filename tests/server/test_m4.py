"""The thinned line is the whole line, as far as a chart of so many pixels shows it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from math import inf, isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.server.m4 import PARTS, edge, m4

Point = tuple[float, float]
Piece = tuple[Point, Point]
Extent = tuple[float, float]
Columns = dict[int, list[Extent]]

STEPS = st.lists(st.integers(0, 60), max_size=120).map(sorted)
FLOATS = st.lists(st.floats(-1e6, 1e6), max_size=120).map(sorted)
VALUES = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-1e3, 1e3), st.just(nan), st.sampled_from([inf, -inf])
)


def column_of(x: float, edges: Sequence[float]) -> int:
    return min(len(edges) - 1, bisect_right(edges, x) - 1)


def drawn(points: Sequence[Point], edges: Sequence[float]) -> tuple[set[Piece], Columns]:
    """What a line shows: its pieces between columns, and in each column the runs up and down."""
    between: set[Piece] = set()
    within: dict[int, list[list[float]]] = {}
    before: Point | None = None
    for x, y in points:
        column = column_of(x, edges)
        if isnan(y):
            before = None
            continue
        runs = within.setdefault(column, [])
        if before is not None and column_of(before[0], edges) == column:
            runs[-1].append(y)
        else:
            runs.append([y])
            if before is not None:
                between.add((before, (x, y)))
        before = (x, y)
    extents = {c: [(min(run), max(run)) for run in runs] for c, runs in within.items()}
    return between, extents


def merged(extents: Columns) -> dict[int, Extent]:
    """Each column's runs taken as one."""
    return {
        column: (min(low for low, _ in runs), max(high for _, high in runs))
        for column, runs in extents.items()
    }


@given(x=STEPS | FLOATS, columns=st.integers(1, 12), data=st.data())
@settings(max_examples=200, deadline=None)
def test_the_thinned_line_shows_what_the_whole_line_shows(
    x: list[float], columns: int, data: st.DataObject
) -> None:
    y = array("d", data.draw(st.lists(VALUES, min_size=len(x), max_size=len(x))))
    low, high = (x[0], x[-1]) if x else (0.0, 1.0)
    edges = [edge(column, columns, low, high) for column in range(columns)]

    kept = list(m4(x, y, columns, low, high))

    assert kept == sorted(set(kept))
    whole = list(zip(x, y, strict=True))
    thin = [whole[place] for place in kept]
    between, extents = drawn(thin, edges)
    all_between, all_extents = drawn(whole, edges)
    assert merged(extents) == merged(all_extents)
    if max(map(len, all_extents.values()), default=0) <= PARTS:
        assert (between, extents) == (all_between, all_extents)
    else:
        assert between == all_between


@given(
    columns=st.integers(1, 8),
    values=st.lists(VALUES, min_size=500, max_size=900),
    low=st.integers(-10, 400),
    width=st.integers(0, 500),
)
@settings(max_examples=60, deadline=None)
def test_a_part_of_the_line_keeps_its_neighbours_and_a_bound(
    columns: int, values: list[float], low: int, width: int
) -> None:
    x = [2 * place for place in range(len(values))]
    high = low + width

    kept = list(m4(x, array("d", values), columns, low, high))

    assert len(kept) <= columns * (5 * PARTS + 1) + 2
    inside = [place for place in range(len(x)) if low <= x[place] <= high]
    before = [place for place in range(len(x)) if x[place] < low][-1:]
    behind = [place for place in range(len(x)) if x[place] > high][:1]
    assert set(kept) <= {*before, *inside, *behind}
    assert {*before, *behind} <= set(kept)
    if inside:
        assert {inside[0], inside[-1]} <= set(kept)


def test_few_points_are_kept_as_they_are() -> None:
    y = array("d", [1.0, nan, 3.0, nan, nan, 6.0])
    assert list(m4([0, 1, 2, 3, 4, 5], y, 2, 0, 5)) == [0, 1, 2, 3, 4, 5]


def test_first_least_greatest_and_last_of_a_column() -> None:
    y = array("d", [5.0, 4.0, -1.0, 4.0, 9.0, 4.0, 5.0])
    assert list(m4(range(7), y, 1, 0, 6)) == [0, 2, 4, 6]


@pytest.mark.parametrize("values", [[], [1.0], [nan]])
def test_nothing_and_one_point(values: list[float]) -> None:
    assert list(m4(range(len(values)), array("d", values), 100, 0, 0)) == list(range(len(values)))


def test_a_million_points_become_four_for_each_column() -> None:
    count = 1_000_000
    y = array("d", [float(place * 7919 % 1000) for place in range(count)])

    kept = m4(range(count), y, 500, 0, count - 1)

    assert len(kept) <= 4 * 500
    assert {0, count - 1} <= set(kept)

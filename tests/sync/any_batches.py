"""Strategies: batches of all that has their shape."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from store.row import Kind
from store.sync.wire import Batch, Group, RunName, Section

INT64 = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1])
)
FLOATS = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7e308]),
)
NUMBERS = st.one_of(INT64, FLOATS, st.none())
NAMES = st.one_of(st.text(max_size=6), st.sampled_from(["loss", "", "ü/κ", "a\0b", "\U0001f600"]))


def columns(count: int) -> st.SearchStrategy[list[Any]]:
    """All floats, all integers, or a mixture."""
    return st.one_of(
        *(st.lists(kind, min_size=count, max_size=count) for kind in (FLOATS, INT64, NUMBERS))
    )


@st.composite
def groups(draw: st.DrawFn, kinds: list[int]) -> Group:
    metric = [place for place, kind in enumerate(kinds) if kind == Kind.METRIC]
    rows = draw(st.one_of(st.none(), st.lists(st.sampled_from(metric or [0]), unique=True)))
    if not metric:
        rows = None
    count = len(metric) if rows is None else len(rows)
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    return Group(rows, names, [draw(columns(count)) for _ in names])


@st.composite
def sections(draw: st.DrawFn) -> Section:
    kinds = draw(st.lists(st.sampled_from([3, 3, 3, 0, 1, 2, 4, 7, 8, 9, 255]), max_size=12))
    count = len(kinds)
    places = {
        what: [place for place, kind in enumerate(kinds) if (kind == Kind.METRIC) == (what == "m")]
        for what in "mo"
    }

    def entries(of: str, *parts: st.SearchStrategy[Any]) -> list[Any]:
        if not places[of]:
            return []
        return draw(st.lists(st.tuples(*parts), max_size=4))

    metric, other = (st.sampled_from(places[what] or [0]) for what in "mo")
    texts = st.text(max_size=20)
    return Section(
        draw(st.text("0123456789abcdefXYZ", min_size=1, max_size=64)),
        draw(st.sampled_from(["journal", "import", ""])),
        draw(st.one_of(st.integers(1, 2**62), st.just(1))),
        kinds,
        draw(st.lists(INT64, min_size=count, max_size=count)),
        draw(st.lists(FLOATS, min_size=count, max_size=count)),
        draw(st.lists(groups(kinds), max_size=3)),
        entries("m", NAMES, metric, texts),
        entries("o", other, texts, texts),
        entries("o", other, texts),
        entries("o", other, st.sampled_from([b"", b"h" * 16]), texts),
        draw(st.sampled_from([True, False, None])),
    )


batches = st.builds(
    Batch,
    st.builds(RunName, *[st.text("ab/ü .%~", min_size=1, max_size=9).filter(str.strip)] * 3),
    st.text(max_size=32),
    st.lists(sections(), max_size=4),
)

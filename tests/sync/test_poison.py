"""Rows that no database can keep: each becomes a stub and is told of; the rest arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store.paths import RunFolder
from store.row import Kind, Row
from store.sync.receive import receive
from store.sync.wire import Section
from tests.helpers import problems
from tests.stored_runs import metric, rows_of
from tests.sync.batches import (
    batch_of,
    by_wire,
    new_run,
    put,
    stored,
    stretches_of,
)
from tests.sync.one_source import ROWS, A, rows

B = "b" * 32


BAD_JSON = [
    *("", "{", '{"a":}', "nul", "{'a':1}", "[1", '"x', '{"a":1}x', "\0", "1e", "0x10", '{"a":01}'),
    *('{"a":"\\ud800"}', '{"\\udfff":1}', "[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000),
    *("9" * 5000, f'{{"a":{2**63}}}', f'{{"a":[{-(2**63) - 1}]}}'),
    '{"a":' + "[" * 40 + "]" * 40 + "}",
]  # fmt: skip
NO_OBJECTS = ["[]", "1", '"x"', "null", "true", "1.5"]


def test_events_that_cannot_be_kept_are_stubs_and_are_told(
    tmp_path: Path, there: RunFolder
) -> None:
    texts = [*BAD_JSON, *NO_OBJECTS]
    listed = rows_of(*((Kind.EVENT, n, {"n": n}) for n in range(2 * len(texts))))
    run = new_run(tmp_path / "events")
    put(run, A, listed)
    (section,) = stretches_of(run, A)
    others = dict(section.others)
    for n, text in enumerate(texts):
        others[2 * n + 1] = text
    bad = section._replace(others=list(others.items()))
    assert_only_refused(there, bad, [2 * n + 2 for n in range(len(texts))])
    receive(there, by_wire(batch_of(section)))
    assert stored(there) == stored(run)
    assert problems(there.path.parents[2]) == []


def test_logged_objects_that_cannot_be_kept_take_their_rows_with_them(
    tmp_path: Path, there: RunFolder
) -> None:
    listed = rows_of(*(metric(n, {"loss": 0.5, "o": ["kept"]}) for n in range(2 * len(BAD_JSON))))
    run = new_run(tmp_path / "objects")
    put(run, A, listed)
    (section,) = stretches_of(run, A)
    objects = [
        entry
        for n, text in enumerate(BAD_JSON)
        for entry in (("early", 2 * n + 1, text), ("late", 2 * n + 1, "1"))
    ]
    bad = section._replace(objects=objects[::2] + section.objects + objects[1::2])
    assert_only_refused(there, bad, [2 * n + 2 for n in range(len(BAD_JSON))])
    receive(there, by_wire(batch_of(section)))
    assert stored(there) == stored(run)
    assert problems(there.path.parents[2]) == []


@pytest.mark.parametrize(
    ("place", "fields"),
    [
        (3, {"time": float("nan")}),
        (3, {"time": float("inf")}),
        (21, {"time": float("-inf")}),
        (1, {"kind": 0}),  # a stub that nothing is said of
    ],
)
def test_rows_that_are_none_are_refused_one_by_one(
    origin: RunFolder, there: RunFolder, place: int, fields: dict[str, Any]
) -> None:
    section = rows(origin, 1, len(ROWS))
    kinds, times = list(section.kinds), list(section.times)
    kinds[place] = fields.get("kind", kinds[place])
    times[place] = fields.get("time", times[place])
    bad = section._replace(kinds=kinds, times=times)
    assert_only_refused(there, bad, [place + 1])


def assert_only_refused(there: RunFolder, section: Section, numbers: list[int]) -> None:
    """All of a section arrives but for some rows, each time that it comes; nothing breaks."""
    told = []
    for new in (len(section.kinds), 0):
        received = receive(there, by_wire(batch_of(section)))
        assert received.new == new
        assert received.positions[A][0] == len(section.kinds)
        assert [(uuid, number) for uuid, number, _ in received.refused] == [
            (A, number) for number in numbers
        ]
        told.append([reason for _, _, reason in received.refused])
    assert told[0] == told[1]
    assert not {"", "None"} & set(told[0])
    kinds = [row.kind for row, _ in stored(there)[A]]
    assert [n for n, kind in enumerate(kinds, 1) if kind == Kind.STUB] == numbers
    assert problems(there.path.parents[2]) == []


def test_times_that_are_none_are_refused_within_a_stretch(there: RunFolder, tmp_path: Path) -> None:
    listed = [Row(n, int(Kind.METRIC), n, float(n), {"x": 0.5}) for n in range(1, 101)]
    run = new_run(tmp_path / "here")
    put(run, A, listed)
    (section,) = stretches_of(run, A)
    times = list(section.times)
    times[40], times[41], times[99] = float("nan"), float("inf"), float("-inf")
    assert_only_refused(there, section._replace(times=times), [41, 42, 100])

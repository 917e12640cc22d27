"""Pieces: a section cut where its rows stop being alike.

Neighbouring metric rows that have the same groups, and nothing but numbers, are handed on as the
columns that they came in (see `store.stretch`); the other rows one by one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from operator import ge
from typing import Final, NamedTuple

from store.row import Kind
from store.stretch import Stretch, from_columns
from store.sync.wire import Group, Section

SHORTEST: Final = 16
"""Rows below which columns are not worth it."""
MOST_GROUPS: Final = 50
_MIXED: Final = -1


class Piece(NamedTuple):
    """Rows [first, last) of a section; `groups` are the ones that all of them are in, if any."""

    first: int
    last: int
    groups: list[int]


def cut(section: Section) -> Iterator[Stretch | Section]:
    """The parts of a section without stubs, in order: a Stretch where that is possible."""
    if not _is_orderly(section.groups):
        yield section
        return
    metric = [place for place, kind in enumerate(section.kinds) if kind == Kind.METRIC]
    places = [metric if group.rows is None else group.rows for group in section.groups]
    for piece in _pieces(_marks(section, places)):
        yield _stretch(section, places, piece) or _part(section, places, piece)


def _is_orderly(groups: list[Group]) -> bool:
    """Whether groups are few, and list their rows in order, each once."""
    return len(groups) <= MOST_GROUPS and not any(
        any(ge(*pair) for pair in pairwise(group.rows)) for group in groups if group.rows
    )


def _marks(section: Section, places: list[Sequence[int]]) -> list[int]:
    """For each row the groups that it is in, as bits, or _MIXED: it has more than numbers."""
    marks = [0] * len(section.kinds)
    for number, rows in enumerate(places):
        bit = 1 << number
        for place in rows:
            marks[place] |= bit
    for _, place, _ in section.objects:
        marks[place] = _MIXED
    return marks


def _pieces(marks: list[int]) -> Iterator[Piece]:
    """Long runs of equal marks; what is between them together."""
    done = at = 0
    for mark, run in groupby(marks):
        first, at = at, at + len(list(run))
        if mark > 0 and at - first >= SHORTEST:
            if done < first:
                yield Piece(done, first, [])
            yield Piece(first, at, [n for n in range(mark.bit_length()) if mark >> n & 1])
            done = at
    if done < at:
        yield Piece(done, at, [])


def _stretch(section: Section, places: list[Sequence[int]], piece: Piece) -> Stretch | None:
    first, last, groups = piece
    names = [name for n in groups for name in section.groups[n].names]
    if not names or len(set(names)) != len(names):
        return None
    columns = []
    for n in groups:
        at = bisect_left(places[n], first)
        columns += [column[at : at + last - first] for column in section.groups[n].columns]
    return from_columns(
        tuple(names),
        range(section.first + first, section.first + last),
        section.steps[first:last],
        section.times[first:last],
        columns,
    )


def _part(section: Section, places: list[Sequence[int]], piece: Piece) -> Section:
    """The rows of a piece as a section of their own."""
    first, last, _ = piece
    groups = []
    for group, rows in zip(section.groups, places, strict=True):
        begin, end = bisect_left(rows, first), bisect_left(rows, last)
        if begin < end:
            columns = [column[begin:end] for column in group.columns]
            groups.append(Group([row - first for row in rows[begin:end]], group.names, columns))
    return section._replace(
        first=section.first + first,
        kinds=section.kinds[first:last],
        steps=section.steps[first:last],
        times=section.times[first:last],
        groups=groups,
        objects=[(n, at - first, text) for n, at, text in section.objects if first <= at < last],
        lines=[(at - first, s, text) for at, s, text in section.lines if first <= at < last],
        others=[(at - first, text) for at, text in section.others if first <= at < last],
    )

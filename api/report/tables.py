"""The tables of a report: the runs, how their config and summary differ, their notes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from xml.etree.ElementTree import Element

from store.api.report.charts import key_of
from store.api.report.markup import element, lines_of, named
from store.api.report.reading import Subject
from store.api.text import flat, format_number
from store.jsontext import from_json

SHORT: Final = 12
"""Digits of a commit that tell it apart."""
ABREAST: Final = 8
"""So many runs stand side by side; more of them below one another."""
KEYS: Final = 10
"""So many keys stand side by side then."""
NOTES: Final = 4000
"""Characters of a run's notes that are shown."""
_DAY: Final = 86400
Cell = list[Element | str]


def moment(at: float | None) -> str:
    """A time in UTC to the minute."""
    if at is None or not 0 <= at < 1e11:
        return ""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))


def span(seconds: float) -> str:
    """A duration: 0.52 s, 42 s, 3 min 5 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 10:
        return f"{max(0.0, seconds):.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * _DAY:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // _DAY} d {whole % _DAY // 3600} h"


# -- runs --------------------------------------------------------------------------------------


def run_table(subjects: Sequence[Subject]) -> Element:
    """A run a row; columns that are empty for all are left out."""
    columns = [
        (title, cells)
        for title, cell in _COLUMNS.items()
        if any(cells := [cell(subject) for subject in subjects])
    ]
    head = element("tr", element("th", "Run", scope="col"))
    head.extend(element("th", title, scope="col") for title, _ in columns)
    body = element("tbody")
    projects = {(subject.line.entity, subject.line.project) for subject in subjects}
    for number, subject in enumerate(subjects):
        line = subject.line
        known_as = line.id if len(projects) == 1 else line.path
        more: Cell = [] if known_as == line.name else [" ", element("code", named(known_as))]
        row = element("tr", element("th", run_name(subject), *more, scope="row"))
        row.extend(element("td", *cells[number]) for _, cells in columns)
        body.append(row)
    return _scrolled("Runs", element("table", element("thead", head), body, class_="runs"))


def run_name(subject: Subject) -> Element:
    """The name of a run beside a piece of its line."""
    return element("span", key_of(subject.mark), " ", named(subject.line.name, 80), class_="run")


def _state(subject: Subject) -> Cell:
    state = subject.line.state
    return [element("span", state, class_=f"state {state}")]


def _duration(subject: Subject) -> Cell:
    began, latest = subject.line.created, subject.line.updated
    return [] if began is None or latest is None else [span(latest - began)]


def _commit(subject: Subject) -> Cell:
    git = subject.attributes.get("git")
    if not subject.line.commit:
        return []
    is_dirty = isinstance(git, dict) and git.get("dirty")
    more = [" with changes"] if is_dirty else []
    return [element("code", named(subject.line.commit[:SHORT])), *more]


def _tags(subject: Subject) -> Cell:
    tags = [element("span", named(tag, 40), class_="tag") for tag in from_json(subject.line.tags)]
    return [part for tag in tags for part in (tag, " ")]


def _text(name: str, tag: str = "span") -> Callable[[Subject], Cell]:
    def cell(subject: Subject) -> Cell:
        text = getattr(subject.line, name)
        return [element(tag, named(text))] if text else []

    return cell


def _count(name: str) -> Callable[[Subject], Cell]:
    def cell(subject: Subject) -> Cell:
        count = getattr(subject.line, name)
        return [] if count is None else [f"{count:,}"]

    return cell


_COLUMNS: Final[dict[str, Callable[[Subject], Cell]]] = {
    "State": _state,
    "Began (UTC)": lambda subject: [found] if (found := moment(subject.line.created)) else [],
    "Duration": _duration,
    "Last step": _count("steps"),
    "Group": _text("group"),
    "Tags": _tags,
    "Commit": _commit,
    "Host": _text("host"),
    "Command": _text("command", "code"),
    "Trouble": _text("error"),
}


# -- differences -------------------------------------------------------------------------------


class Row(NamedTuple):
    """A key, and what it is in each run (None: not there)."""

    key: str
    cells: list[str | None]


def differences(
    title: str, subjects: Sequence[Subject], values: Sequence[Mapping[str, Any]]
) -> Iterator[Element]:
    """What differs as a table, what is equal folded; of one run all as one table."""
    keys = {key for found in values for key, value in found.items() if not _is_medium(value)}
    rows = [_row(key, values) for key in sorted(keys)]
    if not rows:
        return
    is_alone = len(subjects) == 1
    equal = [] if is_alone else [row for row in rows if len(set(row.cells)) == 1]
    differing = [row for row in rows if is_alone or len(set(row.cells)) > 1]
    said = element("small", f"{len(differing)} of {len(rows)} differ")
    yield element("h2", title) if is_alone else element("h2", title, " ", said)
    if differing:
        for table in _tables(subjects, differing):
            yield _scrolled(title, table)
    if equal:
        pairs = (
            element("div", element("dt", named(row.key)), _value(row, 0, "dd")) for row in equal
        )
        summary = element("summary", f"{len(equal)} equal in all runs")
        yield element("details", summary, element("dl", *pairs, class_="equal"))


def _tables(subjects: Sequence[Subject], rows: Sequence[Row]) -> Iterator[Element]:
    if len(subjects) <= ABREAST:
        yield _abreast(subjects, rows)
    else:
        for first in range(0, len(rows), KEYS):
            yield _below(subjects, rows[first : first + KEYS])


def _abreast(subjects: Sequence[Subject], rows: Sequence[Row]) -> Element:
    """A key a row, a run a column."""
    names = (element("th", run_name(subject), scope="col") for subject in subjects)
    table = element(
        "table", element("thead", element("tr", element("th", "Key", scope="col"), *names))
    )
    body = element("tbody")
    for row in rows:
        cells = (_value(row, number) for number in range(len(subjects)))
        body.append(element("tr", element("th", named(row.key), scope="row"), *cells))
    table.append(body)
    return table


def _below(subjects: Sequence[Subject], rows: Sequence[Row]) -> Element:
    """A run a row, a key a column."""
    keys = (element("th", named(row.key), scope="col") for row in rows)
    table = element(
        "table", element("thead", element("tr", element("th", "Run", scope="col"), *keys))
    )
    body = element("tbody")
    for number, subject in enumerate(subjects):
        cells = (_value(row, number) for row in rows)
        body.append(element("tr", element("th", run_name(subject), scope="row"), *cells))
    table.append(body)
    return table


def _value(row: Row, number: int, tag: str = "td") -> Element:
    text = row.cells[number]
    if text is None:
        return element(tag, element("span", "\u00b7", class_="none", aria_label="not set"))
    return element(tag, named(text))


def _row(key: str, values: Sequence[Mapping[str, Any]]) -> Row:
    exact = [_exact(of_run[key]) if key in of_run else None for of_run in values]
    short = [_short(of_run[key]) if key in of_run else None for of_run in values]
    # Five digits are enough, unless it takes more to tell two values apart.
    return Row(key, short if len(set(short)) == len(set(exact)) else exact)


def _exact(value: object) -> str:
    return "null" if value is None else str(flat(value))


def _short(value: object) -> str:
    return format_number(value) if isinstance(value, int | float) else _exact(value)


def _is_medium(value: object) -> bool:
    return isinstance(value, dict) and "_type" in value


# -- notes -------------------------------------------------------------------------------------


def notes(subjects: Sequence[Subject]) -> list[Element]:
    """What people wrote about the runs."""
    written = [subject for subject in subjects if subject.line.notes]
    if not written:
        return []
    listed = element("dl", class_="notes")
    for subject in written:
        text = (subject.line.notes or "")[:NOTES]
        listed.extend(
            [element("dt", run_name(subject)), element("dd", element("bdi", *lines_of(text)))]
        )
    return [element("h2", "Notes"), listed]


def _scrolled(title: str, table: Element) -> Element:
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=title)

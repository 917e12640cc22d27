"""What of a public run only members see: where and how it ran, and its code.

Others get everything else. Of an attribute that is not known to be harmless it is assumed that it
is not. Rows that hold such things travel to others as stubs with the reason "withheld" and the
h(n) of the row, so that their digests are those of everybody (see `store.row`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from store.jsontext import from_json
from store.row import Kind, Row, row_digest
from store.summarize import PREFIX as DEFINE
from store.sync.wire import Section

WITHHELD: Final = "withheld"
OPEN_ATTRIBUTES: Final = frozenset({"name", "group", "job_type", "tags", "notes"})
_CODE: Final = "code/"
_OPEN_KINDS: Final = frozenset(
    {Kind.STUB, Kind.END, Kind.METRIC, Kind.CONFIG, Kind.SUMMARY, Kind.CONSOLE}
)
_OPEN_EVENTS: Final = frozenset({"refused"})


def is_open_attribute(name: str) -> bool:
    """Whether everybody who may read the run may see this attribute."""
    return name in OPEN_ATTRIBUTES or name.startswith(DEFINE)


def is_open_file(name: str) -> bool:
    """Whether everybody who may read the run may see this file."""
    return name != _CODE.rstrip("/") and not name.startswith(_CODE)


def is_open_row(kind: int, data: object) -> bool:
    """Whether everybody who may read the run may see this row; `data` as it is kept."""
    if kind in _OPEN_KINDS:
        return True
    if not isinstance(data, Mapping):
        return False
    if kind == Kind.ATTRIBUTE:
        return all(map(is_open_attribute, data))
    if kind == Kind.FILE:
        return all(map(is_open_file, data))
    return kind == Kind.EVENT and data.get("type") in _OPEN_EVENTS


def open_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those that everybody may see who may read the run."""
    return {name: value for name, value in attributes.items() if is_open_attribute(name)}


def withhold(section: Section) -> Section:
    """The section with stubs in the place of rows that are for members only."""
    kinds = list(section.kinds)
    others: list[tuple[int, str]] = []
    stubs = list(section.stubs)
    for place, text in section.others:
        kind, data = kinds[place], from_json(text)
        if is_open_row(kind, data):
            others.append((place, text))
            continue
        number = section.first + place
        row = Row(number, kind, section.steps[place], section.times[place], data)
        stubs.append((place, row_digest(row), WITHHELD))
        kinds[place] = int(Kind.STUB)
    return section._replace(kinds=kinds, others=others, stubs=stubs)

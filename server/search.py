"""What people write into the search of a table of runs, as parameters of the API.

    resnet state=failed tag=baseline config.lr > 0.01 summary.loss <= 0.3 group="a b"

Words are parts of the name or id; the rest compares: state (= !=), tag, group, job_type (=), and
config.KEY and summary.KEY (= != < <= > >=). All of it has to hold.
"""

from __future__ import annotations

import json
import re
from typing import Final

from starlette.datastructures import QueryParams

from store.server.query import bad_request

STATES: Final = ("running", "finished", "failed", "killed", "crashed", "damaged")
_TERM: Final = re.compile(
    r"""(?P<key>[^\s=!<>"]+)\s*(?P<operator><=|>=|!=|==|=|<|>)\s*(?P<value>"(?:[^"\\]|\\.)*"|\S+)"""
    r"""|"(?P<quoted>[^"]*)"|(?P<word>\S+)"""
)
_FIELDS: Final = ("tag", "group", "job_type")
_HINT: Final = "such as: resnet state=failed tag=x config.lr>0.01 summary.loss<0.3"


def parse_search(text: str) -> QueryParams:
    """The parameters that select those runs. Problem 400 where it cannot be read."""
    found: list[tuple[str, str]] = []
    for term in _TERM.finditer(text):
        key, operator, value = term["key"], term["operator"], term["value"]
        if key is None:
            word = term["quoted"] if term["word"] is None else term["word"]
            found.append(("name", word))
        elif key.startswith(("config.", "summary.")):
            found.append(("filter", f"{key}{operator}{value}"))
        else:
            found += _field(key, operator, value)
    return QueryParams(found)


def _field(key: str, operator: str, value: str) -> list[tuple[str, str]]:
    text = _unquoted(value)
    is_same = operator in ("=", "==")
    if key == "state" and operator in ("=", "==", "!="):
        if text not in STATES:
            raise bad_request(f"there is no state {text[:80]!r}", f"states: {', '.join(STATES)}")
        return [("state", state) for state in STATES if (state == text) is is_same]
    if key in _FIELDS and is_same:
        return [(key, text)]
    if key in ("state", *_FIELDS):
        raise bad_request(f"{key} cannot be compared by {operator}", f"{key}=... it is")
    meant = f"config.{key} or summary.{key}"
    raise bad_request(f"{key[:80]!r} is nothing to search by: {meant}?"[:200], _HINT)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        raise bad_request(f"the text {value[:80]!r} has no end") from None

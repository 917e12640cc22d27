"""Which runs of a project a request asks for, as one question to the catalogue.

    state, tag, group, job_type, name      as they are; `name` is a part of name or id, repeatable
    filter=config.lr<0.1                   = != < <= > >= on config and summary, repeatable
    sort=-summary.loss                     a field, config or summary; `-` = greatest first

Texts of the request enter the SQL as parameters only. Runs without the value that is sorted by
come last. `next` says behind which run the next page begins, so that runs which come or go
meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from store.server.query import Query, bad_request

if TYPE_CHECKING:
    from store.server.library import Library

LIMIT: Final = 1000
GROUPS: Final = 500
MOST: Final = 32
"""Filters, states and tags in one request."""
PARAMETERS: Final = (
    *("state", "tag", "group", "job_type", "name", "filter", "sort", "limit", "after"),
)
COLUMNS: Final = (
    *("key", "entity", "project", "id", "name", "state", "created", "updated", "ended", "group"),
    *("job_type", "tags", "notes", "rows", "steps", "points", "size", "writers", "stubs"),
    *("config", "summary", "nan", "host", "commit"),
)
_SORTS: Final = frozenset(
    "id name state created updated ended group job_type rows steps points size".split()
)
_FILTER: Final = re.compile(r"(config|summary)\.(.+?)(<=|>=|!=|==|=|<|>)(.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}

_CONFIG: Final = "EXISTS(SELECT 1 FROM config_key c WHERE c.n = r.n AND c.key = ? AND {})"
_SUMMARY: Final = (
    "EXISTS(SELECT 1 FROM metric_key c WHERE c.n = r.n AND c.key = ? AND c.shown AND {})"
)
_CONFIG_VALUE: Final = "(SELECT c.value FROM config_key c WHERE c.n = r.n AND c.key = ? LIMIT 1)"
_SUMMARY_VALUE: Final = (
    "(SELECT c.value FROM metric_key c WHERE c.n = r.n AND c.key = ? AND c.shown)"
)


class Selection(NamedTuple):
    """A question to the catalogue: `sql` gives COLUMNS and the value that is sorted by."""

    sql: str
    parameters: list[Any]
    count_sql: str
    count_parameters: list[Any]
    limit: int
    sort: str

    def cursor(self, row: tuple[Any, ...]) -> str:
        """What `after` has to be for the runs behind this one."""
        text = json.dumps([self.sort, row[len(COLUMNS)], row[0]])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


class Condition(NamedTuple):
    """A condition on `run r`, and the parameters in it."""

    sql: str
    parameters: list[Any]


def select_runs(
    entity: str, project: str, query: Query, also: Sequence[Condition] = ()
) -> Selection:
    """What the query asks for, and `also`. Problem 400 where it cannot be meant so."""
    where, values = _where(entity, project, query, also)
    sort = query.text("sort") or "-created"
    value, sort_values = _sorted_by(sort.removeprefix("-"))
    columns = ", ".join(f'r."{name}" AS "{name}"' for name in COLUMNS)
    direction = "DESC" if sort.startswith("-") else "ASC"
    behind, behind_values = _behind(query.text("after"), sort)
    limit = query.whole("limit", 100, 1, LIMIT)
    return Selection(
        f"SELECT * FROM (SELECT {columns}, {value} AS sorted FROM run r WHERE {where})"
        f" WHERE {behind}"
        f" ORDER BY sorted IS NULL, sorted {direction}, key {direction} LIMIT ?",
        [*sort_values, *values, *behind_values, limit + 1],
        f"SELECT count(*) FROM run r WHERE {where}",
        values,
        limit,
        sort,
    )


class Group(NamedTuple):
    """Runs with the same value of what they are grouped by; without one it is None."""

    value: Any
    runs: int
    running: int


def count_groups(library: Library, entity: str, project: str, query: Query, by: str) -> list[Group]:
    """The groups that the query's runs make, the first GROUPS by their values."""
    where, values = _where(entity, project, query)
    value, more = _sorted_by(by)
    rows = library.select(
        f"SELECT {value} AS value, count(*), sum(r.state = 'running') FROM run r WHERE {where}"
        " GROUP BY value ORDER BY value IS NULL, value LIMIT ?",
        [*more, *values, GROUPS],
    )
    return [Group(*row) for row in rows]


def in_group(by: str, value: object) -> Condition:
    """The condition of the runs in a group."""
    sql, parameters = _sorted_by(by)
    return Condition(f"{sql} IS ?", [*parameters, value])


def among(run_ids: Sequence[str]) -> Condition:
    """The condition of runs with these ids."""
    return Condition(f"r.id IN ({', '.join('?' * len(run_ids))})", list(run_ids))


def _where(
    entity: str, project: str, query: Query, also: Sequence[Condition] = ()
) -> tuple[str, list[Any]]:
    conditions, values = ["r.entity = ?", "r.project = ?"], [entity, project]
    _add_fields(query, conditions, values)
    for text in query.texts("filter", MOST):
        condition, found = _parse_filter(text)
        conditions.append(condition)
        values += found
    for more in also:
        conditions.append(more.sql)
        values += more.parameters
    return " AND ".join(conditions), values


def _add_fields(query: Query, conditions: list[str], values: list[Any]) -> None:
    states = query.texts("state", MOST)
    if states:
        conditions.append(f"r.state IN ({', '.join('?' * len(states))})")
        values += states
    for tag in query.texts("tag", MOST):
        conditions.append("EXISTS(SELECT 1 FROM json_each(r.tags) t WHERE t.value = ?)")
        values.append(tag)
    for name in ("group", "job_type"):
        text = query.text(name)
        if text is not None:
            conditions.append(f'r."{name}" = ?')
            values.append(text)
    for text in query.texts("name", MOST):
        conditions.append("(instr(lower(r.name), lower(?)) OR instr(r.id, ?))")
        values += [text, text]


# -- filters -----------------------------------------------------------------------------------


def _parse_filter(text: str) -> tuple[str, list[Any]]:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise bad_request(
            f"the filter {text[:80]!r} cannot be read",
            "such as config.lr<0.1 or summary.loss>=0.3, with = != < <= > >=",
        )
    where, key, operator, said = found.groups()
    operator = "=" if operator == "==" else operator
    condition, values = _compare(operator, _value(said), is_config=where == "config")
    return (_CONFIG if where == "config" else _SUMMARY).format(condition), [key, *values]


def _compare(
    operator: str, value: str | float | bool | None, *, is_config: bool
) -> tuple[str, list[Any]]:
    """The condition on `c.value`. Numbers compare with numbers and texts with texts only."""
    if value is None or isinstance(value, bool):
        if operator not in ("=", "!="):
            raise bad_request(f"{operator} compares numbers or texts")
        same = "c.value IS ?"
        if is_config:
            same += " AND c.type = 'null'" if value is None else " AND c.type = 'bool'"
        return (f"NOT ({same})" if operator == "!=" else same), [value]
    if isinstance(value, str):
        alike = "c.type = 'str'" if is_config else "typeof(c.value) = 'text'"
    else:
        alike = "typeof(c.value) IN ('integer', 'real')"
        alike += " AND c.type != 'bool'" if is_config else ""
    if operator == "!=":
        return f"NOT ({alike} AND c.value = ?)", [value]
    return f"{alike} AND c.value {operator} ?", [value]


def _value(text: str) -> str | float | bool | None:
    """A number, true, false, null, or a text (in double quotes where it looks like another)."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        is_whole = text.lstrip("+-").isdecimal() and len(text) < 19
        return int(text) if is_whole else float(text)
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith('"'):
        try:
            quoted = json.loads(text)
        except ValueError:
            quoted = None
        if not isinstance(quoted, str):
            raise bad_request(f"the text {text[:80]!r} has no end")
        return quoted.encode("utf-8", "replace").decode()
    return text


# -- order -------------------------------------------------------------------------------------


def _sorted_by(name: str) -> tuple[str, list[str]]:
    where, dot, key = name.partition(".")
    if dot and key and where in ("config", "summary"):
        return (_CONFIG_VALUE if where == "config" else _SUMMARY_VALUE), [key]
    if name not in _SORTS:
        known = f"{', '.join(sorted(_SORTS))}, config.KEY, summary.KEY"
        raise bad_request(f"runs are not sorted by {name[:80]!r}", f"by {known}")
    return f'r."{name}"', []


def _behind(after: str | None, sort: str) -> tuple[str, list[Any]]:
    if after is None:
        return "1", []
    value, key = _read_cursor(after, sort)
    sign = "<" if sort.startswith("-") else ">"
    if value is None:
        return f"(sorted IS NULL AND key {sign} ?)", [key]
    return f"(sorted IS NULL OR (sorted, key) {sign} (?, ?))", [value, key]


def _read_cursor(after: str, sort: str) -> tuple[Any, str]:
    try:
        padded = after + "=" * (-len(after) % 4)
        fields = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        found_sort, value, key = fields
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise bad_request("after is not what an answer called next") from None
    is_value = value is None or type(value) in (int, float, str)
    if not is_value or type(key) is not str or not _fits(value):
        raise bad_request("after is not what an answer called next")
    if found_sort != sort:
        raise bad_request("after belongs to a list that was sorted otherwise")
    return value, key


def _fits(value: object) -> bool:
    """Whether SQLite takes it: integers of 64 bits."""
    return not isinstance(value, int) or -(2**63) <= value < 2**63

"""`store status`: where the rows of each run are, here and at each remote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from store.api.output import OutputFormat, format_age, format_size, output_options, write_rows
from store.api.shell import RUN, example, find_runs, folder_of, moment, open_store, plural, say
from store.counts import RunStatus, read_status
from store.settings import resolve_for
from store.sync.standings import KnownRemotes, Place

if TYPE_CHECKING:
    from store.outline import RunLine

STATUS: Final = (
    *("name", "id", "entity", "project", "path", "state", "writers_alive"),
    *("rows", "journal_rows", "at_risk", "dropped", "refused", "rejected", "size", "trouble"),
    "remotes",
)
"""The fields of a run's status in JSON, CSV and TSV; `remotes` is a list of objects."""


class Facts(NamedTuple):
    """A run's line, its rows here, and its places at remotes."""

    line: RunLine
    said: RunStatus
    places: list[Place]


@click.command(epilog=example("what the disk of a long run says", "store status --json"))
@click.argument("runs", nargs=-1, type=RUN, metavar="[RUN]...")
@output_options
def status(runs: tuple[str, ...], output: OutputFormat) -> None:
    """Say where the rows of each run are.

    Rows are safe in the run's database or in journals. Rows at risk wait in the memory of a writer
    whose disk is full. Values that could not be kept are counted as refused, rows as set aside.
    For each remote: the rows that it has acknowledged, those unsent and since when, and what went
    wrong last. Nobody is asked: `store verify` asks.
    """
    with open_store() as store:
        chosen = find_runs(store, runs)
        if not runs:
            chosen = store.catalogue.lines()
        known = KnownRemotes(store.folder, resolve_for(store.path).settings)
        facts = [
            Facts(line, read_status(folder, line), known.places_of(folder))
            for line in chosen
            for folder in [folder_of(store, line)]
        ]
        if not facts:
            say(f"no runs in {store.path} yet")
        if output.kind in ("auto", "table"):
            if facts:
                _write_table(facts, output)
        else:
            write_rows(STATUS, map(_record, facts), output)
        if facts:
            say(_totals(facts, sum(line.size for line in chosen)))


def _record(facts: Facts) -> list[Any]:
    line, said, places = facts
    return [
        *(line.name, line.id, line.entity, line.project, line.path, line.state),
        *(said.alive, said.stored, said.journal_rows, said.at_risk, said.dropped),
        *(said.refused, said.rejected, line.size, list(said.trouble)),
        [_place(place, said) for place in places],
    ]


def _place(place: Place, said: RunStatus) -> dict[str, Any]:
    known = place.standing
    return {
        "remote": place.remote,
        "entity": place.target.entity,
        "project": place.target.project,
        "rows": known.rows + said.journal_rows,
        "acknowledged": known.acknowledged,
        "unsent": known.unsent + said.journal_rows,
        "refused": known.refused,
        "files_missing": known.files,
        "refused_reason": known.reason,
        "differing": list(known.differing),
        "ahead": list(known.ahead),
        "oldest_unsent": moment(known.oldest),
        "tried": moment(known.tried),
        "error": known.error or place.trouble,
        "synced": known.is_synced and not said.journal_rows,
    }


def _write_table(facts: Sequence[Facts], output: OutputFormat) -> None:
    """A line for each run and remote; columns that say nothing of any run are left out."""
    lines: list[tuple[Facts, Place | None]] = [
        (fact, place) for fact in facts for place in (fact.places or (None,))
    ]
    firsts = [place is None or place is fact.places[0] for fact, place in lines]

    def once(values: Sequence[Any]) -> list[Any]:
        return [value if first else None for value, first in zip(values, firsts, strict=True)]

    columns: dict[str, list[Any]] = {
        "name": once([fact.line.name for fact, _ in lines]),
        "id": once([fact.line.id for fact, _ in lines]),
        "state": once([fact.line.state for fact, _ in lines]),
        "rows": once([fact.said.stored for fact, _ in lines]),
        "in journals": once([fact.said.journal_rows for fact, _ in lines]),
        "at risk": once([fact.said.at_risk for fact, _ in lines]),
        "size": once([format_size(fact.line.size) for fact, _ in lines]),
    }
    optional: dict[str, list[Any]] = {
        "lost": once([fact.said.dropped or None for fact, _ in lines]),
        "refused": once([_counts(fact.said.refused) for fact, _ in lines]),
        "set aside": once([_counts(fact.said.rejected) for fact, _ in lines]),
        "trouble": once(["; ".join(fact.said.trouble) or None for fact, _ in lines]),
        "remote": [place and _name(place, fact.places) for fact, place in lines],
        "unsent": [
            place and place.standing.unsent + fact.said.journal_rows for fact, place in lines
        ],
        "since": [place and _since(place.standing.oldest) for _, place in lines],
        "there": [place and _there(place) for _, place in lines],
    }
    shown = {name: column for name, column in optional.items() if any(column)}
    if "remote" in shown:
        shown["unsent"] = optional["unsent"]
    columns |= {name: shown[name] for name in optional if name in shown}
    write_rows(list(columns), zip(*columns.values(), strict=True), output)


def _name(place: Place, places: Sequence[Place]) -> str:
    """The remote, and as what the run is there where it is there twice."""
    if sum(other.remote == place.remote for other in places) == 1:
        return place.remote
    return f"{place.remote} ({place.target.entity}/{place.target.project})"


def _there(place: Place) -> str:
    """How a run stands at a remote, in a few words."""
    known = place.standing
    if place.trouble and known.unsent:
        return place.trouble
    if known.error:
        return known.error
    if known.refused:
        return f"{plural(known.refused, 'row')} refused: {known.reason}"
    if known.differing:
        return f"{plural(len(known.differing), 'writer')} differ: `store verify`"
    if known.tried is None:
        return "never sent"
    if known.files:
        return f"{plural(known.files, 'file')} missing"
    if known.unsent:
        return "not all sent"
    return "has more: `store pull`" if known.ahead else "synced"


def _since(moment: float | None) -> str | None:
    return None if moment is None else format_age(max(0.0, time.time() - moment))


def _counts(counts: dict[str, int]) -> str | None:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items()) or None


def _totals(facts: Sequence[Facts], size: int) -> str:
    said = [fact.said for fact in facts]
    rows = sum(one.stored + one.journal_rows for one in said)
    parts = [plural(len(said), "run"), plural(rows, "row"), format_size(size)]
    waiting = sum(one.journal_rows for one in said)
    at_risk, dropped = sum(one.at_risk for one in said), sum(one.dropped for one in said)
    if waiting:
        parts.append(f"{waiting:,} of them in journals")
    parts.append(f"{plural(at_risk, 'row')} at risk" if at_risk else "none at risk")
    if dropped:
        parts.append(f"{plural(dropped, 'row')} lost")
    unsent = sum(p.standing.unsent + f.said.journal_rows for f in facts for p in f.places)
    if any(fact.places for fact in facts):
        parts.append(f"{plural(unsent, 'row')} unsent" if unsent else "none unsent")
    return ", ".join(parts)

"""`store status` and `store check`: where the rows are, and whether they are what they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from store.api.output import OutputFormat, format_size, output_options, write_rows
from store.api.shell import (
    RUN,
    example,
    find_runs,
    folder_of,
    has_color,
    open_store,
    paint,
    plural,
    printed,
    say,
    store_folder,
)
from store.counts import RunStatus, read_status

if TYPE_CHECKING:
    from store.check import Finding
    from store.outline import RunLine

PROBLEMS: Final = 4
"""The exit code of a check that found some."""
STATUS: Final = (
    "name",
    "id",
    "entity",
    "project",
    "path",
    "state",
    "writers_alive",
    "rows",
    "journal_rows",
    "at_risk",
    "dropped",
    "refused",
    "rejected",
    "size",
    "trouble",
)
"""The fields of a run's status in JSON, CSV and TSV."""


@click.command(epilog=example("what the disk of a long run says", "store status --json"))
@click.argument("runs", nargs=-1, type=RUN, metavar="[RUN]...")
@output_options
def status(runs: tuple[str, ...], output: OutputFormat) -> None:
    """Say where the rows of each run are.

    Rows are safe in the run's database or in journals. Rows at risk wait in the memory of a writer
    whose disk is full. Values that could not be kept are counted as refused, rows as set aside.
    """
    with open_store() as store:
        chosen = find_runs(store, runs)
        if not runs:
            chosen = store.catalogue.lines()
        facts = [(line, read_status(folder_of(store, line), line)) for line in chosen]
        if not facts:
            say(f"no runs in {store.path} yet")
        if output.kind in ("auto", "table"):
            if facts:
                _write_status_table(facts, output)
        else:
            write_rows(STATUS, map(_record, facts), output)
        if facts:
            say(_totals([said for _, said in facts], sum(line.size for line in chosen)))


def _record(fact: tuple[RunLine, RunStatus]) -> list[Any]:
    line, said = fact
    return [
        *(line.name, line.id, line.entity, line.project, line.path, line.state),
        *(said.alive, said.stored, said.journal_rows, said.at_risk, said.dropped),
        *(said.refused, said.rejected, line.size, list(said.trouble)),
    ]


def _write_status_table(facts: Sequence[tuple[RunLine, RunStatus]], output: OutputFormat) -> None:
    """Columns that say nothing of any run are left out."""
    columns: dict[str, list[Any]] = {
        "name": [line.name for line, _ in facts],
        "id": [line.id for line, _ in facts],
        "state": [line.state for line, _ in facts],
        "rows": [said.stored for _, said in facts],
        "in journals": [said.journal_rows for _, said in facts],
        "at risk": [said.at_risk for _, said in facts],
    }
    optional: dict[str, list[Any]] = {
        "lost": [said.dropped or None for _, said in facts],
        "refused": [_counts(said.refused) for _, said in facts],
        "set aside": [_counts(said.rejected) for _, said in facts],
        "trouble": ["; ".join(said.trouble) or None for _, said in facts],
    }
    columns["size"] = [format_size(line.size) for line, _ in facts]
    columns |= {name: column for name, column in optional.items() if any(column)}
    write_rows(list(columns), zip(*columns.values(), strict=True), output)


def _counts(counts: dict[str, int]) -> str | None:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items()) or None


def _totals(said: Sequence[RunStatus], size: int) -> str:
    rows = sum(one.stored + one.journal_rows for one in said)
    parts = [plural(len(said), "run"), plural(rows, "row"), format_size(size)]
    waiting = sum(one.journal_rows for one in said)
    at_risk, dropped = sum(one.at_risk for one in said), sum(one.dropped for one in said)
    if waiting:
        parts.append(f"{waiting:,} of them in journals")
    parts.append(f"{plural(at_risk, 'row')} at risk" if at_risk else "none at risk")
    if dropped:
        parts.append(f"{plural(dropped, 'row')} lost")
    return ", ".join(parts)


# -- check -------------------------------------------------------------------------------------


@click.command(epilog=example("one run, and what can be mended of it", "store check --repair RUN"))
@click.argument("runs", nargs=-1, type=RUN, metavar="[RUN]...")
@click.option("--repair", is_flag=True, help="Mend what can be mended from what is there.")
@output_options
def check(runs: tuple[str, ...], repair: bool, output: OutputFormat) -> None:
    """Verify runs, and repair them: all of the store, or those that are named.

    Databases, row numbers, digests, journals and kept files are compared. A problem means that
    something is wrong; a note, that something was set aside or left over, as after any crash.
    Exits with 4 when problems remain.
    """
    findings: list[Finding] = []
    checked = [0]

    def listed() -> Iterator[Finding]:
        for finding in _check(runs, repair, checked):
            findings.append(finding)
            yield finding

    if output.kind in ("auto", "table"):
        for finding in listed():
            _print_finding(finding)
    else:
        write_rows(("run", "level", "text", "repaired"), listed(), output)
    left = sum(found.level == "problem" and not found.repaired for found in findings)
    repaired = sum(found.level == "problem" and found.repaired for found in findings)
    mended = f", {repaired} repaired" if repaired else ""
    say(f"{plural(checked[0], 'run')} checked, {plural(left, 'problem')}{mended}")
    if left:
        if not repair:
            say("`store check --repair` mends what can be mended")
        click.get_current_context().exit(PROBLEMS)


def _check(names: tuple[str, ...], repair: bool, checked: list[int]) -> Iterator[Finding]:
    from store.check import check_run, check_store

    store = store_folder()
    if not names:
        checked[0] = sum(1 for _ in store.runs())
        yield from check_store(store, repair=repair)
        return
    with open_store() as opened:
        folders = [folder_of(opened, line) for line in find_runs(opened, names)]
    for folder in folders:
        checked[0] += 1
        yield from check_run(folder, repair=repair)


def _print_finding(finding: Finding) -> None:
    word = "repaired" if finding.repaired else finding.level
    color = {"problem": "red", "repaired": "green"}.get(word)
    where = f"{paint(finding.run, bold=has_color())}  " if finding.run else ""
    printed(f"{paint(word.ljust(8), color)}  {where}{paint(finding.text)}")

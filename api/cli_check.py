"""`store check`: whether the rows are what they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from store.api.output import OutputFormat, output_options, write_rows
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

if TYPE_CHECKING:
    from store.check import Finding

PROBLEMS: Final = 4
"""The exit code of a check that found some."""


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

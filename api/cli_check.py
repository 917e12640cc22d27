"""`store check`: whether the rows are what they were, and what their disk can do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
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
    store_path,
)

if TYPE_CHECKING:
    from store.check import Finding

PROBLEMS: Final = 4
"""The exit code of a check that found some."""


@click.command(epilog=example("one run, and what can be mended of it", "store check --repair RUN"))
@click.argument("runs", nargs=-1, type=RUN, metavar="[RUN]...")
@click.option("--repair", is_flag=True, help="Mend what can be mended from what is there.")
@click.option(
    "--adopt",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="First take over what a host that will not come back has left (shared stores).",
)
@click.option(
    "--disk",
    is_flag=False,
    flag_value="",
    metavar="[PATH]",
    help="Try out the disk of the store, or of the folder PATH, in place of the runs.",
)
@click.option(
    "--hold",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --disk: hold a lock, for another host to meet.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="With --disk: wait this long for each answer (default 10).",
)
@output_options
def check(
    runs: tuple[str, ...],
    repair: bool,
    hosts: tuple[str, ...],
    disk: str | None,
    hold: float | None,
    timeout: float | None,
    output: OutputFormat,
) -> None:
    """Verify runs, and repair them: all of the store, or those that are named.

    Databases, row numbers, digests, journals and kept files are compared. A problem means that
    something is wrong; a note, that something was set aside or left over, as after any crash.
    Exits with 4 when problems remain.

    With --adopt: in a shared store, the journals of writers that died with their host are finished
    first. Writers that gave a sign of life in the last 90 seconds are left alone.

    With --disk: what works on the disk of the store, and in which mode a store must be there. Exits
    with 4 when there should be none, or when its mode is wrong.
    """
    if disk is not None or hold is not None or timeout is not None:
        if disk is None or runs or repair or hosts:
            raise click.UsageError("--hold and --timeout go with --disk, and nothing else does")
        _check_disk(disk, hold or 0.0, timeout, output)
        return
    for host in hosts:
        _adopt(host)
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


def _adopt(host: str) -> None:
    from store.shared.adopt import adopt_host

    found = 0
    for adopted in adopt_host(store_folder(), host):
        found += adopted.journals
        if adopted.alive:
            say(
                f"{adopted.run.key}: {plural(adopted.alive, 'writer')} of {host} gave a sign of "
                "life a moment ago and is left alone"
            )
    say(f"{plural(found, 'journal')} of {host} taken over")


def _check_disk(path: str, hold: float, timeout: float | None, output: OutputFormat) -> None:
    from store.api.cli_disk import check_disk
    from store.doctor.examination import PROBE_SECONDS

    folder = Path(os.path.abspath(path)) if path else store_path()
    if not check_disk(folder, hold, timeout or PROBE_SECONDS, output):
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

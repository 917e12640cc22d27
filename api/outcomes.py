"""What came of sending runs, as people, scripts and exit codes are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from store.api.output import OutputFormat, write_rows
from store.api.shell import failure, plural, say
from store.errors import NotAllowed

if TYPE_CHECKING:
    from store.sync.runner import Outcome

UNSENT: Final = 3
"""The exit code while rows remain unsent."""
FIELDS: Final = (
    *("id", "entity", "project", "remote", "remote_entity", "remote_project"),
    *("sent", "files", "rows", "acknowledged", "unsent", "refused", "state", "error"),
)


def state_of(outcome: Outcome) -> str:
    """An outcome in a word or two."""
    known = outcome.standing
    if outcome.error is not None or known is None:
        return "failed"
    if outcome.busy:
        return "busy"
    if known.unsent:
        return "unsent"
    if known.refused:
        return "refused"
    if known.differing:
        return "differs"
    if known.files is None or known.files:
        return "files missing"
    if known.error:
        return "failed"
    return "ahead there" if known.ahead else "synced"


def write_outcomes(
    outcomes: Sequence[Outcome], output: OutputFormat, *, dry_run: bool = False
) -> None:
    """A line for each run."""
    if output.kind not in ("auto", "table"):
        write_rows(FIELDS, [_record(outcome, dry_run) for outcome in outcomes], output)
        return
    columns = {
        "run": [outcome.run.id for outcome in outcomes],
        "to": ["/".join(outcome.target[1:]) for outcome in outcomes],
        "rows": [outcome.standing.rows if outcome.standing else None for outcome in outcomes],
    }
    if not dry_run:
        columns["sent"] = [outcome.rows for outcome in outcomes]
    columns["unsent"] = [o.standing.unsent if o.standing else None for o in outcomes]
    if any(outcome.files for outcome in outcomes):
        columns["files"] = [outcome.files or None for outcome in outcomes]
    columns["state"] = [_word(outcome, dry_run) for outcome in outcomes]
    if outcomes:
        write_rows(list(columns), zip(*columns.values(), strict=True), output)


def _word(outcome: Outcome, dry_run: bool) -> str:
    if dry_run and outcome.standing and not outcome.error:
        return "to be sent" if outcome.standing.unsent else "nothing unsent"
    return state_of(outcome)


def _record(outcome: Outcome, dry_run: bool) -> list[Any]:
    known = outcome.standing
    error = outcome.error or (known and known.error)
    counts = (
        (known.rows, known.acknowledged, known.unsent, known.refused)
        if known
        else (None, None, None, None)
    )
    return [
        *(outcome.run.id, outcome.run.entity, outcome.run.project, *outcome.target),
        *(outcome.rows, outcome.files, *counts, _word(outcome, dry_run)),
        str(error) if error else None,
    ]


def end(outcomes: Sequence[Outcome]) -> None:
    """Say what went wrong, and end with the exit code that it is."""
    errors: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.error is not None:
            errors.setdefault(failure(outcome.error).message, []).append(outcome)
        elif outcome.busy:
            say(f"{outcome.run.id}: another process is sending it")
        elif outcome.standing and outcome.standing.error:
            say(f"{outcome.run.id}: {outcome.standing.error}")
        elif outcome.standing and outcome.standing.refused:
            count = plural(outcome.standing.refused, "row")
            say(f"{outcome.run.id}: {count} refused: {outcome.standing.reason}")
        elif outcome.standing and outcome.standing.ahead:
            say(f"{outcome.run.id}: the remote has more of it: `store pull`")
    for message, failed in errors.items():
        more = f" (and {plural(len(failed) - 1, 'run')} more)" if len(failed) > 1 else ""
        say(f"{failed[0].run.id}{more}: {message}")
        told = failure(failed[0].error)  # type: ignore[arg-type]
        if told.hint:
            say(f"Hint: {told.hint}")
    synced = sum(outcome.is_sent for outcome in outcomes)
    rows = sum(outcome.rows for outcome in outcomes)
    unsent = sum(outcome.standing.unsent for outcome in outcomes if outcome.standing)
    left = f", {plural(unsent, 'row')} unsent" if unsent else ""
    say(f"{synced} of {plural(len(outcomes), 'run')} synced, {plural(rows, 'row')} sent{left}")
    if synced == len(outcomes):
        return
    refusals = [outcome.error for outcome in outcomes if outcome.error is not None]
    not_allowed = refusals and all(isinstance(error, NotAllowed) for error in refusals)
    click.get_current_context().exit(failure(NotAllowed("")).exit_code if not_allowed else UNSENT)

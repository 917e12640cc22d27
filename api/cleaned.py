"""What is left to say of a run that was cleaned: when, who has it, and how to get it back."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from store.api.shell import moment, paint, plural, printed
from store.api.text import format_age
from store.cleaned import Cleaned, cleaned_runs
from store.errors import RunNotFound

if TYPE_CHECKING:
    from store.paths import StoreFolder


class CleanedRun(NamedTuple):
    """A run that was cleaned, and the entity and project that it was in here."""

    entity: str
    project: str
    note: Cleaned

    @property
    def path(self) -> str:
        return f"{self.entity}/{self.project}/{self.note.id}"

    @property
    def way_back(self) -> str:
        """The command that brings it back."""
        there = f"{self.note.entity}/{self.note.project}/{self.note.id}"
        return f"store pull {shlex.quote(there)} --from {shlex.quote(self.note.where)}"


def find_cleaned(store: StoreFolder, name: str) -> CleanedRun | None:
    """The cleaned run that `name` means, in the ways in which a run that is here is named.

    Raises:
        RunNotFound: it could be any of several.
    """
    runs = [CleanedRun(*found) for found in cleaned_runs(store)]
    for matching in (
        [run for run in runs if name in (run.path, run.note.id)],
        [run for run in runs if name == run.note.name],
        [run for run in runs if run.note.id.startswith(name) or run.note.name.startswith(name)],
    ):
        if len(matching) > 1:
            raise RunNotFound(name, tuple(run.path for run in matching))
        if matching:
            return matching[0]
    return None


def describe_cleaned(run: CleanedRun) -> dict[str, Any]:
    """What is known, under the names that runs that are here have; times in ISO 8601, UTC."""
    note = run.note
    there = {"remote": note.where, "entity": note.entity, "project": note.project}
    return {
        "name": note.name,
        "id": note.id,
        "entity": run.entity,
        "project": run.project,
        "path": run.path,
        "state": "cleaned",
        "rows": note.rows,
        "step": note.step,
        "cleaned": {"at": moment(note.at), **there, "pull": run.way_back},
    }


def print_cleaned(run: CleanedRun) -> None:
    """The same for people."""
    note = run.note
    step = "" if note.step is None else f", last step {note.step:,}"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note.at))
    age = format_age(time.time() - note.at)
    printed(f"{paint(note.name, bold=True)}  cleaned")
    printed(paint(run.path, dim=True))
    printed("")
    for word, said in (
        ("rows", f"{plural(note.rows, 'row')}{step}"),
        ("cleaned", f"{when} ({age} ago), once every row was found at the remote"),
        ("remote", f"{note.where}, as {note.entity}/{note.project}"),
        ("get back", run.way_back),
    ):
        printed(f"  {paint(word.ljust(8), dim=True)}  {paint(said)}")

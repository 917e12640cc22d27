"""Runs that were cleaned: removed here, because a remote was verified to have them.

    <store>/<entity>/<project>/.cleaned/<run id>.json

What stays is enough to list such a run, to fetch it again, and to go on with it where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from store.names import decode_name
from store.paths import RunFolder, StoreFolder
from store.settings_sources import replace_file

FOLDER: Final = ".cleaned"


class Cleaned(NamedTuple):
    """What is left of a run. `remote` has it, as `entity`/`project`; `at` is in seconds since
    1970, `step` the last one that was logged."""

    id: str
    name: str
    step: int | None
    rows: int
    remote: str
    where: str
    entity: str
    project: str
    at: float


def _file(run: RunFolder) -> Path:
    return run.path.parent / FOLDER / f"{run.path.name}.json"


def note_cleaned(run: RunFolder, cleaned: Cleaned) -> None:
    """Leave the note, on the disk itself: the run is removed next."""
    import json

    file = _file(run)
    file.parent.mkdir(exist_ok=True)
    replace_file(file, json.dumps(cleaned._asdict()).encode(), private=False)


def read_cleaned(run: RunFolder) -> Cleaned | None:
    """What is left of `run`, or None: it was not cleaned."""
    return _read(_file(run))


def _read(file: Path) -> Cleaned | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    import json

    try:
        return Cleaned(**json.loads(content))
    except (ValueError, TypeError):
        return None


def forget_cleaned(run: RunFolder) -> None:
    """The run is here again."""
    _file(run).unlink(missing_ok=True)


def cleaned_runs(store: StoreFolder) -> Iterator[tuple[str, str, Cleaned]]:
    """Every cleaned run of a store, with its entity and project here."""
    for file in sorted(store.path.glob(f"*/*/{FOLDER}/*.json")):
        cleaned = _read(file)
        if cleaned is not None:
            project = file.parent.parent
            yield decode_name(project.parent.name), decode_name(project.name), cleaned

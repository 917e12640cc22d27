"""Where things lie in a store; the only maker of its paths.

    <store>/store.json, .gitignore, settings.toml
    <store>/<entity>/<project>/<run id>/journals/<uuid>.<n>.journal, <uuid>.own
    <store>/<entity>/<project>/<run id>/files/

A run has a *home*, where this host keeps its database, under its lock. In local mode that is the
run's own folder. In shared mode other hosts write to the store as well: there the home is in this
host's cache, and the run's folder holds, beside the journals, only files that never change:

    <cache>/<store>.runs/<entity>/<project>/<run id>/run.db, run.lock
    <store>/<entity>/<project>/<run id>/run.<n>.db, run.db      see store.shared.snapshots
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from store.disk import LOCAL, Mode, detect_mode, file_system
from store.errors import (
    NoCacheFolder,
    RunNotFound,
    UsageError,
    WrongMode,
)
from store.host import cache_folders
from store.lazy import lazy
from store.locks import no_fork
from store.names import decode_name, encode_name
from store.record import new_record, publish, read_record, replace_record
from store.shared.spills import spill_folders

STORE_NAME: Final = ".store"
BLOBS: Final = ".blobs"


class RunFolder:
    """One run's folder: its identity and its paths. Without a store it is in local mode."""

    __slots__ = ("entity", "id", "path", "project", "store")

    def __init__(self, path: Path, store: StoreFolder | None = None) -> None:
        self.path = path
        self.id = decode_name(path.name)
        self.project = decode_name(path.parent.name)
        self.entity = decode_name(path.parent.parent.name)
        self.store = store

    def __repr__(self) -> str:
        return f"RunFolder({os.fspath(self.path)!r})"

    @property
    def store_id(self) -> str:
        return self.store.id if self.store is not None else ""

    @property
    def is_shared(self) -> bool:
        """Whether other hosts may write to the run as well."""
        return self.store is not None and self.store.is_shared

    @property
    def home(self) -> Path:
        """Where this host's database of the run lies: the one place that decides it.

        Raises:
            WrongMode: the store is in local mode, but not on a disk of this host's own.
            NoCacheFolder: it is in shared mode, and this host has no folder for caches.
        """
        if self.store is None:
            return self.path
        homes = self.store.homes
        return self.path if homes is None else homes.joinpath(*self.path.parts[-3:])

    @property
    def database(self) -> Path:
        return self.home / "run.db"

    @property
    def lock(self) -> Path:
        return self.home / "run.lock"

    @property
    def journals(self) -> Path:
        return self.path / "journals"

    @property
    def files(self) -> Path:
        return self.path / "files"

    @property
    def blobs(self) -> Path:
        """Contents of files that came from elsewhere, shared by the runs of an entity."""
        return self.path.parent.parent / BLOBS

    @property
    def key(self) -> str:
        """entity/project/id, encoded: unique in a store, and the path below it."""
        return "/".join(self.path.parts[-3:])

    def journal(self, uuid: str, segment: int) -> Path:
        return self.journals / f"{uuid}.{segment}.journal"

    def own(self, uuid: str) -> Path:
        """The `.own` of a writer: beside its journals, which may be spilled."""
        for folder in spill_folders(self) if self.is_shared else ():
            if (folder / f"{uuid}.own").exists():
                return folder / f"{uuid}.own"
        return self.journals / f"{uuid}.own"

    def exists(self) -> bool:
        """Whether somebody has begun to write or to copy the run, on any host."""
        try:
            names = os.listdir(self.path)
        except OSError:
            return False
        return any(name == "journals" or name.endswith(".db") for name in names)

    def segments(self) -> dict[str, list[tuple[int, Path]]]:
        """Every journal segment by writer uuid, in order; spilled ones included.

        listdir and not exists(): on NFS a name that was looked for too early stays absent. Where a
        spilled segment is being carried to the store, this is the spilled one: it has all rows.
        """
        found: dict[str, dict[int, Path]] = {}
        for folder in [self.journals, *spill_folders(self)]:
            for uuid, number, path in segments_in(folder):
                found.setdefault(uuid, {})[number] = path
        return {uuid: sorted(paths.items()) for uuid, paths in found.items()}

    def is_unfolded(self) -> bool:
        """Whether rows may lie outside this host's database: in journals, or in a snapshot."""
        return self.is_shared or bool(self.segments())

    def owned(self) -> set[str]:
        """The uuids that have an `.own` file."""
        return {
            name[:-4]
            for folder in [self.journals, *(spill_folders(self) if self.is_shared else ())]
            for name in _listed(folder)
            if name.endswith(".own")
        }


def segments_in(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """(writer uuid, number, path) of the journal segments in `folder`."""
    for name in _listed(folder):
        stem, dot, ending = name.rpartition(".")
        uuid, _, number = stem.partition(".")
        if dot and ending == "journal" and number.isdigit():
            yield uuid, int(number), folder / name


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


class StoreFolder:
    """A store: its folder and what its store.json says."""

    def __init__(self, path: Path) -> None:
        """Open the store at `path`.

        Raises:
            StoreNotFound: there is none.
            StoreCorrupt: its store.json cannot be read.
        """
        self.path = path
        self.record = read_record(path)
        self.id = self.record.id

    def __repr__(self) -> str:
        return f"StoreFolder({os.fspath(self.path)!r})"

    @property
    def is_shared(self) -> bool:
        """Whether other hosts may write to the store as well."""
        return self.record.mode == "shared"

    @lazy
    def is_misplaced(self) -> bool:
        """Whether a store in local mode is found on a disk that other hosts may write to."""
        return (
            not (self.is_shared or self.record.forced)
            and os.path.exists("/proc/self/mountinfo")
            and file_system(self.path) not in LOCAL
        )

    @lazy
    def homes(self) -> Path | None:
        """The folder of the runs' homes in this host's cache; None: each run's own folder.

        Raises: see `RunFolder.home`.
        """
        if self.is_misplaced:
            raise WrongMode(self.path, file_system(self.path))
        if not self.is_shared:
            return None
        folder = next(cache_folders(), None)
        if folder is None:
            raise NoCacheFolder(self.path)
        return folder / f"{self.place}.runs"

    @lazy
    def place(self) -> str:
        """A name for this store at this place of this host: copies of a folder share its id."""
        with no_fork:
            from hashlib import blake2b

        where = os.fsencode(os.path.realpath(self.path))
        name = blake2b(self.id.encode() + b"\0" + where, digest_size=8).hexdigest()
        return f"{''.join(c for c in self.id.lower() if c.isalnum())[:12]}-{name}"

    @property
    def remotes(self) -> Path:
        """The file that lists the store's remotes, if it has any."""
        return self.path / "remotes.toml"

    @property
    def has_remotes(self) -> bool:
        return self.remotes.exists()

    def run_of(self, key: str) -> RunFolder:
        """The folder of the run with the key `key`, whether it exists or not."""
        return RunFolder(self.path.joinpath(*key.split("/")), self)

    def run(self, entity: str, project: str, run_id: str) -> RunFolder:
        """The folder of a run, whether it exists or not."""
        return RunFolder(
            self.path
            / encode_name(entity, "entity")
            / encode_name(project, "project")
            / encode_name(run_id, "run id"),
            self,
        )

    def run_at(self, path: Path) -> RunFolder:
        """The run whose folder, or a file in it, is `path`.

        Raises:
            RunNotFound: `path` is not inside a run of this store.
        """
        try:
            parts = path.resolve().relative_to(self.path.resolve()).parts
        except ValueError:
            raise RunNotFound(os.fspath(path)) from None
        folder = self.path.joinpath(*parts[:3])
        if len(parts) < 3 or not RunFolder(folder).exists():
            raise RunNotFound(os.fspath(path))
        return RunFolder(folder, self)

    def runs(self, entity: str | None = None, project: str | None = None) -> Iterator[RunFolder]:
        """Every run of the store, or those of an entity or a project."""
        for in_entity in _folders(self.path, encode_name(entity) if entity else None):
            for in_project in _folders(in_entity, encode_name(project) if project else None):
                for folder in _folders(in_project, None):
                    yield RunFolder(Path(folder), self)

    def count_runs(self, entity: str, project: str) -> int:
        try:
            return len(os.listdir(self.path / encode_name(entity) / encode_name(project)))
        except OSError:
            return 0


def _folders(parent: str | Path, only: str | None) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            return [
                entry.path
                for entry in entries
                if (only is None or entry.name == only)
                and not entry.name.startswith(".")
                and entry.is_dir()
            ]
    except OSError:
        return []


def locate_store(start: Path | None = None, given: Path | None = None) -> Path:
    """Where the store is, or is to be made.

    `given` (from `dir=`, --store or STORE_DIR) is the store itself, or a folder that holds or is
    to hold a `.store`; without it `.store` is looked for from `start` (the working directory)
    upwards, like `.git`, and belongs into `start` when there is none.
    """
    if given is not None:
        given = Path(os.path.abspath(given.expanduser()))
        if (given / "store.json").exists() or given.name == STORE_NAME:
            return given
        if (given / STORE_NAME / "store.json").exists():
            return given / STORE_NAME
        # Never turn somebody's folder of other files into a store: its .gitignore would hide them.
        try:
            strangers = [n for n in os.listdir(given) if not n.startswith((".store.", "store."))]
        except (FileNotFoundError, NotADirectoryError):
            strangers = []
        if strangers and (given / "store.json").exists():
            return given  # made meanwhile by another process, whose first run these are
        return given / STORE_NAME if strangers else given
    start = Path(os.path.abspath(start or Path.cwd()))
    for folder in (start, *start.parents):
        if (folder / STORE_NAME / "store.json").exists():
            return folder / STORE_NAME
    return start / STORE_NAME


def open_store(start: Path | None = None, given: Path | None = None) -> StoreFolder:
    """The store that `locate_store` finds. StoreNotFound when there is none."""
    return StoreFolder(locate_store(start, given))


def create_store(path: Path, disk: Literal["auto"] | Mode = "auto") -> StoreFolder:
    """Open the store at `path`, making it first where there is none.

    `disk` says in which mode a new one is to be; "auto": as `store.disk` finds.

    Raises:
        UsageError: the folder cannot be made.
    """
    if not (path / "store.json").exists():
        try:
            path.mkdir(parents=True, exist_ok=True)
            publish(path / "store.json", new_record(path, disk).text())
            publish(path / ".gitignore", "*\n")
        except OSError as error:
            raise UsageError(
                f"cannot make a store at {path}: {error.strerror}",
                hint="name a folder that you may write to, with dir= or STORE_DIR",
            ) from error
    return StoreFolder(path)


def change_mode(store: StoreFolder, mode: Mode) -> StoreFolder:
    """Record another mode; `store.shared.modes` has made the runs fit for it."""
    forced = mode != detect_mode(store.path)
    replace_record(store.path, store.record._replace(mode=mode, forced=forced))
    return StoreFolder(store.path)


def remove_tree(path: Path) -> None:
    """Remove a folder in a way that leaves no half of it under its name: through `.trash`."""
    import shutil

    trash = path.parent.parent.parent / ".trash"
    trash.mkdir(exist_ok=True)
    grave = trash / f"{path.name}.{os.urandom(4).hex()}"
    os.replace(path, grave)
    shutil.rmtree(grave)

"""Where things lie in a store; the only maker of its paths.

    <store>/store.json, .gitignore, settings.toml
    <store>/<entity>/<project>/<run id>/journals/<uuid>.<n>.journal, <uuid>.own
    <store>/<entity>/<project>/<run id>/run.db, run.lock, files/

A name becomes one path component: everything but a-z 0-9 . _ - is percent-encoded (RFC 3986),
capital letters included, so that no two names meet on a disk that folds case.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from store.errors import RunNotFound, StoreCorrupt, StoreNotFound, UsageError

STORE_NAME: Final = ".store"
FORMAT: Final = 1
MAX_NAME_BYTES: Final = 128
BLOBS: Final = ".blobs"
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_RESERVED: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)


def encode_name(name: str, what: str = "name") -> str:
    """The path component for an entity, project or run id.

    Raises:
        UsageError: empty, longer than 128 bytes or not Unicode text; `what` is named.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"{what} must be a text that is not empty, not {name!r}")
    try:
        raw = name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} {name!r} is not valid Unicode") from error
    if len(raw) > MAX_NAME_BYTES:
        raise UsageError(f"{what} is longer than {MAX_NAME_BYTES} bytes: {name[:40]!r}...")
    coded = "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in raw)
    # A leading dot hides, a trailing one is dropped by Windows, and some stems are devices there.
    if coded[0] == "." or coded.split(".", 1)[0] in _RESERVED:
        coded = f"%{raw[0]:02X}{coded[1:]}"
    if coded[-1] == ".":
        coded = coded[:-1] + "%2E"
    if len(coded) > 250:
        raise UsageError(f"{what} is too long once it is made safe for disks: {name[:40]!r}...")
    return coded


def decode_name(component: str) -> str:
    """Reverse `encode_name`; a component that it never made comes back as it is."""
    head, *coded = component.split("%")
    if not coded:
        return component
    try:
        raw = head.encode() + b"".join(
            bytes([int(part[:2], 16)]) + part[2:].encode() for part in coded
        )
        name = raw.decode()
        return name if encode_name(name) == component else component
    except (ValueError, UsageError):
        return component


class RunFolder:
    """One run's folder: its identity and its paths."""

    __slots__ = ("entity", "id", "path", "project", "store_id")

    def __init__(self, path: Path, store_id: str = "") -> None:
        self.path = path
        self.id = decode_name(path.name)
        self.project = decode_name(path.parent.name)
        self.entity = decode_name(path.parent.parent.name)
        self.store_id = store_id

    def __repr__(self) -> str:
        return f"RunFolder({os.fspath(self.path)!r})"

    @property
    def journals(self) -> Path:
        return self.path / "journals"

    @property
    def database(self) -> Path:
        """Where this host's database of the run lies: the one place that decides it."""
        return self.path / "run.db"

    @property
    def lock(self) -> Path:
        return self.path / "run.lock"

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
        return self.journals / f"{uuid}.own"

    def exists(self) -> bool:
        return self.database.exists() or self.journals.is_dir()

    def segments(self) -> dict[str, list[tuple[int, Path]]]:
        """Every journal segment by writer uuid, in order; spilled ones included.

        listdir and not exists(): on NFS a name that was looked for too early stays absent.
        """
        found: dict[str, list[tuple[int, Path]]] = {}
        for folder in [self.journals, *spill_folders(self)]:
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            for name in names:
                stem, dot, ending = name.rpartition(".")
                uuid, _, number = stem.partition(".")
                if dot and ending == "journal" and number.isdigit():
                    found.setdefault(uuid, []).append((int(number), folder / name))
        for segments in found.values():
            segments.sort()
        return found

    def owned(self) -> set[str]:
        """The uuids that have an `.own` file."""
        try:
            return {n[:-4] for n in os.listdir(self.journals) if n.endswith(".own")}
        except OSError:
            return set()


class _Record(NamedTuple):
    id: str
    format: int
    mode: str


class StoreFolder:
    """A store: its folder and what its store.json says."""

    def __init__(self, path: Path) -> None:
        """Open the store at `path`.

        Raises:
            StoreNotFound: there is none.
            StoreCorrupt: its store.json cannot be read.
        """
        self.path = path
        self.record = _read_record(path)
        self.id = self.record.id

    def __repr__(self) -> str:
        return f"StoreFolder({os.fspath(self.path)!r})"

    @property
    def remotes(self) -> Path:
        """The file that lists the store's remotes, if it has any."""
        return self.path / "remotes.toml"

    @property
    def has_remotes(self) -> bool:
        return self.remotes.exists()

    def run(self, entity: str, project: str, run_id: str) -> RunFolder:
        """The folder of a run, whether it exists or not."""
        return RunFolder(
            self.path
            / encode_name(entity, "entity")
            / encode_name(project, "project")
            / encode_name(run_id, "run id"),
            self.id,
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
        return RunFolder(folder, self.id)

    def runs(self, entity: str | None = None, project: str | None = None) -> Iterator[RunFolder]:
        """Every run of the store, or those of an entity or a project."""
        for in_entity in _folders(self.path, encode_name(entity) if entity else None):
            for in_project in _folders(in_entity, encode_name(project) if project else None):
                for folder in _folders(in_project, None):
                    yield RunFolder(Path(folder), self.id)

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


def create_store(path: Path) -> StoreFolder:
    """Open the store at `path`, making it first where there is none.

    Raises:
        UsageError: the folder cannot be made.
    """
    if not (path / "store.json").exists():
        try:
            path.mkdir(parents=True, exist_ok=True)
            _publish(path / "store.json", _new_record())
            _publish(path / ".gitignore", "*\n")
        except OSError as error:
            raise UsageError(
                f"cannot make a store at {path}: {error.strerror}",
                hint="name a folder that you may write to, with dir= or STORE_DIR",
            ) from error
    return StoreFolder(path)


def _new_record() -> str:
    return f'{{"id": "{os.urandom(16).hex()}", "format": {FORMAT}, "mode": "local"}}\n'


def _publish(path: Path, text: str) -> None:
    """Write a file that is whole or not there; the first of several writers wins."""
    temporary = path.parent / f".store.{os.getpid()}.{os.urandom(4).hex()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    except OSError:  # a disk without hard links
        if not path.exists():
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_record(path: Path) -> _Record:
    import json

    file = path / "store.json"
    try:
        fields = json.loads(file.read_bytes())
        record = _Record(str(fields["id"]), int(fields["format"]), str(fields["mode"]))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreNotFound(path) from None
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt(file, f"not a store's record: {error!r}") from error
    if record.format > FORMAT:
        from store.errors import SchemaTooNew

        raise SchemaTooNew(file, record.format, FORMAT)
    return record


def host_name() -> str:
    """This host's name, without the import that `platform` costs."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


def state_folder() -> Path:
    """The user's folder for what this host has to remember across runs."""
    if os.name == "posix" and os.uname().sysname == "Linux":
        base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        return Path(base) / "runstore"
    from platformdirs import user_state_path

    return user_state_path("runstore")


def _spill_list(run: RunFolder) -> Path:
    return state_folder() / "spills" / run.store_id / run.key.replace("/", "~")


def spill_folders(run: RunFolder) -> list[Path]:
    """Folders outside the store where this host has put journals of `run` (settings.spool)."""
    if not run.store_id:
        return []
    try:
        return [Path(line) for line in _spill_list(run).read_text().splitlines()]
    except OSError:
        return []


def add_spill_folder(run: RunFolder, spool: Path) -> Path:
    """Make the folder for journals of `run` below `spool` and list it for every fold here."""
    folder = Path(os.path.abspath(spool)) / run.store_id / run.key
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in spill_folders(run):
        listed = _spill_list(run)
        listed.parent.mkdir(parents=True, exist_ok=True)
        with open(listed, "a", encoding="utf-8") as file:
            file.write(f"{folder}\n")
    return folder


def drop_spill_folders(run: RunFolder) -> None:
    """Forget the spill folders of `run` once nothing is left in them."""
    folders = spill_folders(run)
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
    if folders and not any(folder.exists() for folder in folders):
        _spill_list(run).unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a folder in a way that leaves no half of it under its name: through `.trash`."""
    import shutil

    trash = path.parent.parent.parent / ".trash"
    trash.mkdir(exist_ok=True)
    grave = trash / f"{path.name}.{os.urandom(4).hex()}"
    os.replace(path, grave)
    shutil.rmtree(grave)

"""Blobs: contents of files that came from elsewhere, known by their SHA-256 and nothing else.

    <store>/<entity>/.blobs/<first two digits>/<sha256>     whole and verified
    <store>/<entity>/.blobs/partial/<sha256>                as far as it has come
    <store>/<entity>/.blobs/owners/<user>/...               as above, of those who are no members

They are shared by the members of an entity, who may read them all; what others send is theirs
alone. A file of a run is a hard link to its blob, under a name that was checked (names come from
rows, and rows from anybody) or, where it cannot have its own, under .content/<sha256>.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from filelock import FileLock

from store.errors import RemoteRefused
from store.jsontext import from_json
from store.names import encode_name
from store.paths import BLOBS, RunFolder, StoreFolder
from store.reading import reading
from store.transfer import hash_file, sync_folder

BLOCK: Final = 2**20
CONTENT: Final = ".content"
"""The folder of a run's files that has them by their SHA-256."""
MAX_NAME: Final = 1024
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
MAX_PART: Final = 255
"""Bytes of a name, and of one part of it."""
_DEVICES: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\..*)?", re.IGNORECASE
)
_HIDDEN_CLASSES: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")


def is_sha256(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


def is_safe_name(name: str) -> bool:
    """Whether a file may be kept under `name`: relative, plain, the same on every system."""
    if not 0 < len(name.encode("utf-8", "replace")) <= MAX_NAME or name != (
        unicodedata.normalize("NFC", name)
    ):
        return False
    if any(unicodedata.category(c) in _HIDDEN_CLASSES or c in '\\:*?"<>|' for c in name):
        return False
    parts = name.split("/")
    return not parts[0].startswith(".") and all(
        part not in ("", ".", "..")
        and len(part.encode()) <= MAX_PART
        and part[-1] not in ". "
        and not _DEVICES.fullmatch(part)
        for part in parts
    )


class Blobs:
    """The contents that one entity of a store keeps: its members', or those of `owner` alone."""

    def __init__(self, store: StoreFolder, entity: str, owner: str | None = None) -> None:
        self.owner = owner
        self._folder = store.path / encode_name(entity, "entity") / BLOBS
        if owner is not None:
            self._folder /= f"owners/{encode_name(owner, 'user')}"

    def path(self, sha256: str) -> Path:
        """Where a whole content lies, or is to lie. `sha256` is 64 small hex digits."""
        assert is_sha256(sha256)
        return self._folder / sha256[:2] / sha256

    def missing(self, hashes: Iterable[str]) -> dict[str, int]:
        """Those that are not here, each with the bytes of it that have come so far."""
        return {h: self._partial_size(h) for h in hashes if not self.path(h).exists()}

    def _partial(self, sha256: str) -> Path:
        return self._folder / "partial" / sha256

    def _partial_size(self, sha256: str) -> int:
        try:
            return self._partial(sha256).stat().st_size
        except FileNotFoundError:
            return 0

    def add(self, sha256: str, offset: int, size: int, chunks: Iterable[bytes]) -> int:
        """Add bytes from `offset` on to a content of `size` bytes; gives how many are here.

        Raises:
            RemoteRefused: `offset` is not where it goes on, or the whole is not what its hash says
                (then all of it has to come again).
        """
        if self.path(sha256).exists():
            return size
        partial = self._partial(sha256)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{partial}.lock", fallback_to_soft=False), open(partial, "ab") as file:
            here = file.tell()
            if self.path(sha256).exists():  # somebody else sent it while we waited
                self.discard(sha256)
                return size
            if offset != here:
                raise RemoteRefused(
                    f"{sha256[:12]} goes on at byte {here}, not {offset}", status=409, code="gap"
                )
            for chunk in chunks:
                file.write(chunk)
                if file.tell() > size:
                    break
            here = file.tell()
            file.flush()
            os.fsync(file.fileno())
            if here >= size:
                self._complete(sha256, partial)
        return here

    def discard(self, sha256: str) -> None:
        """Forget what has come of a content that is not whole."""
        self._partial(sha256).unlink(missing_ok=True)

    def _complete(self, sha256: str, partial: Path) -> None:
        if hash_file(partial) != sha256:
            partial.unlink()
            raise RemoteRefused(f"what came is not {sha256[:12]}", status=422, code="bad_blob")
        self.path(sha256).parent.mkdir(exist_ok=True)
        os.replace(partial, self.path(sha256))
        sync_folder(self.path(sha256).parent)
        with contextlib.suppress(OSError):
            Path(f"{partial}.lock").unlink()


def wanted_files(run: RunFolder) -> dict[str, tuple[str, int]]:
    """The files that the rows of a run tell of: name to (SHA-256, bytes)."""
    with contextlib.suppress(FileNotFoundError), reading(run) as connection:
        return files_in(connection)
    return {}


def files_in(connection: sqlite3.Connection) -> dict[str, tuple[str, int]]:
    """`wanted_files` of the run that a connection reads."""
    found = {
        name: from_json(text)
        for name, text in connection.execute("SELECT name, value FROM file WHERE value IS NOT NULL")
    }
    return {
        name: (facts["sha256"], facts["size"])
        for name, facts in found.items()
        if isinstance(facts, Mapping)
        and is_sha256(str(facts.get("sha256")))
        and isinstance(facts.get("size"), int)
    }


def link_files(run: RunFolder, blobs: Blobs, only: Collection[str] | None = None) -> None:
    """Give the files that the rows of `run` tell of their names, as far as their contents are here.

    `only` these contents: a row may name what its sender never had.
    """
    for name, (sha256, size) in wanted_files(run).items():
        content = blobs.path(sha256)
        if (only is None or sha256 in only) and content.exists():
            if is_safe_name(name):
                # Of two sources one may have a file where the other has a folder.
                with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                    _link(run, content, name, size)
                    continue
            _link(run, content, f"{CONTENT}/{sha256}", size)


def missing_contents(
    run: RunFolder, blobs: Blobs, hashes: Iterable[str], held: Iterable[str]
) -> dict[str, int]:
    """Of the contents that rows of `run` may tell of, those that have to come: bytes that are here.

    Those that the sender has, `held`, get their names in the run where they are in `blobs`: another
    run has sent them, or a killed process had no time to. Others count where the run has them.
    """
    held, missing = set(held), blobs.missing(hashes)
    if not missing.keys() >= held:
        link_files(run, blobs, held)
    unsure = set(hashes) - held | (missing.keys() if blobs.owner is not None else set())
    found = _kept_in(run, blobs, unsure) if unsure else set()
    return {h: n for h, n in missing.items() if h not in found} | {
        h: 0 for h in unsure if h not in found and h not in missing
    }


def _kept_in(run: RunFolder, blobs: Blobs, hashes: Collection[str]) -> set[str]:
    """Of `hashes`, those whose contents are among the files of a run, or kept beside them for a
    file that has another content by now."""
    wanted = wanted_files(run)
    named = {sha256 for sha256, _ in wanted.values()}
    found = set()
    if blobs.owner is None:
        found = {h for h in hashes if h not in named and blobs.path(h).exists()}
    for name, (sha256, size) in wanted.items():
        if sha256 in hashes and sha256 not in found:
            content, places = blobs.path(sha256), _places(run, sha256, [name])
            # What is a link to its blob need not be read.
            if any(_is_same(place, content, size) for place in places) or (
                not content.exists() and find_content(run, sha256, [name])
            ):
                found.add(sha256)
    return found


def _link(run: RunFolder, content: Path, name: str, size: int) -> None:
    target = run.files / name
    if _is_same(target, content, size):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = run.files / f".{os.getpid()}.{os.urandom(4).hex()}"
    try:
        try:
            os.link(content, temporary)
        except OSError:  # a disk without hard links
            shutil.copyfile(content, temporary)
        os.replace(temporary, target)
    finally:
        # rename() leaves both names where they are links to one file already.
        temporary.unlink(missing_ok=True)


def _is_same(target: Path, content: Path, size: int) -> bool:
    try:
        if target.samefile(content):
            return True
        return target.stat().st_size == size and hash_file(target) == content.name
    except (OSError, ValueError):  # no such file; no name that a file could have
        return False


def find_content(run: RunFolder, sha256: str, names: Iterable[str]) -> Path | None:
    """The file of `run` that has this content: under one of `names`, or as it was kept first."""
    for path in _places(run, sha256, names):
        with contextlib.suppress(OSError):
            if path.is_file() and hash_file(path) == sha256:
                return path
    return None


def _places(run: RunFolder, sha256: str, names: Iterable[str]) -> list[Path]:
    inside = [name for name in names if not name.startswith("/") and ".." not in name.split("/")]
    return [run.files / name for name in [*inside, f"{CONTENT}/{sha256}"]]


def read_blocks(path: Path, offset: int = 0) -> Iterator[bytes]:
    """The content of a file from `offset` on, 1 MiB at a time."""
    with path.open("rb") as file:
        file.seek(offset)
        while block := file.read(BLOCK):
            yield block

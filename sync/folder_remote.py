"""FolderRemote: a folder as remote, such as a stick that is carried to another machine.

What lies there is a store like any other: it can be read and queried where it is, and what was
sent to it is sent on from there.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from store.errors import RemoteRefused, RemoteUnavailable, StoreError
from store.names import decode_name
from store.paths import StoreFolder, create_store, locate_store
from store.reading import reading
from store.shared.publish import publish
from store.sync.blobs import Blobs, find_content, link_files, missing_contents, read_blocks
from store.sync.outgoing import Origin, Outgoing
from store.sync.receive import Positions, positions_in, receive
from store.sync.remote import Acknowledged, Progress
from store.sync.wire import Batch, RunName, Section
from store.transfer import fold_if_ours

_SOURCES: Final = "SELECT id, uuid, kind FROM source ORDER BY id"


class FolderRemote:
    """The store in (or to be made in) a folder."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError: the folder is not there and cannot be made."""
        self.store: StoreFolder = create_store(locate_store(given=path))
        self.name = f"folder:{self.store.id}"
        self.where = str(self.store.path)

    def entity_for(self, entity: str) -> str:
        return entity

    def positions(
        self,
        runs: Sequence[RunName],
        *,
        to_send: bool,  # noqa: ARG002
        restore: bool = False,  # noqa: ARG002 - nobody is asked when a folder's run is removed
    ) -> list[Positions | StoreError]:
        found: list[Positions | StoreError] = []
        for run in runs:
            try:
                found.append(positions_in(self.store, *run))
            except StoreError as error:
                found.append(error)
            except (OSError, sqlite3.OperationalError) as error:
                found.append(self._unavailable(error))
        return found

    def send(
        self,
        batch: Batch,
        *,
        restore: bool,  # noqa: ARG002
        progress: Progress,  # noqa: ARG002 - no bytes go anywhere
    ) -> Acknowledged:
        try:
            received = receive(self.store.run(*batch.run), batch)
        except (OSError, sqlite3.OperationalError) as error:
            raise self._unavailable(error) from error
        return Acknowledged(received.positions, received.refused)

    def _unavailable(self, error: Exception) -> RemoteUnavailable:
        reason = (isinstance(error, OSError) and error.strerror) or error
        return RemoteUnavailable(f"{self.where}: {reason}")

    def missing_blobs(
        self, run: RunName, sizes: Mapping[str, int], held: Collection[str]
    ) -> dict[str, int]:
        blobs = Blobs(self.store, run.entity)
        try:
            return missing_contents(self.store.run(*run), blobs, sizes, held)
        except OSError as error:
            raise self._unavailable(error) from error

    def send_blob(
        self, run: RunName, sha256: str, path: Path, offset: int, progress: Progress
    ) -> None:
        blobs = Blobs(self.store, run.entity)

        def chunks() -> Iterator[bytes]:
            for block in read_blocks(path, offset):
                yield block
                progress(len(block))

        try:
            blobs.add(sha256, offset, path.stat().st_size, chunks())
            link_files(self.store.run(*run), blobs, (sha256,))
        except OSError as error:
            raise self._unavailable(error) from error

    def runs(self, entity: str | None, project: str | None) -> list[RunName]:
        return [
            RunName(*map(decode_name, run.path.parts[-3:]))
            for run in self.store.runs(entity, project)
        ]

    def fetch(self, run: RunName, after: Positions) -> Iterator[Section]:
        folder = self.store.run(*run)
        fold_if_ours(folder)
        with reading(folder) as connection:
            outgoing = Outgoing(connection)
            for origin in map(Origin._make, connection.execute(_SOURCES).fetchall()):
                at = after.get(origin.uuid, (0, b""))[0]
                while section := outgoing.section(origin, at):
                    yield section
                    at = section.last

    def fetch_file(
        self, run: RunName, name: str, sha256: str, path: Path, progress: Progress
    ) -> None:
        folder = self.store.run(*run)
        blob = Blobs(self.store, folder.entity).path(sha256)
        kept = blob if blob.exists() else find_content(folder, sha256, [name])
        if kept is None:
            raise RemoteRefused(
                f"{self.where} has no file {sha256[:12]}", status=404, code="not_found"
            )
        shutil.copyfile(kept, path)
        progress(path.stat().st_size)

    def settle(self, run: RunName) -> None:
        folder = self.store.run(*run)
        if folder.is_shared:
            try:
                publish(folder)
            except OSError as error:
                raise self._unavailable(error) from error

    def close(self) -> None:
        """Nothing is kept open."""

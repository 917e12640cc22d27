"""HttpRemote: a Runstore server as remote, over its API version 1 (see `store.server.routes`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from store.errors import EntityUnknown, NotAllowed, RemoteRefused, RemoteUnavailable, StoreError
from store.sync.address import path_of
from store.sync.blobs import BLOCK, read_blocks
from store.sync.failures import not_runstore
from store.sync.greeting import ROOT as API
from store.sync.greeting import identify
from store.sync.http import Connection
from store.sync.receive import GapError, Positions
from store.sync.remote import LOCAL, Acknowledged, GoneError, Progress
from store.sync.wire import (
    CONTENT_TYPE,
    BadBatchError,
    Batch,
    RunName,
    Section,
    decode_batch,
    encode_batch,
)
from store.transfer import hash_file

RUNS_AT_ONCE: Final = 500
HASHES_AT_ONCE: Final = 500
PART: Final = 8 * 2**20
"""Bytes of a file in one request."""
SEND_SECONDS: Final = 120.0


class HttpRemote:
    """The server behind a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.where = str(connection.address)
        self.name = self.where
        self._own: str | None = None

    def entity_for(self, entity: str) -> str:
        if entity != LOCAL:
            return entity
        if self._own is None:
            self._own = identify(self._connection).default_entity
        return self._own

    def positions(
        self, runs: Sequence[RunName], *, to_send: bool, restore: bool = False
    ) -> list[Positions | StoreError]:
        found: list[Positions | StoreError] = []
        for begin in range(0, len(runs), RUNS_AT_ONCE):
            part = runs[begin : begin + RUNS_AT_ONCE]
            asked = {"runs": [list(run) for run in part], "restore": restore, "send": to_send}
            answer = self._connection.request("POST", f"{API}/positions", json=asked).json()
            listed = self._fields(answer).get("runs")
            if not isinstance(listed, list) or len(listed) != len(part):
                raise not_runstore(self._connection.address, "another number of runs")
            found += [
                self._error(run, said["error"]) if "error" in said else self._positions(said)
                for run, said in zip(part, map(self._fields, listed), strict=True)
            ]
        return found

    def send(self, batch: Batch, *, restore: bool, progress: Progress) -> Acknowledged:
        body = encode_batch(batch)
        try:
            answer = self._connection.request(
                "POST",
                f"{API}/batches",
                query={"restore": 1} if restore else None,
                body=body,
                headers={"Content-Type": CONTENT_TYPE},
                timeout=SEND_SECONDS,
            ).json()
        except RemoteRefused as error:
            if error.code == "gap" and "sources" in error.facts:
                raise GapError(self._positions(error.facts)) from error
            raise _gone(batch.run, error) or error from error
        progress(len(body))
        said = self._fields(answer)
        refused = [(str(u), int(n), str(reason)) for u, n, reason in said.get("refused", ())]
        return Acknowledged(self._positions(said), refused)

    def missing_blobs(
        self, run: RunName, sizes: Mapping[str, int], held: Collection[str]
    ) -> dict[str, int]:
        missing: dict[str, int] = {}
        hashes = list(sizes)
        for begin in range(0, len(hashes), HASHES_AT_ONCE):
            part = {h: sizes[h] for h in hashes[begin : begin + HASHES_AT_ONCE]}
            asked = {"run": list(run), "hashes": part, "held": [h for h in part if h in held]}
            answer = self._connection.request("POST", f"{API}/blobs/missing", json=asked).json()
            missing |= {str(h): int(n) for h, n in self._fields(answer).get("missing", {}).items()}
        return missing

    def send_blob(
        self, run: RunName, sha256: str, path: Path, offset: int, progress: Progress
    ) -> None:
        size = path.stat().st_size
        blocks = read_blocks(path, offset)
        is_first = True
        while offset < size or is_first:
            part = b"".join(islice(blocks, PART // BLOCK))
            if not part and size:
                return  # it became shorter meanwhile: what is there is not complete, and says so
            self._connection.request(
                "PUT",
                f"{API}/blobs/{sha256}",
                query={**run._asdict(), "offset": offset, "size": size},
                body=part,
                timeout=SEND_SECONDS,
            )
            progress(len(part))
            offset += len(part)
            is_first = False

    def settle(self, run: RunName) -> None:
        """A server keeps what it acknowledges as it does so."""

    def runs(self, entity: str | None, project: str | None) -> list[RunName]:
        projects = self._fields(self._connection.request("GET", f"{API}/projects").json())
        found: list[RunName] = []
        for known in projects.get("projects", ()):
            place = str(known["entity"]), str(known["name"])
            if entity in (None, place[0]) and project in (None, place[1]):
                found += self._runs_of(*place)
        return found

    def _runs_of(self, entity: str, project: str) -> Iterator[RunName]:
        after: str | None = None
        while True:
            answer = self._connection.request(
                "GET",
                f"{API}/projects{path_of(entity, project)}/runs",
                query={"limit": 1000, **({"after": after} if after else {})},
            ).json()
            said = self._fields(answer)
            for run in said.get("runs", ()):
                yield RunName(entity, project, str(run["id"]))
            after = said.get("next")
            if not after:
                return

    def fetch(self, run: RunName, after: Positions) -> Iterator[Section]:
        answer = self._connection.request("GET", f"{API}/runs{path_of(*run)}").json()
        for source in self._fields(answer).get("sources", ()):
            uuid, position = str(source["uuid"]), int(source["position"])
            at = after.get(uuid, (0, b""))[0]
            while at < position:
                section = self._fetch_section(run, uuid, at)
                if section is None:
                    break
                yield section
                at = section.last

    def _fetch_section(self, run: RunName, uuid: str, after: int) -> Section | None:
        body = self._connection.request(
            "GET",
            f"{API}/runs{path_of(*run)}/rows",
            query={"source": uuid, "after": after},
            timeout=SEND_SECONDS,
        ).body
        try:
            sections = decode_batch(body).sections
        except BadBatchError as error:
            raise RemoteUnavailable(
                f"{self.where}: what it sent cannot be read: {error}"
            ) from error
        if not sections or not sections[0].kinds:
            return None
        return sections[0]

    def fetch_file(
        self, run: RunName, name: str, sha256: str, path: Path, progress: Progress
    ) -> None:
        where = f"{API}/runs{path_of(*run)}/files{path_of(*name.split('/'))}"
        with (
            self._connection.stream("GET", where, timeout=SEND_SECONDS) as answer,
            path.open("wb") as file,
        ):
            for block in answer:
                file.write(block)
                progress(len(block))
        if hash_file(path) != sha256:
            raise RemoteUnavailable(f"{self.where}: the file {sha256[:12]} came damaged")

    def close(self) -> None:
        self._connection.close()

    # -- answers -------------------------------------------------------------------------------

    def _fields(self, answer: object) -> dict[str, Any]:
        if not isinstance(answer, dict):
            raise not_runstore(self._connection.address, "something else")
        return answer

    def _positions(self, said: Mapping[str, Any]) -> Positions:
        try:
            return {
                str(uuid): (int(position), bytes.fromhex(digest))
                for uuid, (position, digest) in said["sources"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            raise not_runstore(self._connection.address, "something else") from None

    def _error(self, run: RunName, said: object) -> StoreError:
        fields = dict(self._fields(said))
        code, message = str(fields.pop("code", "")), str(fields.pop("message", "refused"))
        hint = fields.pop("hint", None)
        if code == "not_allowed":
            return NotAllowed(message, hint=hint)
        if code == "entity_unknown":
            return EntityUnknown(run.entity, hint=hint)
        if code == "busy":
            return RemoteUnavailable(message, hint=hint)
        refused = RemoteRefused(message, code=code, hint=hint, facts=fields)
        return _gone(run, refused) or refused


def _gone(run: RunName, error: RemoteRefused) -> GoneError | None:
    if error.code != "gone":
        return None
    at = error.facts.get("at")
    when = float(at) if isinstance(at, int | float) else 0.0
    return GoneError(run.run, str(error.facts.get("by") or "somebody"), when)

"""Ingest: positions, batches and files from clients into the server's runs.

A batch is answered once it is on the disk itself. What has been received before is skipped, so a
client that lost an answer sends again. Databases that batches come for are kept open: opening one
costs several milliseconds, and closing it a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from store.database import RunDatabase
from store.errors import RemoteRefused, StoreError, StoreLocked, UsageError
from store.locks import run_lock
from store.paths import RunFolder
from store.server.access import Caller
from store.server.context import Server, caller_of, server_of
from store.server.graves import Graves
from store.server.limits import read_object
from store.server.problems import Problem, problem_of
from store.sync.blobs import Blobs, is_sha256, link_files, missing_contents
from store.sync.receive import (
    GapError,
    Positions,
    Received,
    TakenError,
    absorb_batch,
    positions_in,
    require_start,
)
from store.sync.wire import BadBatchError, Batch, RunName, decode_batch
from store.transfer import sync_folder

LOCK_SECONDS: Final = 20.0
KEPT_OPEN: Final = 64
MAX_RUNS: Final = 1000
MAX_HASHES: Final = 1000
MAX_BLOB: Final = 2**40


class OpenRuns:
    """Databases of runs that are being written, kept open; used under the lock of their run."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[RunFolder, RunDatabase, int]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def writing(self, run: RunFolder, check: Callable[[], None]) -> Iterator[RunDatabase]:
        """The database of `run`, made when it is not there, under its lock, if `check` agrees."""
        with run_lock(run.lock).hold(LOCK_SECONDS):
            check()
            database = self._take(run)
            try:
                yield database
            except GapError:
                self._keep(run, database)
                raise
            except BaseException:
                database.close()
                raise
            self._keep(run, database)
        self._close_surplus()

    def _take(self, run: RunFolder) -> RunDatabase:
        with self._lock:
            _, database, inode = self._kept.pop(os.fspath(run.path), (run, None, 0))
        if database is not None:
            with contextlib.suppress(FileNotFoundError):
                if run.database.stat().st_ino == inode:
                    return database
            database.close()  # the run was removed, or put back from elsewhere
        return RunDatabase(run.database)

    def _keep(self, run: RunFolder, database: RunDatabase) -> None:
        with self._lock:
            inode = run.database.stat().st_ino
            self._kept[os.fspath(run.path)] = (run, database, inode)

    def _close_surplus(self) -> None:
        """Close what was not used for longest, under its own lock, as no other is held now."""
        with self._lock:
            oldest = next(iter(self._kept.values()), None)
            if len(self._kept) <= KEPT_OPEN or oldest is None:
                return
        self._close(oldest[0])

    def _close(self, run: RunFolder) -> None:
        with contextlib.suppress(StoreLocked, OSError), run_lock(run.lock).hold(0.0):
            with self._lock:
                kept = self._kept.pop(os.fspath(run.path), None)
            if kept is not None:
                kept[1].close()

    def close(self) -> None:
        """Close all of them."""
        for run, _, _ in list(self._kept.values()):
            self._close(run)


open_runs: Final = OpenRuns()


# -- positions ---------------------------------------------------------------------------------


async def positions(request: Request) -> Response:
    """POST /api/v1/positions"""
    asked = await read_object(request)
    listed = asked.get("runs")
    if not isinstance(listed, list) or len(listed) > MAX_RUNS:
        raise Problem(400, "bad_request", f"runs is a list of at most {MAX_RUNS} runs")
    names = [_run_name(item) for item in listed]
    restore, to_send = asked.get("restore") is True, asked.get("send") is True
    server, caller = server_of(request), caller_of(request)
    found = await run_in_threadpool(
        lambda: [_positions(server, caller, name, restore, to_send) for name in names]
    )
    return JSONResponse({"runs": found})


def _positions(
    server: Server, caller: Caller, name: RunName, restore: bool, to_send: bool
) -> dict[str, Any]:
    try:
        server.store.run(*name)  # UsageError: a name that none can have
        place = name.entity, name.project
        if to_send:
            server.access.require_write(caller, *place)
        elif not server.access.may_read(caller, *place):
            if caller.has_scope("write"):
                server.access.require_write(caller, *place)
            else:
                server.access.require_read(caller, *place)
        _require_not_gone(server, name, restore)
        return {"sources": _as_json(positions_in(server.store, *name))}
    except StoreError as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return problem.record()


def _require_not_gone(server: Server, name: RunName, restore: bool) -> None:
    grave = None if restore else Graves(server.store.path).find(*name)
    if grave is not None:
        raise Problem(
            *(410, "gone", f"{name.run} was deleted by {grave.by}"),
            "`store sync --restore` sends it again",
            by=grave.by,
            at=grave.at,
        )


def _as_json(found: Positions) -> dict[str, list[object]]:
    return {uuid: [position, digest.hex()] for uuid, (position, digest) in found.items()}


# -- batches -----------------------------------------------------------------------------------


async def batches(request: Request) -> Response:
    """POST /api/v1/batches"""
    data = await request.body()
    server, caller = server_of(request), caller_of(request)
    restore = request.query_params.get("restore") == "1"
    received = await run_in_threadpool(take_batch, server, caller, data, restore=restore)
    return JSONResponse(
        {"sources": _as_json(received.positions), "refused": [list(r) for r in received.refused]}
    )


def take_batch(server: Server, caller: Caller, data: bytes, *, restore: bool) -> Received:
    """Absorb the bytes of a batch in the name of a caller."""
    batch = _decode(data)
    entity, project, _ = batch.run
    server.access.require_write(caller, entity, project)
    run = server.store.run(*batch.run)
    _require_not_gone(server, batch.run, restore)
    try:
        require_start(run, batch)
        if restore:
            server.access.require_change(caller, entity, project)
            Graves(server.store.path).remove(*batch.run)
        server.accounts.ensure_project(entity, project)
        return _absorb(run, batch, server, restore=restore)
    except TakenError as error:
        raise Problem(error.status, error.code, error.message) from error
    except GapError as error:
        raise Problem(
            409,
            "gap",
            error.message,
            "the sources say where to go on",
            sources=_as_json(error.positions),
        ) from error


def _decode(data: bytes) -> Batch:
    try:
        return decode_batch(data)
    except BadBatchError as error:
        if "version" in str(error):
            raise Problem(
                415, "wire_version", str(error), "upgrade the older of the two Runstores", wire=[1]
            ) from error
        raise Problem(422, "bad_batch", f"the batch cannot be read: {error}") from error


def _absorb(run: RunFolder, batch: Batch, server: Server, *, restore: bool) -> Received:
    is_new = not run.path.is_dir()
    run.path.mkdir(parents=True, exist_ok=True)
    # Asked again under the lock: nobody can delete the run now.
    with open_runs.writing(run, lambda: _require_not_gone(server, batch.run, restore)) as database:
        received = absorb_batch(database, batch)
    if is_new:
        sync_folder(run.path)
    return received


# -- files -------------------------------------------------------------------------------------


async def missing_blobs(request: Request) -> Response:
    """POST /api/v1/blobs/missing"""
    asked = await read_object(request)
    name, hashes = _run_name(asked.get("run")), asked.get("hashes")
    if not isinstance(hashes, dict) or len(hashes) > MAX_HASHES or not all(map(is_sha256, hashes)):
        raise Problem(400, "bad_request", f"hashes has at most {MAX_HASHES} SHA-256 in hex digits")
    held = asked.get("held", list(hashes))
    if not isinstance(held, list) or not hashes.keys() >= set(map(str, held)):
        raise Problem(400, "bad_request", "held lists some of the hashes")
    server, caller = server_of(request), caller_of(request)

    def look() -> dict[str, int]:
        run = server.store.run(*name)
        server.access.require_write(caller, name.entity, name.project)
        return missing_contents(run, _blobs(server, caller, name), hashes, held)

    return JSONResponse({"missing": await run_in_threadpool(look)})


async def put_blob(request: Request) -> Response:
    """PUT /api/v1/blobs/{sha256}"""
    sha256 = str(request.path_params["sha256"])
    query = request.query_params
    name = _run_name([query.get("entity"), query.get("project"), query.get("run")])
    offset, size = _whole(query.get("offset")), _whole(query.get("size"))
    if not is_sha256(sha256) or offset > size or size > MAX_BLOB:
        raise Problem(400, "bad_request", "a SHA-256 in hex digits, offset <= size")
    body = await request.body()
    server, caller = server_of(request), caller_of(request)

    def take() -> int:
        run = server.store.run(*name)
        server.access.require_write(caller, name.entity, name.project)
        _require_not_gone(server, name, restore=False)
        blobs = _blobs(server, caller, name)
        try:
            here = blobs.add(sha256, offset, size, [body])
        except RemoteRefused as error:
            raise Problem(error.status, error.code, error.message) from error
        if here >= size:
            link_files(run, blobs, (sha256,))
        return here

    here = await run_in_threadpool(take)
    return JSONResponse({"offset": here, "complete": here >= size})


def _blobs(server: Server, caller: Caller, name: RunName) -> Blobs:
    """The contents that a caller need not send: the entity's, else those that it has sent itself.

    Who knows a hash does not have the content. So what others have sent is shared with those only
    who may read all of the entity.
    """
    is_shared = server.access.may_write_everywhere(caller, name.entity)
    return Blobs(server.store, name.entity, None if is_shared else caller.user)


# -- requests ----------------------------------------------------------------------------------


def _run_name(item: object) -> RunName:
    if isinstance(item, list) and len(item) == 3 and all(isinstance(part, str) for part in item):
        return RunName(*item)
    raise UsageError("a run is named by entity, project and id")


def _whole(text: str | None) -> int:
    if text is not None and text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    raise UsageError("offset and size are whole numbers")

"""The runs of a server as handlers find them: by address, in the catalogue, opened for reading.

One catalogue for each server process; its file is shared with the other processes. A server's
runs have no journals; where a data folder is also written to directly, they are folded first.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.catalogue import WAIT_SECONDS, Catalogue
from store.errors import UsageError
from store.jsontext import to_json
from store.outline import RunLine
from store.reading import reading
from store.server.context import caller_of, server_of
from store.server.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from store.paths import RunFolder, StoreFolder

_T = TypeVar("_T")
_making: Final = threading.Lock()


class Library(Catalogue):
    """The catalogue of a server's runs. Thread-safe."""

    def __init__(self, store: StoreFolder) -> None:
        super().__init__(store)
        self._looked = float("-inf")
        self._kept: dict[tuple[str, str], tuple[object, object]] = {}

    def look(self, *, within: float = 0.0) -> None:
        """See what changed, if nobody did `within` the last seconds; who waits shares a look."""
        asked = time.monotonic() - within
        with self._lock:
            if self._looked < asked:
                self._looked = time.monotonic()
                self.refresh(WAIT_SECONDS)

    def select(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of the catalogue's tables."""
        return self._select(sql, *parameters)

    def kept(self, entity: str, project: str, make: Callable[[], _T]) -> _T:
        """What `make` gives of a project's runs, made anew only when a run has changed.

        To be called for one `make` only.
        """
        state = self.select(
            "SELECT count(*), max(n), sum(version) FROM run WHERE entity = ? AND project = ?",
            (entity, project),
        )
        found = self._kept.get((entity, project))
        if found is None or found[0] != state:
            found = self._kept[entity, project] = (state, make())
        return cast("_T", found[1])

    def line_of(self, run: RunFolder) -> RunLine:
        """The line on a run as it is now. Problem 404: it was just removed."""
        self.refresh(WAIT_SECONDS, only=run.key)
        line = self.line(run.key)
        if line is None:
            raise no_such_run()
        return line


def library_of(request: Request) -> Library:
    """The catalogue of the server that a request came to."""
    state = request.app.state
    with _making:
        if not hasattr(state, "library"):
            state.library = Library(server_of(request).store)
        return cast("Library", state.library)


def find_run(request: Request, run_id: str | None = None) -> RunFolder:
    """The run that the path names, or the one with `run_id` of its project. Problem 404."""
    path = request.path_params
    name = path["run"] if run_id is None else run_id
    try:
        run = server_of(request).store.run(path["entity"], path["project"], name)
    except UsageError:
        raise no_such_run() from None
    if not run.exists():
        raise no_such_run()
    return run


@contextlib.contextmanager
def opened(request: Request, run: RunFolder) -> Iterator[sqlite3.Connection]:
    """A connection to a run's database, after what lies in its journals was folded. Problem 404."""
    if run.is_unfolded():
        library_of(request).refresh(WAIT_SECONDS, only=run.key)
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(reading(run))
        except FileNotFoundError:
            raise no_such_run() from None
        yield connection


def is_member(request: Request) -> bool:
    """Whether the caller belongs to the project of the path, and so sees all of its runs."""
    path = request.path_params
    return server_of(request).access.is_member(caller_of(request), path["entity"], path["project"])


def no_such_run() -> Problem:
    return Problem(404, "not_found", "there is no such run")


def answer(value: object) -> Response:
    """JSON: a NaN is null, an infinity 9e999."""
    content = to_json(value).encode("utf-8", "replace")
    return Response(content, media_type="application/json")


async def answered(function: Callable[..., object], *arguments: object) -> Response:
    """What a function gives that reads from the disk, as JSON; on a thread of the pool."""
    return await run_in_threadpool(lambda: answer(function(*arguments)))

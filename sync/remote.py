"""Remote: what the engine needs of a place that rows travel to, a server or a folder.

Every call may be repeated: sending is idempotent by (source, number), files by content.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from store.errors import RemoteRefused, StoreError
from store.sync.receive import Positions
from store.sync.wire import Batch, RunName, Section

LOCAL: Final = "local"
"""The entity of runs that belong to nobody in particular."""


class Acknowledged(NamedTuple):
    """A remote's answer to a batch, once the rows are durable there."""

    positions: Positions
    refused: list[tuple[str, int, str]]


class GoneError(RemoteRefused):
    """The run was deleted at the remote; `by` and `at` (seconds since 1970) say who and when."""

    def __init__(self, run: str, by: str, at: float) -> None:
        super().__init__(
            f"{run} was deleted at the remote by {by}",
            status=410,
            code="gone",
            hint="`store sync --restore` sends it again",
        )
        self.by = by
        self.at = at


Progress = Callable[[int], None]
"""Called with the bytes that have just gone out."""


class Remote(Protocol):
    """A place that rows are sent to and fetched from.

    All calls raise RemoteUnavailable (try again later), RemoteRefused, NotAllowed or
    EntityUnknown (ask a person). They are safe to call from several threads.
    """

    name: str
    """What the cursors of this remote are filed under; the same for the same place."""
    where: str
    """The place in words: a URL, a path."""

    def entity_for(self, entity: str) -> str:
        """The entity there that runs of the local `entity` go to."""
        ...

    def positions(
        self, runs: Sequence[RunName], *, to_send: bool, restore: bool = False
    ) -> list[Positions | StoreError]:
        """Where the sources of each run stand there (empty: no such run), in the given order.

        `to_send`: who may only read is told so, instead of where they stand.
        """
        ...

    def send(self, batch: Batch, *, restore: bool, progress: Progress) -> Acknowledged:
        """Send rows. GapError: they do not follow on what is there; nothing was taken."""
        ...

    def missing_blobs(
        self, run: RunName, sizes: Mapping[str, int], held: Collection[str]
    ) -> dict[str, int]:
        """Of contents by SHA-256, those that are not there, with the bytes that already are.

        Those that the sender has itself, `held`, become the run's where they are there; others
        must be so already, since a row may name what its writer never had.
        """
        ...

    def send_blob(
        self, run: RunName, sha256: str, path: Path, offset: int, progress: Progress
    ) -> None:
        """Send a file's content from `offset` on; it is verified there."""
        ...

    def settle(self, run: RunName) -> None:
        """All that was sent of a run for now was sent: keep it where every host finds it."""
        ...

    def runs(self, entity: str | None, project: str | None) -> list[RunName]:
        """The runs there that may be read."""
        ...

    def fetch(self, run: RunName, after: Positions) -> Iterator[Section]:
        """The rows of a run behind the given positions, in sections that follow each other."""
        ...

    def fetch_file(
        self, run: RunName, name: str, sha256: str, path: Path, progress: Progress
    ) -> None:
        """Fetch the content of the file `name` into `path`, verified."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...

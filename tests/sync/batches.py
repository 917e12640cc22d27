"""Sections and batches of the rows of a run, and their bytes, for tests."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgpack

from store.database import RunDatabase, Source
from store.paths import RunFolder, StoreFolder, create_store
from store.reading import reading
from store.reread import reread
from store.row import Row, packb
from store.sync.cursors import Target
from store.sync.folder_remote import FolderRemote
from store.sync.outgoing import Origin, Outgoing
from store.sync.receive import Positions, fields_of, positions_in
from store.sync.remote import Acknowledged, Progress
from store.sync.wire import (
    HEADER,
    MAGIC,
    Batch,
    Group,
    RunName,
    Section,
    decode_batch,
    encode_batch,
)

NAME = RunName("local", "p", "r")
NO_TEXTS: Final[dict[str, Any]] = {"objects": [], "lines": [], "others": [], "stubs": []}


# -- of rows that are somewhere ----------------------------------------------------------------


def new_run(folder: Path) -> RunFolder:
    """The folder of the run NAME in a new store; the run is not there yet."""
    return create_store(folder).run(*NAME)


def put(run: RunFolder, uuid: str, rows: Sequence[Row]) -> None:
    """Absorb rows into the database of a run."""
    run.path.mkdir(parents=True, exist_ok=True)
    with closing(RunDatabase(run.database)) as database:
        database.absorb(uuid, rows)


def stretches_of(run: RunFolder, uuid: str, after: int = 0, most: int = 2000) -> Iterator[Section]:
    """The sections in which the rows of one source go out."""
    with reading(run) as connection:
        (source,) = connection.execute("SELECT id FROM source WHERE uuid = ?", (uuid,)).fetchone()
        outgoing = Outgoing(connection)
        origin = Origin(source, uuid, "journal")
        while section := outgoing.section(origin, after, most=most):
            yield section
            after = section.last


def batch_of(*sections: Section) -> Batch:
    return Batch(NAME, "f" * 32, list(sections))


def by_wire(batch: Batch) -> Batch:
    """The batch as it is once it has travelled."""
    return decode_batch(encode_batch(batch))


def stored(run: RunFolder) -> dict[str, list[tuple[Row, bytes]]]:
    """All rows of a run's database with their digests, by source; nothing where there is none."""
    if not run.database.exists():
        return {}
    with reading(run) as connection:
        sources = [Source(*row) for row in connection.execute("SELECT * FROM source")]
        return {
            s.uuid: [(item.row, item.digest) for item in reread(connection, s.id)] for s in sources
        }


def positions(run: RunFolder) -> Positions:
    """Where the sources of a run stand; nothing is folded."""
    store = StoreFolder(run.path.parents[2])
    return positions_in(store, run.entity, run.project, run.id)


class WiredFolder(FolderRemote):
    """A folder to which batches travel as the bytes that a server would get."""

    def send(self, batch: Batch, *, restore: bool, progress: Progress) -> Acknowledged:
        return super().send(by_wire(batch), restore=restore, progress=progress)

    def target(self, run: RunFolder) -> Target:
        return Target(self.name, run.entity, run.project)

    def copy_of(self, run: RunFolder) -> RunFolder:
        """The run as it is there."""
        return self.store.run(run.entity, run.project, run.id)


# -- bytes -------------------------------------------------------------------------------------


def sample() -> Batch:
    """A small batch with something in each of its parts."""
    section = Section(
        *("a" * 32, "journal", 7),
        [3, 3, 8, 9, 0, 3],
        [0, 1, 2, -3, 4, 2**63 - 1],
        [1.5, 2.5, 2.5, 3.0, 3.25, 4.0],
        [
            Group(None, ["loss"], [[0.5, 0.25, 0.125]]),
            Group([0, 1], ["n", "mixed"], [[1, -(2**63)], [None, 2]]),
        ],
        [("image", 1, '{"_type":"image"}'), ("text", 5, '"x"')],
        [(2, "stdout", "hello\n")],
        [(3, '{"a":[1,2]}')],
        [(4, b"h" * 16, "withheld")],
        True,
    )
    return batch_of(section, section._replace(uuid="b" * 32, writing=None))


def frame(content: bytes, *, size: int | None = None) -> bytes:
    """A batch's bytes around any content; `size` is what the header claims."""
    body = zlib.compress(content, 1)
    return around(body, len(content) if size is None else size)


def around(body: bytes, size: int) -> bytes:
    return MAGIC + HEADER.pack(size, zlib.crc32(body)) + body


def content_of(data: bytes) -> Any:
    """What a batch's bytes say, as plain lists and dicts."""
    return msgpack.unpackb(zlib.decompress(data[len(MAGIC) + HEADER.size :]))


def frame_of(fields: object) -> bytes:
    return frame(packb(fields))


def rows_in(batch: Batch) -> list[Any]:
    return [fields_of(section) for section in batch.sections]


def changed(**fields: object) -> bytes:
    """The bytes of a batch whose one section says other things in some of its fields."""
    tree = content_of(encode_batch(batch_of(sample().sections[0])))
    tree["sections"][0] |= fields
    return frame_of(tree)

"""The rows of a run as sections: all of them, in order, each within what a batch may hold."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import RunDatabase
from store.reading import reading
from store.row import Kind, Row, row_digest
from store.sync.outgoing import ROWS, TEXT, TOO_LARGE, VALUES, Origin, Outgoing
from store.sync.receive import fields_of, receive
from store.sync.wire import Section, encode_batch
from tests.helpers import make_seed, problems
from tests.property.test_arrival import histories
from tests.stored_runs import Said, metric, rows_of
from tests.sync.batches import (
    batch_of,
    by_wire,
    new_run,
    positions,
    put,
    stored,
    stretches_of,
)

A, B, C = "a" * 32, "b" * 32, "c" * 32


def sections_of(folder: Path, rows: Sequence[Row]) -> list[Section]:
    """How rows of one source go out, and that they come in as the same, on the way checked."""
    run, there = new_run(folder / "here"), new_run(folder / "there")
    put(run, A, rows)
    found = list(stretches_of(run, A))
    assert_they_follow(found)
    for section in found:
        assert receive(there, by_wire(batch_of(section))).refused == []
    assert positions(there) == positions(run)
    assert problems(folder / "there") == []
    return found


def assert_they_follow(found: Sequence[Section]) -> None:
    at = 0
    for section in found:
        assert section.first == at + 1
        assert len(section.kinds) > 0
        at = section.last


def values_in(section: Section) -> int:
    return sum(len(column) for group in section.groups for column in group.columns)


def text_in(section: Section) -> int:
    texts = [text for _, _, text in section.objects + section.lines]
    texts += [text for _, text in section.others]
    return sum(len(text.encode()) for text in texts)


def test_rows_of_writers_that_took_turns_come_apart(tmp_path: Path) -> None:
    choose = random.Random(make_seed())
    run = new_run(tmp_path / "here")
    rows = {
        uuid: rows_of(
            *(metric(n, {uuid[:1]: n, "loss": n / 3}) for n in range(150)),
            *((Kind.CONSOLE, n, {"stream": "stdout", "text": f"{uuid[:1]}{n}"}) for n in range(50)),
            metric(150, {"late": 1.0}),
            at=1000.0 * place,
        )
        for place, uuid in enumerate((A, B, C), 1)
    }
    at = dict.fromkeys(rows, 0)
    run.path.mkdir(parents=True)
    with closing(RunDatabase(run.database)) as database:
        while any(at[uuid] < len(rows[uuid]) for uuid in rows):
            uuid = choose.choice([A, B, C])
            stop = at[uuid] + choose.randint(1, 4)
            database.absorb(uuid, rows[uuid][at[uuid] : stop])
            at[uuid] = min(stop, len(rows[uuid]))
    for uuid, expected in rows.items():
        found = list(stretches_of(run, uuid, most=choose.randint(7, 90)))
        assert_they_follow(found)
        came = [Row(*fields) for section in found for fields in fields_of(section)]
        assert came == expected
        assert {name for s in found for g in s.groups for name in g.names} == {
            "loss",
            "late",
            uuid[:1],
        }
    assert problems(tmp_path / "here") == []


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(histories(), st.integers(1, 9))
def test_any_rows_arrive_as_they_are(rows: dict[str, list[Row]], most: int) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        run, there = new_run(folder / "here"), new_run(folder / "there")
        for uuid, listed in rows.items():
            put(run, uuid, listed)
        for uuid in rows:
            for section in stretches_of(run, uuid, most=most):
                assert receive(there, by_wire(batch_of(section))).refused == []
        assert positions(there) == positions(run)
        arrived = stored(there)
        for uuid, found in stored(run).items():
            assert [row_hash for _, row_hash in arrived[uuid]] == [h for _, h in found]
        for store in (folder / "here", folder / "there"):
            # Its file rows tell of files that nobody has.
            assert [f for f in problems(store) if "kept file" not in f.text] == []
    finally:
        shutil.rmtree(folder)


def test_rows_with_three_thousand_metrics(tmp_path: Path) -> None:
    rows = rows_of(
        *(
            metric(n, {f"layer{k}/weight": float(k) if n % 3 else k for k in range(3000)})
            for n in range(55)
        ),
        *(metric(n, {"loss": 0.5}) for n in range(55, 1000)),
    )
    found = sections_of(tmp_path, rows)
    assert max(values_in(section) for section in found) <= 1.5 * VALUES
    assert max(len(section.kinds) for section in found) <= ROWS
    wide = [section for section in found if values_in(section) >= 3000]
    assert 1 < len(wide) < 15, "wide rows go in stretches, too"


@pytest.mark.long
def test_each_row_with_metrics_of_its_own(tmp_path: Path) -> None:
    rows = rows_of(*(metric(n, {f"{n}/{k}": None for k in range(60)}) for n in range(500)))
    found = sections_of(tmp_path, rows)
    assert max(values_in(section) for section in found) <= 1.5 * VALUES / 5


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f600"])
def test_long_texts(tmp_path: Path, letter: str) -> None:
    text = letter * (2**20 // len(letter.encode()))
    rows = rows_of(
        *((Kind.CONSOLE, 0, {"stream": "stdout", "text": f"{n}{text}"}) for n in range(7)),
        *(metric(n, {"loss": 0.5}) for n in range(50)),
        *(metric(n, {"note": text, "more": [text[:1000]]}) for n in range(4)),
        (Kind.EVENT, 0, {"report": text * 4}),
    )
    found = sections_of(tmp_path, rows)
    assert max(text_in(s) for s in found if len(s.kinds) > 1) <= TEXT
    assert sum(text_in(section) for section in found) > 15 * 2**20
    assert max(len(encode_batch(batch_of(section))) for section in found) < 2**20
    assert sum(len(section.stubs) for section in found) == 0


def test_many_small_objects_count_as_what_they_become(tmp_path: Path) -> None:
    """A hundred in each row: as text they are little, as parts of a batch far too many."""
    rows = rows_of(*(metric(n, {f"{k}": "" for k in range(300)}) for n in range(100)))
    found = sections_of(tmp_path, rows)
    assert max(len(section.objects) for section in found) < 2 * VALUES / 8
    rows = rows_of(*((Kind.EVENT, 0, {"list": [0] * 2000}) for n in range(110)))
    found = sections_of(tmp_path / "2", rows)
    assert max(sum(len(text) for _, text in s.others) for s in found) < 2 * 2 * 2 * VALUES


LARGE: dict[str, Said] = {
    "text": (Kind.EVENT, 0, {"text": "x" * (9 * 2**20)}),
    "wide text": (Kind.CONSOLE, 0, {"stream": "stdout", "text": "\U0001f600" * (3 * 2**20)}),
    "list": (Kind.EVENT, 0, {"list": [1] * 900_000}),
    "object": metric(3, {"loss": 0.5, "list": [1] * 900_000}),
    "names": metric(3, {f"{n}" + "n" * 4000: 0.5 for n in range(2200)}),
}
LARGER: dict[str, Said] = {"metrics": metric(3, {f"m{n}": 0.5 for n in range(190_000)})}


@pytest.mark.parametrize(
    "kind", [*LARGE, *(pytest.param(kind, marks=pytest.mark.long) for kind in LARGER)]
)
def test_a_row_that_no_batch_holds_goes_as_a_stub_with_its_digest(
    tmp_path: Path, kind: str
) -> None:
    rows = rows_of(
        *(metric(n, {"loss": 0.5}) for n in range(10)),
        (LARGE | LARGER)[kind],
        *(metric(n, {"loss": 0.5}) for n in range(10)),
    )
    found = sections_of(tmp_path, rows)
    assert [stub for section in found for stub in section.stubs] == [
        (0, row_digest(rows[11]), TOO_LARGE)
    ]
    there = stored(new_run(tmp_path / "there"))[A]
    assert [row.number for row, _ in there if row.kind == Kind.STUB] == [12]
    assert [row for row, _ in there if row.kind != Kind.STUB] == rows[:11] + rows[12:]


def test_large_rows_one_after_the_other_are_read_one_by_one(tmp_path: Path) -> None:
    rows = rows_of(*(metric(n, {"x": "x" * (9 * 2**20)}) for n in range(2)), metric(5, {"y": 1}))
    found = sections_of(tmp_path, rows)
    assert [len(section.stubs) for section in found if section.stubs] == [1] * 2


@pytest.mark.long
def test_the_largest_row_that_is_no_stub(tmp_path: Path) -> None:
    rows = rows_of(
        metric(0, {f"metric {n}": 0.25 for n in range(100_000)}),
        (Kind.EVENT, 0, {"text": "x" * (8 * 2**20 - 100)}),
        (Kind.EVENT, 0, {"list": [1] * 700_000}),
    )
    assert [stub for section in sections_of(tmp_path, rows) for stub in section.stubs] == []


def test_stubs_go_on_as_stubs(tmp_path: Path) -> None:
    here, there = new_run(tmp_path / "here"), new_run(tmp_path / "there")
    rows = rows_of(*(metric(n, {"loss": n}) for n in range(5)))
    put(here, A, rows[:3])
    stub = Section(
        *(A, "journal", 4, [0], [0], [4.0], [], [], [], []),
        [(0, row_digest(rows[3]), "withheld")],
        None,
    )
    receive(here, batch_of(stub, stub._replace(uuid=B, first=1, stubs=[(0, b"", "r" * 1000)])))
    put(here, A, rows[4:])
    for uuid in (A, B):
        for section in stretches_of(here, uuid, most=2):
            assert receive(there, by_wire(batch_of(section))).refused == []
    assert stored(there)[A] == stored(here)[A]
    assert {row.number for row, h in stored(there)[A] if row.kind == Kind.STUB} == {4}
    assert [len(rows) for rows in stored(there).values()] == [7, 1]
    for store in ("here", "there"):
        assert problems(tmp_path / store) == []


def test_there_is_nothing_behind_the_last_row(tmp_path: Path) -> None:
    run = new_run(tmp_path / "here")
    put(run, A, rows_of(metric(0, {"loss": 1.0})))
    with reading(run) as connection:
        outgoing = Outgoing(connection)
        assert outgoing.section(Origin(1, A, "journal"), 3) is None
        assert outgoing.section(Origin(2, B, "journal"), 0) is None
        section = outgoing.section(Origin(1, A, "journal"), 2)
    assert section is not None
    assert (section.first, section.last) == (3, 3)

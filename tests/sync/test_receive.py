"""What a batch does to the store that it comes to: new rows once, nothing else, ever."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from store.database import RunDatabase
from store.jsontext import to_json
from store.paths import RunFolder
from store.row import DIGEST_START, Kind, Row, next_digest, row_digest
from store.sync.receive import GapError, receive
from store.sync.wire import Section
from tests.disks import cut_power, ext4, make_image
from tests.helpers import kill, make_seed, problems, sources_of, start
from tests.stored_runs import metric, rows_of
from tests.sync.batches import (
    batch_of,
    by_wire,
    new_run,
    positions,
    put,
    stored,
    stretches_of,
)
from tests.sync.one_source import ROWS, A, rows

B = "b" * 32


def digest_of(listed: Sequence[Row]) -> bytes:
    digest = DIGEST_START
    for row in listed:
        digest = next_digest(digest, row_digest(row))
    return digest


def test_what_comes_again_is_not_new(origin: RunFolder, there: RunFolder) -> None:
    batch = batch_of(rows(origin, 1, len(ROWS)))
    first = receive(there, batch)
    assert first.new == len(ROWS)
    assert first.positions == {A: (len(ROWS), digest_of(ROWS))}
    for _ in range(3):
        assert receive(there, batch) == first._replace(new=0)
    assert stored(there) == stored(origin)
    assert problems(there.path.parents[2]) == []


def test_stretches_may_overlap(origin: RunFolder, there: RunFolder) -> None:
    seen = 0
    for first, last in [(1, 5), (3, 9), (1, 9), (9, 10), (10, 10), (5, len(ROWS))]:
        received = receive(there, batch_of(rows(origin, first, last)))
        assert received.new == max(0, last - seen)
        seen = max(seen, last)
        assert received.positions == {A: (seen, digest_of(ROWS[:seen]))}
    assert stored(there) == stored(origin)
    assert problems(there.path.parents[2]) == []


def test_two_sections_of_one_batch_may_follow_each_other_only_across_sources(
    origin: RunFolder, there: RunFolder
) -> None:
    both = batch_of(rows(origin, 1, 5), rows(origin, 1, 7)._replace(uuid=B))
    assert receive(there, both).positions == {A: (5, digest_of(ROWS[:5])),
                                              B: (7, digest_of(ROWS[:7]))}  # fmt: skip


@pytest.mark.parametrize("have", [0, 1, 7])
def test_a_gap_says_where_to_go_on_and_takes_nothing(
    origin: RunFolder, there: RunFolder, have: int
) -> None:
    if have:
        receive(there, batch_of(rows(origin, 1, have)))
    before = positions(there)
    batch = batch_of(rows(origin, 1, 4)._replace(uuid=B), rows(origin, have + 2, have + 9))
    for _ in range(2):
        with pytest.raises(GapError) as caught:
            receive(there, batch)
        assert caught.value.positions == {
            A: (have, digest_of(ROWS[:have])),
            B: (0, DIGEST_START),
        }
    assert positions(there) == before
    receive(there, batch_of(rows(origin, have + 1, len(ROWS))))
    assert stored(there) == stored(origin)
    assert problems(there.path.parents[2]) == []


def test_a_gap_of_a_run_that_is_not_there_leaves_nothing(
    origin: RunFolder, there: RunFolder
) -> None:
    with pytest.raises(GapError) as caught:
        receive(there, batch_of(rows(origin, 3, 9)))
    assert caught.value.positions == {A: (0, DIGEST_START)}
    assert not there.path.parent.exists()


def test_stubs_keep_digests_and_rows_take_their_place(origin: RunFolder, there: RunFolder) -> None:
    whole = rows(origin, 1, len(ROWS))
    withheld = rows(origin, 5, 5)
    stub = withheld._replace(
        kinds=[int(Kind.STUB)], groups=[], stubs=[(0, row_digest(ROWS[4]), "withheld")]
    )
    received = [
        receive(there, batch_of(section))
        for section in (rows(origin, 1, 4), stub, rows(origin, 6, len(ROWS)), stub)
    ]
    assert [r.new for r in received] == [4, 1, len(ROWS) - 5, 0]
    assert [r.refused for r in received] == [[]] * 4
    assert positions(there) == positions(origin)
    assert [row.kind for row, _ in stored(there)[A]].count(Kind.STUB) == 1
    again = receive(there, batch_of(whole))
    assert (again.new, again.refused) == (0, [])
    assert receive(there, batch_of(stub)).positions == positions(origin)
    assert stored(there) == stored(origin)
    assert problems(there.path.parents[2]) == []


def test_a_stub_of_unknown_digest_makes_way_for_the_row(
    origin: RunFolder, there: RunFolder
) -> None:
    receive(there, batch_of(rows(origin, 1, 4)))
    lost = rows(origin, 5, 5)._replace(kinds=[0], groups=[], stubs=[(0, b"", "lost")])
    receive(there, batch_of(lost))
    receive(there, batch_of(rows(origin, 6, len(ROWS))))
    assert positions(there) != positions(origin)
    receive(there, batch_of(rows(origin, 5, 5)))
    assert positions(there) == positions(origin)
    assert stored(there) == stored(origin)
    assert problems(there.path.parents[2]) == []


def test_many_stubs_between_rows(there: RunFolder) -> None:
    listed = rows_of(*(metric(n, {"x": n}) for n in range(300)), state=None)
    stubs = [(place, row_digest(row), "withheld") for place, row in enumerate(listed)][1::2]
    # The metric rows between them have no values at all, which is a row as well.
    section = Section(
        *(A, "journal", 1),
        kinds=[0 if place % 2 else row.kind for place, row in enumerate(listed)],
        steps=[row.step for row in listed],
        times=[row.time for row in listed],
        groups=[],
        objects=[],
        lines=[],
        others=[(0, to_json(listed[0].data))],
        stubs=stubs,
        writing=None,
    )
    received = receive(there, by_wire(batch_of(section)))
    assert received.new == len(listed)
    assert received.refused == []
    assert len([1 for row, _ in stored(there)[A] if row.kind == Kind.STUB]) == len(stubs)
    assert problems(there.path.parents[2]) == []


# -- rows in columns ---------------------------------------------------------------------------


def random_rows(choose: random.Random) -> list[Row]:
    """Stretches of alike metric rows of all lengths, with every kind of number, and other rows."""
    kinds: list[Callable[[], Any]] = [
        choose.random,
        lambda: choose.randint(-5, 5),
        lambda: choose.choice([0.0, -0.0, 1.0, 2]),
        lambda: choose.choice([2**63 - 1, -(2**63), 1e308, -1e308, 5e-324]),
        lambda: choose.choice([0.5, None, float("inf"), float("-inf")]) if choose.random() < 0.1
        else 0.5,
        lambda: "text" if choose.random() < 0.05 else 1.5,
    ]  # fmt: skip
    listed: list[Row] = []
    while len(listed) < 400:
        makers = {
            name: choose.choice(kinds) for name in choose.sample("dcbae", choose.randint(0, 4))
        }
        kind = int(choose.choice([Kind.METRIC, Kind.METRIC, Kind.METRIC, Kind.EVENT]))
        time = choose.choice([1000.0, 0.0, -5.0, float(len(listed))])
        for _ in range(choose.choice([1, 2, 3, 15, 16, 17, 40, 90])):
            number = len(listed) + 1
            step = choose.choice([number, number, 2**63 - 1, -(2**63)]) if choose.random() < 0.02 \
                else number  # fmt: skip
            data = {name: make() for name, make in makers.items()}
            listed.append(Row(number, kind, step, time, data))
    return listed


def test_rows_in_columns_are_the_rows_that_they_were(tmp_path: Path) -> None:
    """However they are cut, and whether they come in columns or one by one."""
    seed = make_seed()
    for number in range(6):
        choose = random.Random(seed + number)
        listed = random_rows(choose)
        run, there = (new_run(tmp_path / f"{name}{number}") for name in ("here", "there"))
        put(run, A, listed)
        at = 0
        while at < len(listed):
            back = choose.choice([0, 0, 0, 5])
            section = next(stretches_of(run, A, max(0, at - back), choose.choice([9, 60, 2000])))
            received = receive(there, by_wire(batch_of(section)))
            assert (received.new, received.refused) == (max(0, section.last - at), [])
            at = max(at, section.last)
            assert received.positions == {A: (at, digest_of(listed[:at]))}
        assert stored(there) == stored(run)
        for store in ("here", "there"):
            assert problems(tmp_path / f"{store}{number}") == []


# -- several stores and processes --------------------------------------------------------------


def test_rows_of_two_stores_are_one_run(tmp_path: Path, there: RunFolder) -> None:
    for name, uuid, other in (("one", A, 0.5), ("two", B, 0.25)):
        run = new_run(tmp_path / name)
        put(run, uuid, rows_of((Kind.CONFIG, 0, {name: other}), metric(0, {"loss": other})))
        for section in stretches_of(run, uuid, most=2):
            receive(there, by_wire(batch_of(section)))
    found = stored(there)
    for name, uuid in (("one", A), ("two", B)):
        assert found[uuid] == stored(new_run(tmp_path / name))[uuid]
    database = RunDatabase(there.database, write=False)
    assert database.execute("SELECT key, value FROM config ORDER BY key").fetchall() == [
        ("one", "0.5"),
        ("two", "0.25"),
    ]
    database.close()
    assert problems(tmp_path / "there") == []


def test_whether_the_writer_lives_is_noted(origin: RunFolder, there: RunFolder) -> None:
    receive(there, batch_of(rows(origin, 1, 2)))
    assert [source.seen for source in sources_of(there)] == [None]
    receive(there, batch_of(rows(origin, 3, 4)._replace(writing=True)))
    (before,) = [source.seen for source in sources_of(there)]
    assert before is not None
    receive(there, batch_of(rows(origin, 3, 4)._replace(writing=True)))
    (after,) = [source.seen for source in sources_of(there)]
    assert after is not None
    assert after >= before


def test_batches_that_come_at_once_and_in_any_order_are_taken_once(
    origin: RunFolder, there: RunFolder
) -> None:
    seed = make_seed()
    parts = [rows(origin, first, min(first + 3, len(ROWS))) for first in range(1, len(ROWS) + 1, 2)]
    failed: list[BaseException] = []

    def send(number: int) -> None:
        choose = random.Random(seed + number)
        try:
            at = 0
            while at < len(ROWS):
                try:
                    found = receive(there, batch_of(choose.choice(parts))).positions
                except GapError as error:
                    found = error.positions
                at = found[A][0]
                part = next(part for part in parts if part.last > at or part is parts[-1])
                at = receive(there, batch_of(part)).positions[A][0]
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=send, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert failed == []
    assert stored(there) == stored(origin)
    assert problems(there.path.parents[2]) == []


# -- durable -----------------------------------------------------------------------------------


def test_what_was_answered_survives_a_power_cut(origin: RunFolder, tmp_path: Path) -> None:
    image, disk = tmp_path / "image", tmp_path / "disk"
    make_image(image, 64)
    with ext4(image, disk):
        there = new_run(disk / "store")
        receive(there, batch_of(rows(origin, 1, 9)))
        answered = receive(there, batch_of(rows(origin, 7, len(ROWS))))
        cut_power(disk)
    with ext4(image, disk):
        there = new_run(disk / "store")
        assert positions(there) == answered.positions == positions(origin)
        assert stored(there) == stored(origin)
        assert problems(disk / "store") == []


def test_a_batch_is_taken_whole_or_not_at_all(origin: RunFolder, tmp_path: Path) -> None:
    """The receiver is killed at random moments; what is there is what it had answered, or more."""
    choose = random.Random(make_seed())
    for number in range(5):
        store = tmp_path / f"there{number}"
        process = start("receive_rows", origin.path.parents[2], store, 4, stdout=subprocess.PIPE)
        assert process.stdout is not None
        answered = [process.stdout.readline() for _ in range(choose.randint(1, 4))]
        kill(process)
        there = new_run(store)
        found = positions(there)[A][0]
        assert found >= int(answered[-1])
        assert found in {*range(4, len(ROWS), 4), len(ROWS)}
        assert problems(store) == []
        receive(there, batch_of(rows(origin, found + 1, len(ROWS)) if found < len(ROWS)
                                else rows(origin, 1, 1)))  # fmt: skip
        assert stored(there) == stored(origin)
        assert problems(store) == []

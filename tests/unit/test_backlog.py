"""The rows that wait for a full disk: their order, their bytes, and when the disk is asked."""

from __future__ import annotations

from pathlib import Path

from store.backlog import RETRY_SECONDS, Backlog
from store.row import Kind


def make_backlog(limit: int = 10_000, said: list[str] | None = None) -> Backlog:
    told = [] if said is None else said
    return Backlog(limit, None, Path("run"), lambda kind, message: told.append(kind))


def add(backlog: Backlog, count: int, *, time: float = 100.0) -> list[bool]:
    return [backlog.add(Kind.METRIC, n, time, {"n": n}) for n in range(count)]


def step_taken(backlog: Backlog, number: int) -> int | None:
    row = backlog.take(number)
    return None if row is None else row.step


def test_rows_are_given_out_in_order_and_leave_with_their_numbers() -> None:
    backlog = make_backlog()
    add(backlog, 3)
    assert [step_taken(backlog, number) for number in (7, 8, 9, 10)] == [0, 1, 2, None]
    assert len(backlog) == 0


def test_a_row_that_got_no_number_is_given_out_again() -> None:
    backlog = make_backlog()
    add(backlog, 2)
    assert [step_taken(backlog, number) for number in (7, 7, 7)] == [0, 0, 0]
    assert len(backlog) == 2


def test_a_row_whose_write_was_interrupted_behind_its_number_is_not_written_twice() -> None:
    backlog = make_backlog()
    add(backlog, 2)
    assert step_taken(backlog, 7) == 0
    # Here an exception came; whoever tries next finds row 8 in the journal.
    assert step_taken(backlog, 8) == 1
    assert len(backlog) == 1


def test_a_full_line_takes_rows_again_when_some_have_left() -> None:
    said: list[str] = []
    backlog = make_backlog(100, said)
    kept = add(backlog, 20).index(False)
    assert said == ["dropped"] * (20 - kept)
    assert step_taken(backlog, 0) == 0
    assert add(backlog, 1) == [False]
    assert step_taken(backlog, 1) == 1
    assert add(backlog, 1) == [True]


def test_the_disk_is_asked_again_only_after_a_while() -> None:
    backlog = make_backlog()
    add(backlog, 1, time=100.0)
    assert not backlog.is_due(100.0)
    assert backlog.is_due(100.0 + RETRY_SECONDS)
    assert not backlog.is_due(100.0 + RETRY_SECONDS)
    assert backlog.is_due(100.0 + 2 * RETRY_SECONDS)

"""When a failed request is tried again, and when no more."""

from __future__ import annotations

import random
import threading
from itertools import pairwise

import pytest

from store.errors import RemoteRefused, RemoteUnavailable
from store.sync.retry import Backoff, retrying


class World:
    """A clock that only sleeping moves, and a remote that fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.calls = 0
        self._failures = list(failures)

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        self.now += seconds
        return False

    def call(self) -> int:
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        return self.calls

    def backoff(self, part: float = 1.0) -> Backoff:
        return Backoff(random=lambda: part, clock=lambda: self.now)


def unavailable(retry_after: float | None = None) -> RemoteUnavailable:
    return RemoteUnavailable("no answer", retry_after=retry_after)


def test_waits_double_up_to_the_cap() -> None:
    backoff = World().backoff()
    waits = [backoff.failed() for _ in range(10)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    for _ in range(2000):
        assert backoff.failed() == 60


def test_waits_are_spread_over_their_whole_range() -> None:
    chance = random.Random(7)
    waits = []
    for _ in range(1000):
        backoff = Backoff(base=8, random=chance.random)
        waits.append(backoff.failed())
    assert min(waits) < 0.1
    assert max(waits) > 7.9
    assert max(later - earlier for earlier, later in pairwise(sorted(waits))) < 0.2


def test_a_success_begins_anew() -> None:
    backoff = World().backoff()
    backoff.failed()
    backoff.failed()
    backoff.succeeded()
    assert backoff.failed() == 0.5


def test_a_server_that_says_when_is_not_asked_before() -> None:
    backoff = World().backoff(part=0.0)
    assert backoff.failed(unavailable(90)) == 90
    assert World().backoff(part=1.0).failed(unavailable(90)) == 90.5


def test_what_is_left_of_a_wait() -> None:
    world = World()
    backoff = world.backoff()
    assert backoff.left == 0
    backoff.failed(unavailable(2))
    world.now += 1
    assert backoff.left == 1.5
    world.now += 10
    assert backoff.left == 0


def test_it_goes_on_until_there_is_an_answer() -> None:
    world = World(*[unavailable() for _ in range(50)])
    assert retrying(world.call, sleep=world.sleep, backoff=world.backoff()) == 51
    assert len(world.slept) == 50


def test_only_what_may_pass_is_tried_again() -> None:
    for error in (RemoteRefused("no"), ValueError(), ConnectionError()):
        world = World(error)
        with pytest.raises(type(error)):
            retrying(world.call, sleep=world.sleep)
        assert (world.calls, world.slept) == (1, [])


def test_attempts_are_calls() -> None:
    world = World(*[unavailable() for _ in range(9)])
    told: list[float] = []
    with pytest.raises(RemoteUnavailable):
        retrying(
            world.call,
            sleep=world.sleep,
            attempts=3,
            backoff=world.backoff(),
            on_failure=lambda error, wait: told.append(wait),
        )
    assert world.calls == 3
    assert told == world.slept == [0.5, 1]


def test_a_deadline_that_a_wait_would_pass_ends_it_at_once() -> None:
    world = World(*[unavailable() for _ in range(9)])
    with pytest.raises(RemoteUnavailable):
        retrying(world.call, sleep=world.sleep, deadline=4, backoff=world.backoff())
    assert world.slept == [0.5, 1, 2]
    world = World(unavailable(3600))
    with pytest.raises(RemoteUnavailable):
        retrying(world.call, sleep=world.sleep, deadline=60, backoff=world.backoff())
    assert world.slept == []


def test_a_sleep_that_is_interrupted_ends_it() -> None:
    stop = threading.Event()
    world = World(unavailable(3600), unavailable(3600))
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(RemoteUnavailable):
        retrying(world.call, sleep=stop.wait, backoff=world.backoff())
    assert world.calls == 1

"""Lazy attributes: computed once, and never behind a lock."""

from __future__ import annotations

import threading

from store.lazy import lazy


class Thing:
    def __init__(self) -> None:
        self.computed = 0
        self.both = threading.Barrier(2)

    @lazy
    def value(self) -> int:
        self.computed += 1
        return 7

    @lazy
    def met(self) -> bool:
        return self.both.wait(timeout=60) >= 0


def test_it_is_computed_once_for_each_object() -> None:
    one, other = Thing(), Thing()
    assert (one.value, one.value, one.computed, other.computed) == (7, 7, 1, 0)


def test_nobody_waits_for_another_thread_that_computes_it() -> None:
    """A fork would leave the child with that thread's lock, and without the thread."""
    thing, seen = Thing(), []
    threads = [threading.Thread(target=lambda: seen.append(thing.met)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True, True]

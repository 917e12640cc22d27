"""Trying again: how long to wait, and for how long it is worth it.

Waits are exponential with full jitter: a random part of `base * 2**n` seconds, of `cap` at most,
so that thousands of clients do not come back together. A server that says when to come back
(Retry-After) is not asked before; the jitter comes on top. Only RemoteUnavailable is repeated.

The clock must not jump (time.monotonic). Sleeps can be interrupted: `threading.Event.wait`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from store.errors import RemoteUnavailable

_T = TypeVar("_T")

BASE: Final = 0.5
CAP: Final = 60.0


class Backoff:
    """The waits of one thing that is tried again. Not for several threads at once."""

    def __init__(
        self,
        *,
        base: float = BASE,
        cap: float = CAP,
        random: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`base` and `cap` are seconds; `random` gives numbers from 0 to 1."""
        self.base = base
        self.cap = cap
        self.clock = clock
        self.failures = 0
        self._random = random
        self._due = clock()

    def failed(self, error: RemoteUnavailable | None = None) -> float:
        """Note a failure; gives the seconds to wait before the next try."""
        longest = min(self.cap, self.base * 2.0 ** min(self.failures, 60))
        wait = self._random() * longest + ((error and error.retry_after) or 0.0)
        self.failures += 1
        self._due = self.clock() + wait
        return wait

    def succeeded(self) -> None:
        """Note a success: the next failure waits as the first one did."""
        self.failures = 0
        self._due = self.clock()

    @property
    def left(self) -> float:
        """Seconds until the next try is due; 0 where it is."""
        return max(0.0, self._due - self.clock())


def retrying(
    call: Callable[[], _T],
    *,
    sleep: Callable[[float], bool],
    attempts: int | None = None,
    deadline: float | None = None,
    backoff: Backoff | None = None,
    on_failure: Callable[[RemoteUnavailable, float], None] | None = None,
) -> _T:
    """What `call` returns, as soon as it raises no RemoteUnavailable.

    `sleep` waits and says whether to give up (`Event.wait`). `attempts` is the number of calls,
    `deadline` the seconds in which a further call may begin; without both it goes on for ever.
    `on_failure` is told each failure that is followed by a wait, and the wait.

    Raises:
        RemoteUnavailable: the last one, when it gave up.
    """
    backoff = backoff or Backoff()
    began = backoff.clock()
    tried = 0
    while True:
        try:
            result = call()
        except RemoteUnavailable as error:
            tried += 1
            wait = backoff.failed(error)
            is_over = deadline is not None and backoff.clock() + wait - began > deadline
            if is_over or (attempts is not None and tried >= attempts):
                raise
            if on_failure is not None:
                on_failure(error, wait)
            if sleep(wait):
                raise
        else:
            backoff.succeeded()
            return result

"""Whether this process was told to stop.

A server that is told to stop finishes the answers under way. Those that would never end by
themselves ask here; nothing else tells an application while it still answers.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_told: Final = threading.Event()
_chained: Final[set[Callable[..., object]]] = set()


def notice_stop() -> None:
    """From now on `is_stopping` knows. What others do at these signals stays as it is.

    To be called in the main thread; elsewhere it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        before = signal.getsignal(number)
        if callable(before) and before not in _chained:
            handler = _handler(before)
            _chained.add(handler)
            signal.signal(number, handler)


def _handler(before: Callable[[int, Any], object]) -> Callable[[int, Any], None]:
    def handle(number: int, frame: Any) -> None:
        _told.set()
        before(number, frame)

    return handle


def is_stopping() -> bool:
    return _told.is_set()

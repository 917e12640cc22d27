"""Progress of sending on stderr: one line that is rewritten on a terminal, else one each 10 s.

Also where a rate is kept to: whoever has sent bytes waits until they are due.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from store.api.output import format_size
from store.api.shell import encodable, visible

if TYPE_CHECKING:
    from store.errors import RemoteUnavailable
    from store.sync.engine import Told

DRAW_SECONDS: Final = 0.2
LINE_SECONDS: Final = 10.0


class Progress:
    """Counts rows and bytes of several threads; `rate` is in bytes a second."""

    def __init__(self, rows: int, rate: float | None = None) -> None:
        """`rows` are those that are to be sent, as far as is known at the start."""
        self._rows = rows
        self._rate = rate
        self._lock = threading.Lock()
        self._began = self._drawn = time.monotonic()
        self._sent_rows = 0
        self._sent_bytes = 0
        self._is_terminal = sys.stderr.isatty()
        self._is_drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wipe()

    def expect(self, rows: int) -> None:
        """So many rows are to be sent."""
        self._rows = rows

    def tell(self, told: Told) -> None:
        """Note what was sent, wait where the rate says so, and draw now and then."""
        with self._lock:
            self._sent_rows += told.rows
            self._sent_bytes += told.bytes
            now = time.monotonic()
            due = self._began + (self._sent_bytes / self._rate if self._rate else 0.0)
            if now - self._drawn >= (DRAW_SECONDS if self._is_terminal else LINE_SECONDS):
                self._drawn = now
                self._draw(now - self._began)
        if told.bytes and due > now:
            time.sleep(due - now)

    def tell_failure(self, error: RemoteUnavailable, wait: float) -> None:
        """The remote did not answer, and is asked again in `wait` seconds."""
        self.note(f"{error.message}; again in {wait:.0f} s")

    def note(self, message: str) -> None:
        """A line between the others."""
        with self._lock:
            self._wipe()
            self._print(message + "\n")

    def _draw(self, seconds: float) -> None:
        rate = self._sent_rows / seconds if seconds else 0.0
        parts = [
            f"{self._sent_rows:,} of {max(self._rows, self._sent_rows):,} rows",
            format_size(self._sent_bytes),
            f"{rate:,.0f} rows/s",
        ]
        if rate and self._rows > self._sent_rows:
            parts.append(f"{_span((self._rows - self._sent_rows) / rate)} left")
        line = ", ".join(parts)
        if self._is_terminal:
            self._print(f"\r{line}\x1b[K")
            self._is_drawn = True
        else:
            self._print(line + "\n")

    def _wipe(self) -> None:
        if self._is_drawn:
            self._print("\r\x1b[K")
            self._is_drawn = False

    def _print(self, text: str) -> None:
        body = text if text.startswith("\r") else visible(text.rstrip("\n")) + "\n"
        sys.stderr.write(encodable(body, sys.stderr))
        sys.stderr.flush()


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

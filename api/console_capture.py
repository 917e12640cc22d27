"""Keep what a script prints: sys.stdout and sys.stderr, line by line, as rows of the run.

Only whole lines are kept; of a line that was overwritten with carriage returns (progress bars)
the last state. The original streams are written first and unchanged.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

MAX_LINE: Final = 10_000
Take = Callable[[str, str], None]
"""take(stream, line)"""


class Tee:
    """A text stream that hands its lines on; everything else is the original stream's."""

    def __init__(self, name: str, original: Any, take: Take) -> None:
        self._name = name
        self._original = original
        self._take = take
        self._partial = ""
        self._pid = os.getpid()

    def write(self, text: str) -> int:
        written: int = self._original.write(text)
        self._split(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def _split(self, text: str) -> None:
        if self._pid != os.getpid():
            # In a forked child: the begun line is the parent's.
            self._pid, self._partial = os.getpid(), ""
        *lines, self._partial = (self._partial + text).split("\n")
        if len(self._partial) > 2 * MAX_LINE:
            self._partial = self._partial[-MAX_LINE:]
        for line in lines:
            self._take(self._name, _last_state(line))

    def finish(self) -> None:
        """Hand on what stands in the last line."""
        if self._partial and self._pid == os.getpid():
            self._take(self._name, _last_state(self._partial))
            self._partial = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __iter__(self) -> Any:
        return iter(self._original)


def _last_state(line: str) -> str:
    return line.rstrip("\r").rsplit("\r", 1)[-1][:MAX_LINE]


class ConsoleCapture:
    """Both streams of this process, from `start` to `stop`."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._tees: dict[str, Tee] = {}

    def start(self) -> None:
        for name in ("stdout", "stderr"):
            original = getattr(sys, name)
            if original is not None:
                self._tees[name] = Tee(name, original, self._take)
                setattr(sys, name, self._tees[name])

    def stop(self) -> None:
        for name, tee in self._tees.items():
            tee.finish()
            # Somebody may have wrapped our wrapper meanwhile: then it stays, silent.
            if getattr(sys, name) is tee:
                setattr(sys, name, tee._original)
            tee._take = _nowhere
        self._tees.clear()


def _nowhere(stream: str, line: str) -> None:
    del stream, line

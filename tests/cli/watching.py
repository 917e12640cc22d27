"""The view as tests see it: run without a terminal, pressed keys, and read as text."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from textual.pilot import Pilot

from store.api.watch import reader
from store.api.watch.app import WatchApp
from store.paths import StoreFolder
from tests.helpers import start

SECONDS = 30.0
Play = Callable[[Pilot[None]], Awaitable[None]]


def view(
    store: Path, play: Play, *, size: tuple[int, int] = (120, 40), run: str | None = None
) -> None:
    """Open the view of a store, let `play` use it, and close it."""

    async def show() -> None:
        app = WatchApp(StoreFolder(store), run)
        with patch.object(reader, "SECONDS", 0.1):
            async with app.run_test(size=size) as pilot:
                await play(pilot)

    asyncio.run(show())


def screen(pilot: Pilot[None]) -> str:
    """The characters on the screen, a line each."""
    lines = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in lines)


async def until(pilot: Pilot[None], *texts: str, without: str = "") -> str:
    """Wait until all these texts are on the screen, and `without` is not."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        await pilot.pause(0.02)
        shown = screen(pilot)
        if all(text in shown for text in texts) and (not without or without not in shown):
            return shown
    raise AssertionError(f"{texts!r} without {without!r}:\n{screen(pilot)}")


class Writer:
    """A process that logs when told."""

    def __init__(self, store: Path, run_id: str, name: str = "", **options: Any) -> None:
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        words = [store, run_id, *([name] if name else [])]
        self.process = start("log_when_told", *words, **pipes, **options)
        self._answer()

    def log(self, rows: int) -> None:
        """Log so many rows; they are safe when this returns."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"%d\n" % rows)
        self.process.stdin.flush()
        self._answer()

    def finish(self) -> None:
        """Let the run end."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        self.process.stderr.read()
        self.process.stderr.close()
        assert self.process.wait(timeout=60) == 0

    def _answer(self) -> None:
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        assert said in (b"ready\n", b"done\n"), said + self.process.stderr.read()

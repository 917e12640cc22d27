"""How a process ends, and what that makes of the runs that it still has open.

atexit: finished, unless one of the hooks saw something else. An uncaught exception or
`sys.exit(n)`: failed. Ctrl-C and SIGTERM: killed. The signal handler only notes the signal and
goes on to what was there before it: the user's own handler, or the end of the process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

FinishAll = Callable[[int, str | None], None]
"""finish_all(exit_code, state)"""


class Endings:
    """The hooks of this process, set once."""

    def __init__(self) -> None:
        self._set_in: int | None = None
        self._exit_code = 0
        self._state: str | None = None
        self._finish_all: FinishAll | None = None
        self._writes: Callable[[], bool] = lambda: False
        self._terminated = False
        self._interrupted = False

    def install(self, finish_all: FinishAll, writes: Callable[[], bool]) -> None:
        """Set the hooks; `writes` tells whether this process has written rows of an open run."""
        if self._set_in is not None:
            return
        self._set_in = os.getpid()
        self._finish_all = finish_all
        self._writes = writes
        atexit.register(self._at_exit)
        self._hook_excepthook()
        self._hook_exit()
        if threading.current_thread() is threading.main_thread():
            self._hook_sigterm()

    def _at_exit(self) -> None:
        if self._finish_all is not None:
            self._finish_all(self._exit_code, self._state)
        if self._interrupted:
            _be_interrupted()

    def _hook_excepthook(self) -> None:
        before = sys.excepthook

        def excepthook(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            if not hasattr(sys, "ps1"):  # at a prompt, an error is not the end
                self._ended_by(error)
                self._interrupted = isinstance(error, KeyboardInterrupt)
            before(kind, error, trace)

        sys.excepthook = excepthook

    def _ended_by(self, error: BaseException | None) -> None:
        if isinstance(error, SystemExit):
            self._leaving(error.code)
        elif isinstance(error, KeyboardInterrupt):
            self._exit_code, self._state = 130, "killed"
        elif error is not None:
            self._exit_code = self._exit_code or 1

    def _hook_exit(self) -> None:
        # SystemExit never reaches excepthook, and atexit is not told the exit code.
        before = sys.exit

        def leave(code: Any = None, /) -> Any:
            self._leaving(code)
            return before(code)

        sys.exit = leave
        site = sys.modules.get("_sitebuiltins")
        if site is None:
            return
        quit_before = site.Quitter.__call__

        def quit_(quitter: Any, code: Any = None) -> Any:
            self._leaving(code)
            return quit_before(quitter, code)

        site.Quitter.__call__ = quit_

    def _leaving(self, code: Any) -> None:
        if code is not None and code != 0:
            self._exit_code = code if isinstance(code, int) else 1

    def _hook_sigterm(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        if before is signal.SIG_IGN or before is None:
            return

        def terminated(number: int, frame: FrameType | None) -> None:
            self._exit_code, self._state = 128 + number, "killed"
            if callable(before):
                before(number, frame)
            elif os.getpid() != self._set_in and not self._writes():
                # A forked helper without rows dies as it would have without us.
                die_of(number)
            else:
                self._terminated = True
                raise SystemExit(128 + number)

        signal.signal(signal.SIGTERM, terminated)

    def watch_child(self) -> None:
        """In a child that writes: multiprocessing leaves without atexit, fork without its hooks."""
        process = sys.modules.get("multiprocessing.process")
        if process is None:
            return
        if os.getpid() != self._set_in or process.parent_process() is not None:
            from multiprocessing import util

            util.Finalize(None, self._end_child, exitpriority=10)

    def _end_child(self) -> None:
        # It runs while the exception that ends the child, if any, is on its way out, or (from
        # Python 3.13 on) just after that, when an exit code was made of it.
        self._ended_by(sys.exc_info()[1])
        self._leaving(_code_of_child())
        self._at_exit()
        if self._terminated:
            die_of(signal.SIGTERM)


def _code_of_child() -> int:
    """The exit code with which multiprocessing is about to leave; 0 where it has none yet."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("multiprocessing."):
            if frame.f_code.co_name == "_bootstrap":
                break
            code = frame.f_locals.get("code")
            if isinstance(code, int):
                return code
        frame = frame.f_back
    return 0


def _be_interrupted() -> None:
    """Let the process die of SIGINT in the end, as shells expect it after Ctrl-C.

    Python remembers that a KeyboardInterrupt came through, but forgets it with the next source
    text that is evaluated, which importing a module with a named tuple is enough for.
    """

    def interrupt() -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        eval("interrupt()", {"interrupt": interrupt})


def die_of(number: int) -> None:
    """End this process by the signal itself, so that its parent sees what it expects."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


endings: Final = Endings()

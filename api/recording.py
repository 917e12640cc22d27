"""Recording: what a run keeps beside what is logged: where it comes from, what is printed, and how
busy the machine is.

Git, the machine and the packages are looked up by a thread and a helper process, so that `init()`
waits for none of it; `finish()` waits for the rest for a while. System metrics are sampled by a
thread that loads what it needs only shortly before its first sample; a fork leaves it behind.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from store.api.values import clean_text
from store.errors import RunClosed
from store.locks import no_fork
from store.row import Kind

if TYPE_CHECKING:
    from store.api.live_run import Run

PROVENANCE_SECONDS: Final = 15.0
FIRST_LOOK_SECONDS: Final = 1.0
"""Time before the first sample from which its rates count."""


def collect_provenance(run: Run) -> None:
    """Begin to record where the run comes from."""

    def collect() -> None:
        try:
            _write_provenance(run, folder)
        except RunClosed:
            pass  # finish() waits for a while, and not for ever
        except OSError as error:
            run._warn("provenance", f"cannot keep where the run comes from: {error}")

    folder = Path.cwd()
    thread = threading.Thread(target=collect, name="runstore-provenance", daemon=True)
    thread.start()
    run._before_end.append(lambda: thread.join(PROVENANCE_SECONDS))


def _write_provenance(run: Run, folder: Path) -> None:
    with no_fork:
        # All that is going to be imported on the way, at once.
        import subprocess  # noqa: F401

        from store.api.provenance import command_line
        from store.api.survey import survey

        if run.settings.save_code:
            import store.api.code
            import store.api.saving  # noqa: F401
    run._write(Kind.ATTRIBUTE, {"command": command_line()})
    for key, value in survey(folder, git=run.settings.git):
        run._write(Kind.ATTRIBUTE, {key: value})
    if run.settings.save_code:
        _save_code(run)


def _save_code(run: Run) -> None:
    from store.api.code import save_code
    from store.api.saving import describe_kept

    main = sys.modules.get("__main__")
    program = getattr(main, "__file__", None)
    folder = run._folder.files / "code"
    folder.mkdir(parents=True, exist_ok=True)
    saved = save_code(Path(program) if program else None, Path.cwd(), folder)
    run._write(Kind.FILE, {f"code/{name}": describe_kept(folder / name) for name in saved})


def capture_console(run: Run) -> None:
    """Record what the process prints, for as long as the run lasts."""
    with no_fork:
        from store.api.console_capture import ConsoleCapture

    def take(stream: str, text: str) -> None:
        # Another thread may print while the run ends.
        with contextlib.suppress(RunClosed):
            run._write(Kind.CONSOLE, {"stream": stream, "text": clean_text(text)})

    run._console = ConsoleCapture(take)
    run._console.start()


def record_system_metrics(run: Run, *, whole_machine: bool) -> None:
    """Record how busy this process (with `whole_machine`: all of the machine) is, to the end."""
    over: SimpleQueue[None] = SimpleQueue()
    threading.Thread(
        target=_sample, args=(run, over, whole_machine), name="runstore-system", daemon=True
    ).start()
    run._before_end.append(lambda: over.put(None))


def _sample(run: Run, over: SimpleQueue[None], whole_machine: bool) -> None:
    interval = run.settings.system_interval
    wait = min(FIRST_LOOK_SECONDS, interval / 2)
    if _comes(over, interval - wait):
        return
    try:
        with no_fork:
            from store.api.system_metrics import Sampler
    except ImportError as error:
        run._warn("system", f"no system metrics: {error}")
        return
    with (
        Sampler(run.dir, whole_machine=whole_machine) as sampler,
        contextlib.suppress(RunClosed, OSError),
    ):
        while not _comes(over, wait):
            run._write(Kind.METRIC, sampler.sample())
            wait = interval


def _comes(over: SimpleQueue[None], seconds: float) -> bool:
    """Whether the end comes within that time."""
    with contextlib.suppress(Empty):
        over.get(timeout=seconds)
        return True
    return False

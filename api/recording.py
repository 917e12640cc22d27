"""Recording: what a run keeps beside what is logged: where it comes from, and what is printed.

Git, the machine and the packages are looked up by a thread and a helper process, so that `init()`
waits for none of it; `finish()` waits for the rest for a while.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from store.api.values import clean_text
from store.errors import RunClosed
from store.row import Kind

if TYPE_CHECKING:
    from store.api.live_run import Run

PROVENANCE_SECONDS: Final = 15.0


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
    from store.locks import no_fork

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
    from store.api.console_capture import ConsoleCapture

    def take(stream: str, text: str) -> None:
        # Another thread may print while the run ends.
        with contextlib.suppress(RunClosed):
            run._write(Kind.CONSOLE, {"stream": stream, "text": clean_text(text)})

    run._console = ConsoleCapture(take)
    run._console.start()

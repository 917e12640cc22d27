"""What the commands share: the store that is meant, messages, colour, RUN arguments, errors.

Everything that is printed goes through `visible` first: names, tags and notes are other people's
text and must not reach a terminal's control sequences.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from store.outline import RunLine
    from store.paths import RunFolder, StoreFolder
    from store.query import Store

HELP_OPTIONS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
STORE: Final = "store.api.shell.store"
"""Where the root context's `meta` has what --store said."""
NOT_ALLOWED: Final = 5
USAGE: Final = 2


def store_option(*, hidden: bool = False) -> click.Option:
    """The option --store: of the group, and (not shown) of each command."""

    def keep(ctx: click.Context, _parameter: object, value: Path | None) -> None:
        if value is not None:
            ctx.meta[STORE] = value

    return click.Option(
        ["--store"],
        type=click.Path(path_type=Path),
        envvar=None if hidden else "STORE_DIR",
        show_envvar=not hidden,
        expose_value=False,
        hidden=hidden,
        callback=keep,
        metavar="PATH",
        help="The store, or a folder that holds one.",
    )


def example(about: str, command: str) -> str:
    """The end of a command's help."""
    return f"\b\nExample: {about}\n  {command}"


# -- the store ---------------------------------------------------------------------------------


def store_path() -> Path:
    """Where the store is: --store, else where `store.init()` would look from here."""
    from store.paths import locate_store
    from store.settings import resolve, user_settings_file

    given = click.get_current_context().meta.get(STORE)
    if given is None:
        given = resolve({}, user_file=user_settings_file(os.environ)).settings.dir
    return locate_store(given=given)


def store_folder() -> StoreFolder:
    """The store. StoreNotFound when there is none."""
    from store.paths import StoreFolder

    return StoreFolder(store_path())


@contextlib.contextmanager
def open_store() -> Iterator[Store]:
    """The store, opened for reading; stale runs are named on stderr."""
    from store.query import Store

    with Store(store_folder(), warn=lambda line: say(f"note: {line}")) as opened:
        yield opened


class RunName(click.ParamType[str]):
    """A RUN argument: an id, a name, a path or the beginning of an id."""

    name = "run"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from store.errors import StoreError
        from store.query import Store

        with contextlib.suppress(StoreError, OSError), ctx.scope(cleanup=False):
            with Store(store_folder(), wait=0.0, warn=lambda _: None) as store:
                store.refresh()
                lines = store.catalogue.lines()
            by_id = [(line.id, f"{line.name}, {line.state}") for line in lines]
            by_name = [(line.name, f"{line.id}, {line.state}") for line in lines]
            return [
                CompletionItem(name, help=visible(about))
                for name, about in (*by_id, *by_name)
                if name.startswith(incomplete) and visible(name) == name
            ]
        return []


RUN: Final = RunName()


def find_runs(store: Store, names: tuple[str, ...]) -> list[RunLine]:
    """The lines of the runs that `names` mean, each once, in the order given.

    One refresh for all of them: each waits for locks that somebody else holds.

    Raises:
        RunNotFound: one of them means none, or several.
    """
    store.refresh()
    found = [store.catalogue.find(name) for name in names]
    return list({line.key: line for line in found}.values())


def runs_at(path: Path) -> tuple[StoreFolder, Iterator[RunFolder]] | None:
    """The store in a folder with all its runs, or the run whose folder it is; None: it is neither.

    Raises:
        RunNotFound: it is a folder of a store, and not a run's.
    """
    from store.paths import StoreFolder, locate_store

    if not path.is_dir():
        return None
    folder = locate_store(given=path)
    if (folder / "store.json").exists():
        store = StoreFolder(folder)
        return store, store.runs()
    for parent in path.resolve().parents:
        if (parent / "store.json").exists():
            store = StoreFolder(parent)
            return store, iter([store.run_at(path)])
    return None


def folder_of(store: Store, line: RunLine) -> RunFolder:
    """The folder of the run with that line."""

    return store.folder.run_of(line.key)


# -- printing ----------------------------------------------------------------------------------


def visible(text: str) -> str:
    """`text` without anything that a terminal would act on."""
    from store.api.text import visible as escape

    return escape(text)


def printed(text: str) -> None:
    """A line of data, with the colours that `paint` gave it."""
    click.echo(encodable(text, sys.stdout), color=True)


def say(message: str) -> None:
    """A line for the person, on stderr."""
    click.echo(encodable(visible(message), sys.stderr), err=True)


def encodable(text: str, stream: TextIO) -> str:
    """`text` with what the encoding of `stream` lacks escaped."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def has_color(stream: TextIO | None = None) -> bool:
    """Whether colour is welcome: a terminal, without NO_COLOR (https://no-color.org)."""
    target = stream or sys.stdout
    return (
        not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
        and bool(target.isatty())
    )


STATE_COLORS: Final = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "crashed": "red",
    "killed": "yellow",
    "damaged": "red",
}


def paint(text: str, color: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """`text`, made harmless, in colour where that is welcome."""
    text = visible(text)
    if not has_color() or not (color or bold or dim):
        return text
    # False would be written as a code of its own.
    return click.style(text, fg=color, bold=bold or None, dim=dim or None)


def moment(seconds: float | None) -> str | None:
    """Seconds since 1970 as UTC with milliseconds, as ISO 8601 writes it."""
    if seconds is None:
        return None
    from datetime import UTC, datetime

    with contextlib.suppress(ValueError, OverflowError, OSError):
        text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z")
    return None


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`, `1,000 rows`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# -- errors ------------------------------------------------------------------------------------


class Failure(click.ClickException):
    """An error as the user sees it: what happened, and what to do next."""

    def __init__(self, message: str, hint: str | None, code: int) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Print it; `file` is where click wants it (stderr by default)."""
        target = file if file is not None else sys.stderr
        click.echo(encodable(f"Error: {visible(self.message)}", target), file=target)
        if self.hint:
            click.echo(encodable(f"Hint: {visible(self.hint)}", target), file=target)


def expected_errors() -> tuple[type[Exception], ...]:
    """The errors that are told without a traceback."""
    import sqlite3

    from store.errors import StoreError

    return StoreError, sqlite3.Error, OSError


def failure(error: Exception) -> Failure:
    """The failure that an error is to the user."""
    from store.errors import NotAllowed, StoreError, UsageError

    if isinstance(error, StoreError):
        code = USAGE if isinstance(error, UsageError) else 1
        return Failure(
            error.message, error.hint, NOT_ALLOWED if isinstance(error, NotAllowed) else code
        )
    if isinstance(error, OSError):
        return Failure(_about(error), None, 1)
    return Failure(f"SQLite: {error}", "`store check` looks what is wrong", 1)


def _about(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{os.fspath(error.filename)}: {reason}" if error.filename else reason


def safe_streams() -> None:
    """Let no character that a stream's encoding lacks end a command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(errors="backslashreplace")

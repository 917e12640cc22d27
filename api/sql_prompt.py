"""The prompt of `store sql`: statements end with a semicolon, lines with a dot command it.

Ctrl-C drops what was typed, or stops the query that runs; Ctrl-D leaves. The history is kept in the
user's state folder.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from store.api.output import OutputFormat
from store.api.shell import printed, say, visible
from store.errors import StoreError, UsageError
from store.host import state_folder

if TYPE_CHECKING:
    from store.query import Store

HISTORY_LINES: Final = 1000
HELP: Final = """\
.tables          the views
.schema [VIEW]   the columns of the views, or of one
.help            this
.quit            leave (also Ctrl-D)
A query ends with a semicolon and may have several lines."""
_VIEWS: Final = "SELECT name FROM pragma_table_list WHERE schema = 'temp' AND type = 'view'"
_COLUMNS: Final = "SELECT name FROM pragma_table_info(:view)"


def prompt(
    store: Store, values: dict[str, Any], output: OutputFormat, timeout: float | None
) -> None:
    """Answer queries until the user leaves."""
    from store.api.cli_sql import answer

    say(f"{store.path}: queries end with ; and .help lists the commands")
    with _line_editing(store):
        for text in _statements():
            try:
                if not text.startswith("."):
                    answer(store, text, values, output, timeout=timeout)
                elif not _command(store, text):
                    return
            except StoreError as error:
                say(f"Error: {error.message}")
                if error.hint:
                    say(f"Hint: {error.hint}")
            except KeyboardInterrupt:
                say("\ninterrupted")


def _statements() -> Iterator[str]:
    """What was typed, a command or a whole statement at a time, until the end of input."""
    lines: list[str] = []
    while True:
        try:
            line = input("  ...> " if lines else "store> ")
        except EOFError:
            printed("")
            return
        except KeyboardInterrupt:
            printed("")
            lines.clear()
            continue
        if not lines and not line.strip():
            continue
        if not lines and line.lstrip().startswith("."):
            yield line.strip()
            continue
        lines.append(line)
        text = "\n".join(lines)
        if sqlite3.complete_statement(text):
            lines.clear()
            yield text


def _command(store: Store, text: str) -> bool:
    """Do what a dot command says; False when it says to leave."""
    word, *arguments = text.split()
    if word in {".quit", ".exit", ".q"}:
        return False
    if word == ".tables":
        printed("  ".join(views(store)))
    elif word == ".schema":
        known = views(store)
        if unknown := [name for name in arguments if name not in known]:
            raise UsageError(
                f"there is no view {unknown[0]!r}", hint=f"there are {', '.join(known)}"
            )
        for name in arguments or known:
            printed(f"{name}({', '.join(columns(store, name))})")
    elif word == ".help":
        printed(HELP)
    else:
        say(f"there is no command {visible(word)}; .help lists them")
    return True


def views(store: Store) -> list[str]:
    """The names of the views."""
    return [name for (name,) in store.sql(_VIEWS)]


def columns(store: Store, view: str) -> list[str]:
    """The columns of a view."""
    return [name for (name,) in store.sql(_COLUMNS, {"view": view})]


@contextlib.contextmanager
def _line_editing(store: Store) -> Iterator[None]:
    """With history and completion, where this Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    words = sorted({*(names := views(store)), *(c for name in names for c in columns(store, name))})

    def complete(text: str, state: int) -> str | None:
        found = [word for word in words if word.startswith(text.lower())]
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
    file = state_folder() / "sql_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    try:
        yield
    finally:
        readline.set_history_length(HISTORY_LINES)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(file)

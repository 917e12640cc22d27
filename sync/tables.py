"""Small TOML files that the program keeps: values, then one [table] for each thing.

A file is written whole, as what it means: a reader sees the old file or the new one, and only the
comment at the top stays. Who changes one reads and writes it within `changing`, under its lock.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from store.errors import StoreLocked, UsageError
from store.settings_sources import read_toml, replace_file, toml_literal

LOCK_SECONDS: Final = 10.0
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def read_tables(file: Path) -> dict[str, Any]:
    """What is in `file`: nothing where there is none. UsageError where it cannot be read."""
    return read_toml(file)[1]


@contextlib.contextmanager
def changing(file: Path) -> Iterator[None]:
    """Let nobody else change `file` while the block reads and writes it.

    Raises:
        StoreLocked: somebody else does, for too long.
    """
    from filelock import FileLock, Timeout

    real = Path(os.path.realpath(file))
    path = real.with_name(f".{real.name}.lock")
    lock = FileLock(path, timeout=LOCK_SECONDS, poll_interval=0.005, fallback_to_soft=False)
    with contextlib.ExitStack() as stack:
        try:
            real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(lock)
        except Timeout as error:
            raise StoreLocked(path, LOCK_SECONDS) from error
        except (OSError, NotImplementedError):
            pass  # a disk without locks, where of two at once the later wins, or a read-only one
        yield


def write_tables(file: Path, table: Mapping[str, Any], about: str, *, private: bool) -> None:
    """Put `table` into `file` with `about` as its first line; a private file gets mode 0600.

    Raises:
        UsageError: there is something in it that can only be written by hand.
        OSError: it cannot be written.
    """
    plain = {name: value for name, value in table.items() if not isinstance(value, dict)}
    text = f"# {about}\n{_lines(file, plain)}"
    for name, value in table.items():
        if isinstance(value, dict):
            text += f"\n[{_key(name)}]\n{_lines(file, value)}"
    real = Path(os.path.realpath(file))
    real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(real, text.encode(), private=private)


def _lines(file: Path, table: Mapping[str, Any]) -> str:
    for name, value in table.items():
        if not isinstance(value, str | bool | int | float):
            raise UsageError(
                f"{file}: cannot be rewritten with {name} in it", hint="edit it by hand"
            )
    return "".join(f"{_key(name)} = {toml_literal(value)}\n" for name, value in table.items())


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml_literal(name)

"""Small TOML files that the program keeps: values, then one [table] for each thing.

A file is written whole, as what it means: a reader sees the old file or the new one, of two
writers at once the later wins, and only the comment at the top stays.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from store.errors import UsageError
from store.settings_sources import read_toml, replace_file, toml_literal

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def read_tables(file: Path) -> dict[str, Any]:
    """What is in `file`: nothing where there is none. UsageError where it cannot be read."""
    return read_toml(file)[1]


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
    replace_file(Path(os.path.realpath(file)), text.encode(), private=private)


def _lines(file: Path, table: Mapping[str, Any]) -> str:
    for name, value in table.items():
        if not isinstance(value, str | bool | int | float):
            raise UsageError(
                f"{file}: cannot be rewritten with {name} in it", hint="edit it by hand"
            )
    return "".join(f"{_key(name)} = {toml_literal(value)}\n" for name, value in table.items())


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml_literal(name)

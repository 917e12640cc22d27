"""Keeps the source of a run: its main script and the modules it loaded from its own folder.

Needs no git. Copies are verbatim, found through `sys.modules`; modules of the standard library, of
site-packages and of virtual environments are left out, also where these lie inside the folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_FILES: Final = 500
MAX_FILE_BYTES: Final = 1_000_000
_FOREIGN_FOLDERS: Final = frozenset({"site-packages", "dist-packages", ".venv", "venv", ".tox"})


def save_code(program: Path | None, root: Path, destination: Path) -> list[str]:
    """Copy `program` and the loaded modules below `root` into `destination`, paths kept.

    Returns the names of the copies relative to `destination`, with `/`, the program's first. A
    program outside `root` is saved under its file name. Left out: files over 1 MB, files that are
    not text or cannot be read, all after the 500th. Raises OSError when `destination` cannot be
    written.
    """
    saved: list[str] = []
    taken: set[str] = set()
    for name, source in _sources(program, root):
        if len(saved) == MAX_FILES:
            break
        if name in taken:
            continue
        taken.add(name)
        content = _content(source)
        if content is None:
            continue
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        saved.append(name)
    return saved


def _sources(program: Path | None, root: Path) -> Iterator[tuple[str, Path]]:
    roots = _both_spellings(root)
    if program is not None:
        yield _below(program, roots) or program.name, program
    foreign = _foreign_roots()
    environments: dict[Path, bool] = {}
    modules: dict[str, Path] = {}
    for path in map(Path, _module_files()):
        name = _below(path, roots)
        if name is None or not _FOREIGN_FOLDERS.isdisjoint(name.split("/")):
            continue
        if _below(path, foreign) is None and not _in_environment(path, roots, environments):
            modules[name] = path
    yield from sorted(modules.items())


def _module_files() -> Iterator[str]:
    for module in list(sys.modules.values()):
        try:
            # Past the module's own lookup, which would load a lazy one.
            namespace = object.__getattribute__(module, "__dict__")
        except (AttributeError, TypeError):
            continue
        file = namespace.get("__file__") if isinstance(namespace, dict) else None
        if isinstance(file, str) and file.endswith((".py", ".pyw")):
            yield file


def _both_spellings(path: Path) -> tuple[Path, ...]:
    absolute = Path(os.path.abspath(path))
    return absolute, Path(os.path.realpath(path))


def _below(path: Path, roots: tuple[Path, ...]) -> str | None:
    for spelling in _both_spellings(path):
        for root in roots:
            if spelling != root and spelling.is_relative_to(root):
                return spelling.relative_to(root).as_posix()
    return None


def _foreign_roots() -> tuple[Path, ...]:
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = {path for name in names if (path := sysconfig.get_path(name))}
    return tuple(spelling for path in sorted(paths) for spelling in _both_spellings(Path(path)))


def _in_environment(path: Path, roots: tuple[Path, ...], known: dict[Path, bool]) -> bool:
    """Whether a folder between `path` and the root is a virtual environment."""
    for folder in path.parents:
        if folder in roots:
            return False
        if folder not in known:
            known[folder] = (folder / "pyvenv.cfg").exists()
        if known[folder]:
            return True
    return False


def _content(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
    return None if len(content) > MAX_FILE_BYTES or b"\0" in content else content

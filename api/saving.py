"""Files that belong to a run: copied into its `files/`, known by their content's SHA-256."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from store.errors import UsageError
from store.paths import RunFolder


def find_files(path: str | os.PathLike[str]) -> list[Path]:
    """The files that a path or a pattern means. UsageError when there are none."""
    names = sorted(glob.glob(os.fspath(path), recursive=True))
    found = [Path(name) for name in names if os.path.isfile(name)]
    if not found:
        raise UsageError(f"no file matches {os.fspath(path)!r}")
    return found


def keep_file(run: RunFolder, source: Path) -> tuple[str, dict[str, Any]]:
    """Copy a file into the run; gives its name there and {size, sha256}.

    The name is the path below the working directory, or the bare file name for one elsewhere.
    The copy is whole or not there. Equal contents are stored once, through hard links.

    Raises:
        UsageError: it cannot be read or copied.
    """
    name = _name_of(source)
    target = run.files / name
    temporary = run.files / f".{os.getpid()}.{os.urandom(4).hex()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = _copy(source, temporary)
        twin = run.files / ".content" / digest
        twin.parent.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # no hard links on this disk: a plain copy does
            if twin.exists():
                temporary.unlink()
                os.link(twin, temporary)
            else:
                os.link(temporary, twin)
        os.replace(temporary, target)
    except OSError as error:
        raise UsageError(f"cannot keep {source}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return name, {"size": size, "sha256": digest}


def _name_of(source: Path) -> str:
    try:
        return source.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return source.name


def _copy(source: Path, target: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as reader, open(target, "xb") as writer:
        while block := reader.read(2**20):
            digest.update(block)
            size += len(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    shutil.copymode(source, target)
    return digest.hexdigest(), size


def describe_kept(path: Path) -> dict[str, Any]:
    """{size, sha256} of a file that is in the run already."""
    content = path.read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

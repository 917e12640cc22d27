"""Saving the source of a run, tried from real programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from store.api.code import MAX_FILE_BYTES, MAX_FILES, save_code

PROGRAM = """
import json, pathlib, sys
{imports}
from store.api.code import save_code
program, root, destination = (pathlib.Path(text) if text else None for text in {places!r})
print(json.dumps(save_code(program, root, destination)))
"""


def _run(
    folder: Path, *, imports: str = "", program: str = "train.py", root: str = ""
) -> list[str]:
    """Write and start `program` in `folder`, which saves its own code to `folder`/../saved."""
    places = (str(folder / program), str(folder / root), str(folder.parent / "saved"))
    (folder / program).write_text(PROGRAM.format(imports=imports, places=places))
    answer = subprocess.run([sys.executable, program], cwd=folder, check=True, capture_output=True)
    saved = json.loads(answer.stdout)
    assert isinstance(saved, list)
    return saved


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def _write(path: Path, text: str = "x = 1\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_program_and_its_loaded_modules_are_saved(folder: Path) -> None:
    for name in ("models/__init__.py", "models/net.py", "data.py", "unused.py"):
        _write(folder / name, f"name = {name!r}\n")

    saved = _run(folder, imports="import data, models.net")

    assert saved == ["train.py", "data.py", "models/__init__.py", "models/net.py"]
    for name in saved:
        assert (folder.parent / "saved" / name).read_bytes() == (folder / name).read_bytes()


def test_environments_and_installed_packages_are_left_out(folder: Path) -> None:
    _write(folder / "env" / "pyvenv.cfg", "home = /usr\n")
    for place in ("env/lib", "deps/site-packages", "venv"):
        _write(folder / place / f"from_{place.split('/')[0]}.py")
    paths = "sys.path += ['env/lib', 'deps/site-packages', 'venv']\n"

    saved = _run(folder, imports=paths + "import from_env, from_deps, from_venv")

    assert saved == ["train.py"]


def test_standard_library_below_the_root_is_left_out(tmp_path: Path) -> None:
    root = Path(sysconfig.get_path("stdlib")).parent

    saved = save_code(None, root, tmp_path)

    assert not [name for name in saved if name.endswith(("json/__init__.py", "/pathlib.py"))]


def test_program_outside_the_root_is_saved_under_its_name(folder: Path) -> None:
    _write(folder / "library" / "tool.py")

    saved = _run(folder, imports="import library.tool", root="library")

    assert saved == ["train.py", "tool.py"]


def test_program_without_ending_is_saved(folder: Path) -> None:
    assert _run(folder, program="train") == ["train"]


@pytest.mark.skipif(os.name != "posix", reason="not run: links need a privilege here")
def test_linked_root_is_the_same_root(folder: Path) -> None:
    _write(folder / "data.py")
    (folder / "link").symlink_to(folder, target_is_directory=True)

    assert _run(folder, imports="import data", root="link") == ["train.py", "data.py"]


def test_large_binary_and_vanished_files_are_left_out(folder: Path) -> None:
    limit = MAX_FILE_BYTES
    _write(folder / "large.py", "#" * (limit + 1))
    _write(folder / "largest.py", "#" * limit)
    _write(folder / "gone.py")
    imports = "import large, largest, gone, os\nos.unlink('gone.py')"

    assert _run(folder, imports=imports) == ["train.py", "largest.py"]
    (folder / "program").write_bytes(b"\x7fELF\0")
    assert save_code(folder / "program", folder, folder.parent / "saved") == []


def test_no_more_than_five_hundred_files(folder: Path) -> None:
    for number in range(MAX_FILES + 5):
        _write(folder / f"module_{number:04}.py", "")
    imports = f"for n in range({MAX_FILES + 5}): __import__(f'module_{{n:04}}')"

    saved = _run(folder, imports=imports)

    assert len(saved) == MAX_FILES
    assert saved[0] == "train.py"


def test_lazy_and_strange_modules_are_not_disturbed(folder: Path) -> None:
    _write(folder / "lazy.py", "raise SystemExit('was loaded')\n")
    imports = """
import importlib.util
spec = importlib.util.find_spec("lazy")
spec.loader = importlib.util.LazyLoader(spec.loader)
sys.modules["lazy"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["lazy"])
class Strange:
    def __getattr__(self, name):
        raise SystemExit("was asked for " + name)
sys.modules["strange"] = Strange()
sys.modules["none"] = None
sys.modules["number"] = 3
"""
    assert _run(folder, imports=imports) == ["train.py", "lazy.py"]


def test_destination_that_cannot_be_written_raises(folder: Path) -> None:
    _write(folder / "train.py")
    _write(folder / "file")

    with pytest.raises(OSError):
        save_code(folder / "train.py", folder, folder / "file")

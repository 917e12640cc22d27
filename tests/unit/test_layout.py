"""The guards of the house: what ships, what imports what, and what a training script loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import store

ROOT = Path(__file__).parents[2]
ROOMS = ("store", "api", "sync", "server")
PACKAGES = {"store": "store", **{f"store.{room}": room for room in ROOMS[1:]}}
PACKAGES["store.doctor"] = "store/doctor"
PACKAGES["store.shared"] = "store/shared"
PACKAGES["store.server.pages"] = "server/pages"
PACKAGES["store.api.watch"] = "api/watch"
PACKAGES["store.api.report"] = "api/report"
HEAVY = ("click", "sqlite_utils", "git", "rich", "filelock", "urllib3", "http.client", "psutil")
WEB_FILES = (
    *("templates/base.html", "templates/parts/rows.html", "static/css/tokens.css"),
    *("static/js/app.js", "static/js/charts/mount.js", "static/icon.svg"),
    *("static/vendor/uPlot.esm.js", "static/vendor/uPlot.min.css"),
    *("static/vendor/uPlot.LICENSE.txt", "static/vendor/versions.json"),
)
ORDER = [
    {"errors", "locks", "lazy"},
    {"settings", "settings_sources", "settings_words", "disk", "row", "jsontext", "names"},
    {"host"},
    {"shared.spills"},
    {"record", "paths", "journal"},
    {"ownership", "shared.network_journal"},
    {"shared.carry", "segments", "shared.live"},
    {
        "writer",
        "backlog",
        "keeper",
        "schema",
        "stretch",
        "batch",
        "materialize",
        "reread",
        "absorb",
    },
    {"database"},
    {"merge"},
    {"shared.snapshots"},
    {"fold", "rebuild"},
    {"shared.publish"},
    {"shared.share"},
]
"""Modules of `store/` may import from their own line and those above; the rest is on top."""


def sources() -> list[Path]:
    folders = [ROOT / folder for folder in PACKAGES.values()]
    return [path for folder in folders for path in sorted(folder.glob("*.py"))]


def imports(path: Path) -> set[str]:
    """Modules that a file imports, at its top or inside functions, but not for types only."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_the_declared_packages_are_the_folders_on_disk() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).glob("**/__init__.py")
        if not any(parent.is_symlink() for parent in path.parents)
    }
    assert folders == set(PACKAGES.values())
    assert set(declared["packages"]) == set(PACKAGES)
    assert declared["package-dir"] == PACKAGES


def test_imports_go_one_way() -> None:
    forbidden = {
        "store": ("store.api", "store.sync", "store.server"),
        "sync": ("store.api", "store.server"),
        "server": ("store.api",),
        "api": (),
    }
    for path in sources():
        if path == ROOT / "store" / "__init__.py" or path == ROOT / "store" / "__main__.py":
            continue
        for name in imports(path):
            assert not name.startswith(forbidden[path.relative_to(ROOT).parts[0]]), (
                f"{path} imports {name}"
            )


def test_the_modules_of_the_store_build_on_each_other_in_order() -> None:
    level = {name: n for n, names in enumerate(ORDER) for name in names}
    for name, mine in level.items():
        for imported in imports(ROOT / "store" / f"{name.replace('.', '/')}.py"):
            if imported.startswith("store.") and name != "keeper":
                other = module_of(imported.removeprefix("store."))
                assert other is None or level.get(other, 99) <= mine, f"{name} imports {imported}"


def module_of(name: str) -> str | None:
    """The module below `store` that the name stands in; None for a package as such."""
    parts = name.split(".")
    if parts[0] in ("shared", "doctor"):
        return ".".join(parts[:2]) if len(parts) > 1 else None
    return parts[0]


def test_no_module_bears_the_name_of_a_public_attribute() -> None:
    modules = {path.stem for path in (ROOT / "store").iterdir()} - {"__init__"}
    assert not modules & set(store.__all__)


@pytest.mark.parametrize("name", ["init", "log", "Run", "Settings", "open", "sql", "finish"])
def test_public_names_resolve(name: str) -> None:
    assert callable(getattr(store, name))


def test_starting_a_run_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, store\n"
        "first = set(sys.modules)\n"
        "run = store.init(settings={'git': False, 'silent': True})\n"
        "loaded = set(sys.modules)\n"
        f"print([m for m in {HEAVY!r} if m in first])\n"
    )
    # The background threads import late: what counts is what init() itself needs.
    code = code.replace(
        "run = store.init",
        "import store.api.session as s\n"
        "s.collect_provenance = lambda run: None\n"
        "s._on_first_row = lambda: None\nrun = store.init",
    )
    code += f"print([m for m in {HEAVY!r} if m in loaded])\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "[]"], done.stdout


def test_no_statement_numbers_its_parameters() -> None:
    """Python 3.12.0 to 3.12.3 takes ?1 for a name, and warns at each use with a sequence."""
    numbered = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and re.search(r"\?[1-9]", str(node.value))
    ]
    assert numbered == []


def test_nothing_names_this_machine() -> None:
    pattern = re.compile(r"(/root/|/work/|https?://(pypi\.org|registry\.npmjs))")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.split():
        path = ROOT / name
        if path.is_file() and path != Path(__file__) and not path.is_symlink():
            found = pattern.search(path.read_text(errors="replace"))
            assert not found, f"{name}: {found.group() if found else ''}"


def test_the_wheel_installs_alone_and_holds_one_top_level_name(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT],
        check=True,
        capture_output=True,
        timeout=100,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
    assert {f"store/server/web/{name}" for name in WEB_FILES} <= held
    assert {"store/api/report/report.css", "store/api/report/cursor.js"} <= held
    assert not [name for name in held if "node_modules" in name]
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True, capture_output=True)
    for command in (["--help"], ["ls", "--help"], ["--version"]):
        subprocess.run(
            [tmp_path / "env" / "bin" / "store", *command],
            check=True,
            capture_output=True,
            cwd=tmp_path,
        )
    code = (
        "import importlib.util as u\n"
        "print([n for n in ('api', 'sync', 'server', 'tests') if u.find_spec(n)], "
        "bool(u.find_spec('store.api.cli')))"
    )
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] True"

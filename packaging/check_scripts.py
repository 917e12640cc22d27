"""Check the types of the pages' scripts: their JSDoc, by the compiler that the lock file names."""

from __future__ import annotations

import os
import subprocess
import sys

from build_backend import WEB, fetch_vendor, npm

INSTALLED = WEB / "node_modules" / ".package-lock.json"


def main() -> int:
    fetch_vendor()
    lock = WEB / "package-lock.json"
    if not INSTALLED.exists() or INSTALLED.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([*npm(), "ci", "--ignore-scripts", "--silent"], cwd=WEB, check=True)
        os.utime(INSTALLED)
    # The compiler is a program of its own: it needs no node on the path.
    programs = sorted(WEB.glob("node_modules/@typescript/typescript-*/lib/tsc*"))
    found = [path for path in programs if path.stem == "tsc" and path.suffix in ("", ".exe")]
    if not found:
        print("types of scripts: not run, there is no compiler for this platform", file=sys.stderr)
        return 0
    return subprocess.run([found[0], "--project", WEB], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

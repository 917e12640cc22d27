"""What the benchmark scripts share: figures with their aims, tables, workers, scratch folders."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
Figures = dict[str, float]


class Figure(NamedTuple):
    """One measured value beside its aim. `unit` is for reading only; no aim = for comparison."""

    what: str
    value: float
    unit: str
    aim: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """ok, over, or nothing where there is no aim."""
        if self.aim is None:
            return ""
        return "ok" if self.value <= self.aim else "over"

    def cells(self) -> list[str]:
        """The figure as a line of a table."""
        aim = "" if self.aim is None else f"<= {number(self.aim)}"
        return [self.what, number(self.value), self.unit, aim, self.verdict, self.note]


FIGURE_HEADS: Final = ("figure", "measured", "unit", "aim", "verdict", "")


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value != value:  # noqa: PLR0124 - NaN: nothing was measured
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"


def print_table(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown, the columns aligned."""
    rows = [list(heads), *map(list, lines)]
    widths = [max(3, *(len(row[n]) for row in rows)) for n in range(len(heads))]
    print(f"\n### {title}\n")
    for index, row in enumerate(rows):
        print("|", " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)), "|")
        if index == 0:
            print("|", " | ".join("-" * w for w in widths), "|")
    sys.stdout.flush()


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    """Print figures with their aims."""
    print_table(title, FIGURE_HEADS, [figure.cells() for figure in figures])


def print_machine() -> None:
    """Say on what, when and how busy: a time without these means nothing."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"{time.strftime('%Y-%m-%d %H:%M')}, {platform.system()} {platform.release().split('-')[0]}"
        f" {platform.machine()}, {os.cpu_count()} cores{load},"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def clean_environment() -> dict[str, str]:
    """The environment without settings of any tracker."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("STORE_", "WANDB_"))}


def run_worker(
    script: str, *arguments: object, timeout: float = 300.0, **job: Any
) -> dict[str, Any]:
    """Run a script of this folder in a fresh interpreter; it writes JSON to `job["answer"]`.

    Raises:
        SystemExit: the worker failed; its last line says why.
    """
    with scratch_folder() as folder:
        answer = folder / "answer.json"
        job |= {"answer": os.fspath(answer), "folder": job.get("folder", os.fspath(folder))}
        done = subprocess.run(
            [sys.executable, HERE / script, *map(str, arguments), json.dumps(job)],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{script} {arguments} failed:\n{done.stderr[-2000:]}")
        answered: dict[str, Any] = json.loads(answer.read_text())
        return answered


_scratch: list[Path | None] = [None]


def use_folder(path: Path | None) -> None:
    """Put scratch folders below `path` (default: the system's temporary folder)."""
    _scratch[0] = path


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A fresh folder that is removed at the end."""
    if _scratch[0] is not None:
        _scratch[0].mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="runstore-bench-", dir=_scratch[0]))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def middle(rounds: Sequence[Mapping[str, float]]) -> Figures:
    """The median over rounds of each figure that all of them have."""
    shared = set.intersection(*(set(found) for found in rounds))
    return {key: median(found[key] for found in rounds) for key in shared}

"""A small sweep over real data, offline; then what the store says about it.

The store is made in `.store` of the working directory, so that you can go on asking afterwards.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SWEEP = ["--lr 0.001", "--lr 0.01", "--lr 0.05", "--lr 0.01 --hidden 128", "--members 3"]
QUESTIONS = [
    "sql \"select name, config->>'lr' as lr, config->>'hidden' as hidden,"
    " round(summary->>'val/acc', 4) as best_acc from runs"
    " where project = 'digits' order by best_acc desc limit 5\" -t",
    'sql "select writer, count(*) as epochs, round(min(value), 4) as best_loss from metrics'
    " where key = 'val/loss' and run = '{ensemble}' group by writer\" -t",
]


def main() -> None:
    for options in SWEEP:
        print(f"\n$ python examples/digits/train.py {options}", flush=True)
        subprocess.run([sys.executable, HERE / "train.py", *options.split()], check=True)
    ask("ls --project digits -c val/acc -c lr")
    best = answer(
        "sql \"select id from runs where project = 'digits' and job_type = 'single'"
        " order by summary->>'val/acc' desc limit 1\" --csv --no-headers"
    )
    ask(f"show {best}")
    ask(f"show {best} --plot val/loss --plot train/loss")
    ensemble = answer(
        "sql \"select id from runs where job_type = 'ensemble'"
        ' order by created desc limit 1" --csv --no-headers'
    )
    for question in QUESTIONS:
        ask(question.replace("{ensemble}", ensemble))
    ask("status")
    ask("check")
    print(
        f"\nTo see all this in a browser:\n\n    {program()} ui\n\n"
        "and, while that runs, the charts of the best run by a click on\n\n"
        f"    http://127.0.0.1:8322/local/digits/runs/{best}\n"
    )


def program() -> str:
    """The command line of this interpreter, as it can be typed here."""
    found = Path(sys.executable).with_name("store")
    near = found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found
    return shlex.quote(str(near)) if found.exists() else "store"


def command(line: str) -> list[str]:
    return [sys.executable, "-m", "store", *shlex.split(line)]


def ask(line: str) -> None:
    print(f"\n$ store {line}", flush=True)
    subprocess.run(command(line), check=True)


def answer(line: str) -> str:
    return subprocess.run(command(line), check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()

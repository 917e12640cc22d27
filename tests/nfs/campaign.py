"""Shared mode on a real NFS: `make test-nfs` brings the rig up, runs the rounds, prints a table.

The package is built as a wheel and installed on both clients. The rig comes down at the end, also
of a campaign that fails. Exit codes: 0 all rounds passed, 1 one failed, 2 there is no rig.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import time
import traceback
from typing import Any, Final, NamedTuple

from tests.nfs.nodes import LOCAL, REPOSITORY, SHARE, Node, NoRig, find_rig
from tests.nfs.rounds import ROUNDS, Options, Scene

BENCH_SECONDS: Final = 1800.0


class Outcome(NamedTuple):
    name: str
    passed: bool
    seconds: float
    facts: str


def main() -> int:
    options = arguments().parse_args()
    try:
        rig = find_rig()
    except NoRig as error:
        print(f"not run: {error}", file=sys.stderr)
        return 0 if options.if_possible else 2
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"seed {seed} (repeat with --seed {seed})", flush=True)
    outcomes = []
    try:
        begin(rig, options.vers)
        if options.bench:
            return benchmark(rig)
        for name in options.only or ROUNDS:
            made = Options(options.minutes, options.rounds, random.Random(f"{seed} {name}"))
            outcomes.append(run(rig, name, made))
    finally:
        rig.down()
    print(table(options.vers, outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="campaign", description=__doc__)
    parser.add_argument("--vers", default="4.2", help="NFS version: 4.2 (default), 4.1, 4.0, 3")
    parser.add_argument("--minutes", type=float, default=5, help="of the round `many` (5)")
    parser.add_argument("--rounds", type=int, default=10, help="power cuts (10)")
    parser.add_argument("--only", action="append", choices=[*ROUNDS], help="a round (repeatable)")
    parser.add_argument("--seed", type=int, help="of the moments of cuts")
    parser.add_argument("--bench", action="store_true", help="no rounds: benchmarks/shared_disk.py")
    parser.add_argument("--if-possible", action="store_true", help="without a rig: exit with 0")
    return parser


def begin(rig: Any, vers: str) -> None:
    """Boot the rig, and install the package as it would be shipped."""
    # Always the same place: the rig keeps what it installs under a name made of these words.
    folder = REPOSITORY / "dist" / "nfs"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "."]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.iterdir()
    # A client that is up before the server mounts by version 4 alone: others come afterwards.
    rig.up(vers="4.2", packages=[])
    rig.save(rig.state() | {"vers": vers})
    for name in rig.CLIENTS if vers != "4.2" else ():
        rig.kill(name)
        rig.boot(name)
    rig.install([str(wheel), f"{wheel}[server]"])
    for name in rig.CLIENTS:
        Node(rig, name).prepare()


def benchmark(rig: Any) -> int:
    """benchmarks/shared_disk.py on one node, with its share on the file server."""
    rig.put("node-a", REPOSITORY / "benchmarks", LOCAL)
    program = f"{LOCAL}/benchmarks/shared_disk.py"
    done = rig.run("node-a", f"python {program} --quick --dir {SHARE}", BENCH_SECONDS)
    print(done.stdout, done.stderr, sep="\n")
    return int(done.returncode)


def run(rig: Any, name: str, options: Options) -> Outcome:
    scene = Scene(rig, name, options)
    print(f"{name}: {(ROUNDS[name].__doc__ or '').splitlines()[0]}", flush=True)
    began = time.monotonic()
    try:
        ROUNDS[name](scene)
        scene.check()
    except (AssertionError, rig.RigError, subprocess.SubprocessError):
        traceback.print_exc()
        scene.abandon()
        return Outcome(name, False, time.monotonic() - began, str(scene.facts))
    facts = ", ".join(f"{key} {value}" for key, value in scene.facts.items())
    return Outcome(name, True, time.monotonic() - began, facts)


def table(vers: str, outcomes: list[Outcome]) -> str:
    lines = [f"| NFS {vers} | | Seconds | |", "|---|---|---|---|"]
    for name, passed, seconds, facts in outcomes:
        lines.append(f"| {name} | {'passed' if passed else 'FAILED'} | {seconds:.0f} | {facts} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""A stand-in for Slurm's srun: SLURM_NTASKS processes on SLURM_NNODES "nodes" of this machine.

A node is a host name and a cache folder of its own (STORE_HOST, STORE_CACHE). SIGTERM goes on to
every process; the greatest exit code is srun's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def main() -> int:
    tasks, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_NNODES"])
    started: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, _: object) -> None:
        for process in started:
            process.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    for task in range(tasks):
        name = f"node-{task * nodes // tasks}"
        cache = os.path.join(os.environ["TEST_CACHES"], name)
        place = {"SLURM_PROCID": str(task), "STORE_HOST": name, "STORE_CACHE": cache}
        started.append(subprocess.Popen(sys.argv[1:], env=os.environ | place))
    return max(process.wait() % 256 for process in started)


if __name__ == "__main__":
    sys.exit(main())

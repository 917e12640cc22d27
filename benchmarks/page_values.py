"""What the runs of `pages.py` hold. Peers write the same, so nothing but Python is needed here.

many      1 run, 5 metrics of 1,000,000 points each
some      1 run, 5 metrics of 100,000 points each
sweep     100 runs, 5 metrics of 1,000 points each
table     5,000 runs with config and summary
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final, NamedTuple

METRICS: Final = ("train/loss", "train/acc", "val/loss", "val/acc", "lr")


class Scale(NamedTuple):
    """Runs of one size, in a project of this name."""

    project: str
    runs: int
    steps: int


SCALES: Final = {
    scale.project: scale
    for scale in (
        Scale("many", 1, 1_000_000),
        Scale("some", 1, 100_000),
        Scale("sweep", 100, 1000),
        Scale("table", 5000, 1),
    )
}


def values_of(run: int, steps: int) -> Iterator[dict[str, float]]:
    """What a run logs at its steps 0, 1, 2 ...: the same every time."""
    noise = random.Random(run).random
    rate = 3.0 + run % 17 / 4
    for step in range(steps):
        done = step / steps
        loss = math.exp(-rate * done) + 0.08 * noise()
        yield {
            "train/loss": loss,
            "train/acc": 1 - loss * 0.8 + 0.05 * noise(),
            "val/loss": loss * 1.1 + 0.04 * noise(),
            "val/acc": 0.95 - loss * 0.8 + 0.02 * noise(),
            "lr": 1e-3 * 0.5 * (1 + math.cos(math.pi * done)),
        }

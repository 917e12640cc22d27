"""Train one member of an ensemble in each rank, and go on where the last checkpoint ended.

Every rank fits a small network to two spirals and logs each epoch into the same run, under a label
of its own (rank-0, rank-1, ...), whatever node it is on. SIGTERM ends it after the epoch that it is
in, with exit code 143; the same command then goes on with the next one.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import store

STOPPED = 128 + signal.SIGTERM


class Network:
    """One hidden layer of tanh, a sigmoid, and plain gradient descent."""

    def __init__(self, hidden: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.weights: dict[str, Any] = {
            "w1": rng.normal(0, 2, (2, hidden)),
            "b1": rng.normal(0, 1, hidden),
            "w2": rng.normal(0, 0.1, hidden),
            "b2": np.zeros(()),
        }

    def step(self, points: Any, labels: Any, lr: float) -> tuple[float, float]:
        """One step down the gradient; the loss and the accuracy before it."""
        w = self.weights
        hidden = np.tanh(points @ w["w1"] + w["b1"])
        chance = 1 / (1 + np.exp(-(hidden @ w["w2"] + w["b2"])))
        loss = -np.mean(np.log(np.where(labels == 1, chance, 1 - chance) + 1e-12))
        error = (chance - labels) / len(labels)
        back = np.outer(error, w["w2"]) * (1 - hidden**2)
        w["w2"] = w["w2"] - lr * hidden.T @ error
        w["b2"] = w["b2"] - lr * error.sum()
        w["w1"] = w["w1"] - lr * points.T @ back
        w["b1"] = w["b1"] - lr * back.sum(axis=0)
        return float(loss), float(np.mean((chance > 0.5) == labels))


def spirals(count: int, seed: int) -> tuple[Any, Any]:
    """Points (2 * count, 2) on two spirals with noise, and which spiral each belongs to."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0.5, 2.0, count) * np.pi
    arm = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1) / np.pi
    points = np.concatenate([arm, -arm]) + rng.normal(0, 0.05, (2 * count, 2))
    return points, np.repeat([0, 1], count)


def save(path: Path, network: Network, epoch: int) -> None:
    """Write the checkpoint of an epoch; the one before stays whole until this one is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".new"), "wb") as file:
        np.savez(file, epoch=epoch, **network.weights)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".new").replace(path)


def load(path: Path, network: Network) -> int:
    """The epoch to begin with: behind that of the checkpoint, if there is one."""
    if not path.exists():
        return 0
    with np.load(path) as saved:
        network.weights = {name: saved[name] for name in network.weights}
        return int(saved["epoch"]) + 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    options = parser.parse_args()
    rank = int(os.environ.get("SLURM_PROCID", "0"))

    run = store.init(project="spirals", config={"lr": options.lr, "hidden": options.hidden})
    asked: list[int] = []
    # After init(), whose own handler would leave in the middle of an epoch.
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))

    network = Network(options.hidden, seed=rank)
    points, labels = spirals(500, seed=rank)
    checkpoint = options.checkpoints / run.id / f"rank-{rank}.npz"
    for epoch in range(load(checkpoint, network), options.epochs):
        loss, accuracy = network.step(points, labels, options.lr)
        # Logged, then saved: a node that dies in between logs this epoch twice, and loses none.
        run.log({"loss": loss, "acc": accuracy}, step=epoch)
        save(checkpoint, network, epoch)
        if asked:
            run.finish(STOPPED, state="killed")
            return STOPPED
    run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Train classifiers on scikit-learn's handwritten digits and log every epoch.

python train.py --lr 0.01 --hidden 64          one run
python train.py --members 4                    one run, written by four processes at once
"""

from __future__ import annotations

import argparse
import multiprocessing
import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import store


def load() -> tuple[Any, ...]:
    """Training pixels, test pixels, training digits, test digits."""
    pixels, digits = load_digits(return_X_y=True)
    return tuple(train_test_split(pixels / 16.0, digits, test_size=0.25, random_state=0))


def train(run: store.Run, lr: float, hidden: int, epochs: int, seed: int = 0) -> float:
    """Log loss and accuracy of each epoch; gives the last validation accuracy."""
    x_train, x_test, y_train, y_test = load()
    model: Any = MLPClassifier(hidden, learning_rate_init=lr, random_state=seed)
    shuffle = np.random.default_rng(seed)
    accuracy = 0.0
    for epoch in range(epochs):
        order = shuffle.permutation(len(x_train))
        model.partial_fit(x_train[order], y_train[order], classes=np.arange(10))
        accuracy = model.score(x_test, y_test)
        run.log(
            {
                "train": {"loss": model.loss_, "acc": model.score(x_train, y_train)},
                "val": {"loss": log_loss(y_test, model.predict_proba(x_test)), "acc": accuracy},
                "epoch": epoch,
            }
        )
    return accuracy


def train_member(run_id: str, member: int, options: argparse.Namespace) -> None:
    """One process of a run that several processes write."""
    settings = store.Settings(label=f"member-{member}", silent=True)
    with store.init(project="digits", id=run_id, settings=settings) as run:
        train(run, options.lr, options.hidden, options.epochs, seed=member)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--members", type=int, default=0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")

    job = "ensemble" if options.members else "single"
    with store.init(project="digits", config=options, job_type=job, tags=["demo"]) as run:
        run.define_metric("val/acc", summary="max")
        if not options.members:
            train(run, options.lr, options.hidden, options.epochs)
            return
        context = multiprocessing.get_context("spawn")
        members = [
            context.Process(target=train_member, args=(run.id, n, options))
            for n in range(options.members)
        ]
        for member in members:
            member.start()
        for member in members:
            member.join()


if __name__ == "__main__":
    main()

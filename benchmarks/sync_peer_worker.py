"""What a peer's own environment runs for `sync_peers`: `wandb` logs offline, `mlflow` sends.

Arguments: the peer, and a JSON job with rows (file of one JSON object a line), folder, url, answer
(file that gets the CPU seconds of sending, where this process does it).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

POINTS_AT_ONCE: Final = 1000
"""That many mlflow takes in one log_batch."""


def log_wandb(rows: list[dict[str, float]], job: dict[str, Any]) -> None:
    """Log rows into a run that is to be synced."""
    import wandb

    settings = wandb.Settings(console="off", silent=True, x_disable_stats=True)
    run = wandb.init(project="bench", mode="offline", dir=job["folder"], settings=settings)
    for row in rows:
        run.log(row)
    run.finish()


def send_mlflow(rows: list[dict[str, float]], job: dict[str, Any]) -> None:
    """Send rows by log_batch, as many at once as it takes."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(job["url"])
    run = client.create_run(client.create_experiment(f"bench-{time.time_ns()}")).info.run_id
    began, step = time.process_time(), POINTS_AT_ONCE // len(rows[0])
    for first in range(0, len(rows), step):
        moment = int(time.time() * 1e3)
        metrics = [
            Metric(name, value, moment, first + place)
            for place, row in enumerate(rows[first : first + step])
            for name, value in row.items()
        ]
        client.log_batch(run, metrics=metrics)
    Path(job["answer"]).write_text(json.dumps(time.process_time() - began))


def main() -> None:
    """Do what the job says."""
    job = json.loads(sys.argv[2])
    rows = [json.loads(line) for line in Path(job["rows"]).read_text().splitlines()]
    {"wandb": log_wandb, "mlflow": send_mlflow}[sys.argv[1]](rows, job)


if __name__ == "__main__":
    main()

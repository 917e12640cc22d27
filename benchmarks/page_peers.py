"""The peers' pages showing the same runs as ours. Run by the peer's own interpreter to write them:

    .venvs/PEER/bin/python benchmarks/page_peers.py PEER FOLDER SCALE

prints the address, below its server, of the page with the charts of the run or runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from page_values import SCALES, Scale, values_of
from peers import VERSIONS

BATCH: Final = 1000
"""Metrics that mlflow takes in one request."""


class Pages(NamedTuple):
    """How a peer is started, with the arguments of its interpreter, and how it is called."""

    name: str
    serve: Callable[[Path, int], list[str]]
    variables: Callable[[Path, int], dict[str, str]] = lambda _folder, _port: {}


def write_tensorboard(folder: Path, scale: Scale) -> str:
    from tensorboardX import SummaryWriter

    for run in range(scale.runs):
        writer = SummaryWriter(logdir=str(folder / f"run-{run:04}"), max_queue=1000)
        for step, values in enumerate(values_of(run, scale.steps)):
            for key, value in values.items():
                writer.add_scalar(key, value, step)
        writer.close()
    return "/#timeseries"


def write_mlflow(folder: Path, scale: Scale) -> str:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment(scale.project)
    runs = []
    for number in range(scale.runs):
        run = client.create_run(experiment).info.run_id
        runs.append(run)
        metrics: list[Any] = []
        for step, values in enumerate(values_of(number, scale.steps)):
            metrics += [Metric(key, value, step, step) for key, value in values.items()]
            if len(metrics) >= BATCH:
                client.log_batch(run, metrics=metrics[:BATCH])
                del metrics[:BATCH]
        client.log_batch(run, metrics=metrics)
        client.set_terminated(run)
    if len(runs) == 1:
        return f"/#/experiments/{experiment}/runs/{runs[0]}/model-metrics"
    return f"/#/experiments/{experiment}?compareRunsMode=CHART"


def write_aim(folder: Path, scale: Scale) -> str:
    from aim import Run

    address = ""
    for number in range(scale.runs):
        run = Run(repo=str(folder), experiment=scale.project, system_tracking_interval=None)
        for step, values in enumerate(values_of(number, scale.steps)):
            for key, value in values.items():
                run.track(value, name=key, step=step)
        address = f"/runs/{run.hash}/metrics"
        run.close()
    return address


def write_trackio(_folder: Path, scale: Scale) -> str:
    import trackio

    for number in range(scale.runs):
        trackio.init(project=scale.project, name=f"run-{number:04}")
        for values in values_of(number, scale.steps):
            trackio.log(values)
        trackio.finish()
    return f"/?project={scale.project}"


WRITE: Final = {
    "tensorboardX": write_tensorboard,
    "mlflow": write_mlflow,
    "aim": write_aim,
    "trackio": write_trackio,
}
_TRACKIO: Final = (
    "import trackio; trackio.show(project={!r}, open_browser=False, block_thread=True)"
)
PEERS: Final = {
    "tensorboardX": Pages(
        "tensorboard 2.20.0",
        lambda folder, port: [
            *("-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)),
            *("--host", "127.0.0.1", "--samples_per_plugin", "scalars=1000"),
        ],
    ),
    "mlflow": Pages(
        f"mlflow {VERSIONS['mlflow']}",
        lambda folder, port: [
            *("-m", "mlflow", "ui", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
            *("--port", str(port), "--workers", "1"),
        ],
    ),
    "aim": Pages(
        f"aim {VERSIONS['aim']}",
        lambda folder, port: [
            *("-c", "from aim.cli.cli import cli_entry_point; cli_entry_point()"),
            *("up", "--repo", str(folder), "--port", str(port), "--host", "127.0.0.1"),
        ],
    ),
    "trackio": Pages(
        f"trackio {VERSIONS['trackio']}",
        lambda folder, _: ["-c", _TRACKIO.format(folder.name)],
        lambda folder, port: {"TRACKIO_DIR": str(folder), "GRADIO_SERVER_PORT": str(port)},
    ),
}


def main() -> int:
    peer, folder, scale = sys.argv[1:]
    address = WRITE[peer](Path(folder), SCALES[scale])
    Path(folder, "address.json").write_text(json.dumps(address))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What can be measured: this tracker, bare floors, and the peers, behind one small interface.

A target is made with a fresh folder and the settings of the job, logs rows one call at a time,
and is finished. Everything is imported on use: a target runs in the environment that has it.
Peers run offline, without system metrics and console capture, and otherwise as they ship.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast
from zlib import crc32

Log = Callable[[dict[str, Any]], object]


class Target:
    """`log` is the call that is measured; `finish` returns when the target says it is done."""

    log: Log

    def finish(self) -> None:
        """End the run."""


class StoreTarget(Target):
    """Runstore. `settings` go to store.init as they are."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import store

        quiet = {"silent": True, "git": False, "console": "off"}
        self.run = store.init(project="bench", dir=folder / "store", settings=quiet | {**settings})
        self.log = self.run.log

    def finish(self) -> None:
        self.run.finish()


class PackedFloor(Target):
    """msgpack and one write a row; with `framed` a header of length and crc before it."""

    def __init__(self, folder: Path, *, framed: bool) -> None:
        import msgpack

        self._fd = os.open(folder / "rows.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        packb: Callable[[object], bytes] = cast("Any", msgpack.packb)
        fd, write, header = self._fd, os.write, struct.Struct("<II").pack

        def log(row: dict[str, Any]) -> None:
            write(fd, packb(row))

        def log_framed(row: dict[str, Any]) -> None:
            packed = packb(row)
            write(fd, header(len(packed), crc32(packed)) + packed)

        self.log = log_framed if framed else log

    def finish(self) -> None:
        os.close(self._fd)


class SqliteFloor(Target):
    """A commit a row: the row as JSON into one table, WAL, synchronous=NORMAL."""

    def __init__(self, folder: Path) -> None:
        import json

        self._db = sqlite3.connect(folder / "rows.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("CREATE TABLE row(step INTEGER PRIMARY KEY, data TEXT NOT NULL)")
        execute, dumps = self._db.execute, json.dumps
        insert = "INSERT INTO row(data) VALUES(?)"

        def log(row: dict[str, Any]) -> None:
            execute(insert, (dumps(row),))

        self.log = log

    def finish(self) -> None:
        self._db.close()


class Wandb(Target):
    """wandb, mode "offline"."""

    def __init__(self, folder: Path) -> None:
        import wandb

        settings = wandb.Settings(console="off", silent=True, x_disable_stats=True)
        self.run = wandb.init(project="bench", mode="offline", dir=str(folder), settings=settings)
        self.log = self.run.log

    def finish(self) -> None:
        self.run.finish()


class Trackio(Target):
    """trackio, which is local as it ships; its files lie in the worker's own XDG_CACHE_HOME."""

    def __init__(self, folder: Path) -> None:  # noqa: ARG002
        import trackio

        self._trackio = trackio
        trackio.init(project="bench", embed=False, auto_log_gpu=False)
        self.log = trackio.log

    def finish(self) -> None:
        self._trackio.finish()


class Swanlab(Target):
    """swanlab, mode "offline"."""

    def __init__(self, folder: Path) -> None:
        import swanlab

        self._swanlab = swanlab
        swanlab.init(project="bench", mode="offline", logdir=str(folder / "swanlog"))
        self.log = swanlab.log

    def finish(self) -> None:
        self._swanlab.finish()


class TensorboardX(Target):
    """tensorboardX: a scalar a call, so ten calls a row."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "events"))
        add, self._step = self._writer.add_scalar, 0

        def log(row: dict[str, Any]) -> None:
            step = self._step
            for name, value in row.items():
                add(name, value, step)
            self._step = step + 1

        self.log = log

    def finish(self) -> None:
        self._writer.close()


class Neptune(Target):
    """neptune-scale, mode "offline"."""

    def __init__(self, folder: Path) -> None:
        from neptune_scale import Run

        self.run = Run(
            project="bench/bench",
            run_id="bench",
            mode="offline",
            log_directory=str(folder / "neptune"),
            enable_console_log_capture=False,
        )
        log_metrics, self._step = self.run.log_metrics, 0

        def log(row: dict[str, Any]) -> None:
            log_metrics(row, step=self._step)
            self._step += 1

        self.log = log

    def finish(self) -> None:
        self.run.close()


class Aim(Target):
    """aim, a local repository."""

    def __init__(self, folder: Path) -> None:
        from aim import Run

        self.run = Run(
            repo=str(folder),
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )
        track, self._step = self.run.track, 0

        def log(row: dict[str, Any]) -> None:
            track(row, step=self._step)
            self._step += 1

        self.log = log

    def finish(self) -> None:
        self.run.close()


class Mlflow(Target):
    """mlflow, its SQLite backend in this process."""

    def __init__(self, folder: Path) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        mlflow.set_experiment("bench")
        mlflow.start_run()
        log_metrics, self._step = mlflow.log_metrics, 0

        def log(row: dict[str, Any]) -> None:
            log_metrics(row, step=self._step)
            self._step += 1

        self.log = log

    def finish(self) -> None:
        self._mlflow.end_run()


PEERS: Final[Mapping[str, Callable[[Path], Target]]] = {
    "wandb": Wandb,
    "trackio": Trackio,
    "swanlab": Swanlab,
    "tensorboardX": TensorboardX,
    "neptune-scale": Neptune,
    "aim": Aim,
    "mlflow": Mlflow,
}
MODULES: Final = {"tensorboardX": "tensorboardX", "neptune-scale": "neptune_scale"}
"""Names to import where they differ from the distribution's."""


def open_target(name: str, folder: Path, settings: Mapping[str, Any]) -> Target:
    """Make a target: store, msgpack, msgpack-crc, sqlite, or a peer. KeyError: none of these."""
    if name == "store":
        return StoreTarget(folder, settings)
    if name in ("msgpack", "msgpack-crc"):
        return PackedFloor(folder, framed=name == "msgpack-crc")
    if name == "sqlite":
        return SqliteFloor(folder)
    return PEERS[name](folder)

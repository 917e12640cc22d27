"""How busy this process and its machine are, for the charts under `system/`.

Imported late, by the thread that samples: psutil is in here. What cannot be read is left out.
psutil's counters are read without its memory of them (`nowrap`), which a lock guards that a fork
would copy as it is; a counter that begins anew counts as none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic, process_time
from typing import Final, Self

import psutil

from store.api.gpus import FOREIGN_FAILURES, Gpus
from store.row import SYSTEM

Reading = Callable[[], dict[str, float]]
_FAILURES: Final = (*FOREIGN_FAILURES, psutil.Error)


class Sampler:
    """Looks at the process and, with `whole_machine`, at the machine. To be used with `with`."""

    def __init__(self, folder: Path, *, whole_machine: bool) -> None:
        """`folder` is on the disk whose free room counts. Rates count from here."""
        self._gpus = Gpus() if whole_machine else None
        self._levels: list[Reading] = [_process]
        self._counters: list[Reading] = [lambda: {"process/cpu": 100 * process_time()}]
        if self._gpus is not None:
            self._levels += [_cpu, _memory, partial(_room, str(folder)), self._gpus.load]
            self._counters += [_disk, _network]
        self._at = monotonic()
        self._before = _read(self._counters)
        _read(self._levels)  # psutil's percentages count from their call before

    def sample(self) -> dict[str, float]:
        """The metrics by name. Percentages of all cores and, of the process, of one; bytes; bytes
        a second since the sample before; degrees Celsius; watts."""
        now, counters = monotonic(), _read(self._counters)
        seconds = now - self._at
        found = _read(self._levels)
        for key, value in counters.items():
            if key in self._before and seconds > 0:
                found[key] = max(0.0, value - self._before[key]) / seconds
        self._at, self._before = now, counters
        return {f"{SYSTEM}{key}": value for key, value in sorted(found.items())}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._gpus is not None:
            self._gpus.close()


def _read(readings: list[Reading]) -> dict[str, float]:
    found: dict[str, float] = {}
    for read in readings:
        with suppress(*_FAILURES):
            found |= read()
    return found


def _process() -> dict[str, float]:
    process = psutil.Process()
    return {
        "process/memory": process.memory_info().rss,
        "process/threads": process.num_threads(),
    }


def _cpu() -> dict[str, float]:
    return {"cpu": psutil.cpu_percent()}


def _memory() -> dict[str, float]:
    return {"memory": psutil.virtual_memory().used}


def _room(folder: str) -> dict[str, float]:
    return {"disk/free": psutil.disk_usage(folder).free}


def _disk() -> dict[str, float]:
    found = psutil.disk_io_counters(nowrap=False)
    return {} if found is None else {"disk/read": found.read_bytes, "disk/write": found.write_bytes}


def _network() -> dict[str, float]:
    """All interfaces but the loopback."""
    found = psutil.net_io_counters(pernic=True, nowrap=False)
    outside = [counts for name, counts in found.items() if not name.lower().startswith("lo")]
    return {
        "net/sent": sum(counts.bytes_sent for counts in outside),
        "net/received": sum(counts.bytes_recv for counts in outside),
    }

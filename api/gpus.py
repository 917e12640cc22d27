"""GPUs, as NVIDIA's management library (NVML) sees them.

Nothing in here raises: without the library, its driver or a device there are no GPUs, and what a
device does not tell is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self

from store.locks import no_fork

# What a library of another maker does when its driver, its files or its versions do not fit.
FOREIGN_FAILURES: Final = (
    *(ImportError, OSError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    Warning,
)


class Gpus:
    """The GPUs of this machine. Close it, or use `with`."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._failures: tuple[type[BaseException], ...] = FOREIGN_FAILURES
        self._devices: list[Any] = []
        with suppress(*FOREIGN_FAILURES):
            with no_fork:
                import pynvml
            self._failures = (*FOREIGN_FAILURES, pynvml.NVMLError)
            self._open(pynvml)

    def _open(self, nvml: Any) -> None:
        with suppress(*self._failures):
            nvml.nvmlInit()
            self._nvml = nvml
            for index in range(nvml.nvmlDeviceGetCount()):
                self._devices.append(nvml.nvmlDeviceGetHandleByIndex(index))

    def describe(self) -> list[dict[str, object]]:
        """Name and memory (bytes; None of one that shares the machine's) of each GPU."""
        found: list[dict[str, object]] = []
        for device in self._devices:
            with suppress(*self._failures):
                name = self._nvml.nvmlDeviceGetName(device)
                text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
                found.append({"name": text, "memory": None})
                found[-1]["memory"] = int(self._nvml.nvmlDeviceGetMemoryInfo(device).total)
        return found

    def load(self) -> dict[str, float]:
        """`gpu/<number>/utilization` in percent, `/memory` in bytes, `/temperature` in degrees
        Celsius and `/power` in watts of each GPU."""
        nvml = self._nvml
        readings: dict[str, Callable[[Any], float]] = {
            "utilization": lambda device: nvml.nvmlDeviceGetUtilizationRates(device).gpu,
            "memory": lambda device: nvml.nvmlDeviceGetMemoryInfo(device).used,
            "temperature": lambda device: nvml.nvmlDeviceGetTemperature(
                device, nvml.NVML_TEMPERATURE_GPU
            ),
            "power": lambda device: nvml.nvmlDeviceGetPowerUsage(device) / 1000,
        }
        found = {}
        for number, device in enumerate(self._devices):
            for name, read in readings.items():
                with suppress(*self._failures):
                    found[f"gpu/{number}/{name}"] = read(device)
        return found

    def close(self) -> None:
        if self._nvml is not None:
            with suppress(*self._failures):
                self._nvml.nvmlShutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

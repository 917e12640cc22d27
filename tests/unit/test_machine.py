"""Facts about the machine and the installed packages."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from store.api.machine import machine, packages


def test_machine_has_the_usual_facts() -> None:
    facts = machine()

    assert facts["host"] == platform.node()
    assert facts["pid"] == os.getpid()
    assert facts["python"] == platform.python_version()
    assert facts["executable"] == sys.executable
    assert facts["cpu_count"] == os.cpu_count()
    assert isinstance(facts["memory"], int)
    assert facts["memory"] > 2**20
    assert {"user", "os", "platform", "implementation", "cpu", "gpus"} <= set(facts)
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize("missing", ["psutil", "pynvml"])
def test_machine_without_a_library(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)

    facts = machine()

    assert facts["pid"] == os.getpid()
    assert ("memory" in facts) == (missing != "psutil")


class NVMLError(Exception):
    """As in NVIDIA's library: no relative of any other error."""


def _library(*, count: int = 1, fails: str = "") -> ModuleType:
    """A stand-in for NVIDIA's library, which needs its hardware."""

    def call(name: str, value: object) -> object:
        def function(*_: object) -> object:
            if name == fails:
                raise NVMLError(name)
            return value

        return function

    library = ModuleType("pynvml")
    answers = {
        "nvmlInit": None,
        "nvmlShutdown": None,
        "nvmlDeviceGetCount": count,
        "nvmlDeviceGetHandleByIndex": object(),
        "nvmlDeviceGetName": b"A100 \xff",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=2**36),
    }
    vars(library).update({name: call(name, value) for name, value in answers.items()})
    vars(library)["NVMLError"] = NVMLError
    return library


@pytest.mark.parametrize(
    ("fails", "gpus"),
    [
        ("", [{"name": "A100 \ufffd", "memory": 2**36}] * 2),
        ("nvmlInit", []),
        ("nvmlShutdown", [{"name": "A100 \ufffd", "memory": 2**36}] * 2),
        ("nvmlDeviceGetCount", []),
        ("nvmlDeviceGetName", []),
        ("nvmlDeviceGetMemoryInfo", [{"name": "A100 \ufffd", "memory": None}] * 2),
    ],
)
def test_gpus(monkeypatch: pytest.MonkeyPatch, fails: str, gpus: list[object]) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _library(count=2, fails=fails))

    assert machine()["gpus"] == gpus


def test_container_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/train.sif")

    assert machine()["container"] == "apptainer"


def test_packages_are_sorted_and_have_their_versions() -> None:
    found = packages()

    assert list(found) == sorted(found)
    assert found["msgpack"] == version("msgpack")
    assert found["pytest"] == version("pytest")


def _distribution(folder: Path, name: str, metadata: bytes | None) -> None:
    path = folder / f"{name}.dist-info"
    path.mkdir(parents=True)
    if metadata is not None:
        (path / "METADATA").write_bytes(metadata)


def test_packages_with_broken_metadata_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = b"Metadata-Version: 2.1\r\nName: good\r\nVersion: 1.0\r\n\r\nName: a text\r\n"
    _distribution(tmp_path, "good-1.0", good)
    _distribution(tmp_path, "empty-1.0", b"")
    _distribution(tmp_path, "missing-1.0", None)
    _distribution(tmp_path, "bytes-1.0", b"Name: bytes\xff\nVersion: 1\xfe\n")
    _distribution(tmp_path, "nameless-1.0", b"Version: 1.0\n\nName: only in the text\n")
    _distribution(tmp_path, "folder-1.0", None)
    (tmp_path / "folder-1.0.dist-info" / "METADATA").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    assert packages() == {"good": "1.0"}


def test_package_found_twice_is_the_one_that_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path / "first", "My_Tool-2.0", b"Name: My_Tool\nVersion: 2.0\n")
    _distribution(tmp_path / "second", "my.tool-1.0", b"Name: my.tool\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])

    assert packages() == {"My_Tool": "2.0"}

"""Facts about the machine and the interpreter that a run is made on.

Every fact is optional: what cannot be found out is left out, nothing here raises.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from store.api.gpus import FOREIGN_FAILURES, Gpus

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_CONTAINER_FILES: Final = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"))
_CONTAINER_VARIABLES: Final = (
    ("APPTAINER_CONTAINER", "apptainer"),
    ("SINGULARITY_CONTAINER", "singularity"),
    ("KUBERNETES_SERVICE_HOST", "kubernetes"),
)


def machine() -> dict[str, object]:
    """The machine, as JSON values.

    host, user, os, platform, python (version), implementation, executable: str; pid, cpu_count
    (logical), cpu_count_physical, cpu_count_usable (by this process), memory (bytes): int;
    cpu: the model's name; gpus: a list of {name, memory (bytes)}; container: a hint, if any.
    """
    with Gpus() as found:
        gpus = found.describe()
    facts: dict[str, object | None] = {
        "host": platform.node(),
        "user": _user(),
        "os": platform.system(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "pid": os.getpid(),
        **_processor(),
        "gpus": gpus,
        "container": _container(),
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, "")}


def packages() -> dict[str, str]:
    """Installed distributions, name -> version, sorted by name; of two equal names the one that
    would be imported. Those with broken metadata are left out."""
    from importlib.metadata import distributions

    found: dict[str, str] = {}
    seen: set[str] = set()
    for distribution in distributions():
        name, version = _name_and_version(distribution)
        key = name.lower().replace("_", "-").replace(".", "-")
        if name and version and key not in seen:
            seen.add(key)
            found[name] = version
    return dict(sorted(found.items()))


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    # Not `distribution.metadata`: its parser reads the whole description, 20 times the work.
    fields = {"name": "", "version": ""}
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except (OSError, ValueError, LookupError):
        return "", ""
    for line in _header_lines(text):
        field, _, value = line.partition(":")
        if (field := field.lower()) in fields and not fields[field]:
            fields[field] = value.strip()
            if all(fields.values()):
                break
    return fields["name"], fields["version"]


def _header_lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else len(text)].rstrip("\r")
        if not line:
            return
        yield line
        start = end + 1 if end >= 0 else len(text)


def _user() -> str | None:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, LookupError, ImportError):
        # A container may run under a user id that has no name.
        return str(os.getuid()) if hasattr(os, "getuid") else None


def _processor() -> dict[str, object | None]:
    facts: dict[str, object | None] = {
        "cpu_count": os.cpu_count(),
        "cpu_count_usable": _usable_cpus(),
        "cpu": _processor_model(),
    }
    with suppress(*FOREIGN_FAILURES):
        import psutil

        facts["cpu_count_physical"] = psutil.cpu_count(logical=False)
        facts["memory"] = psutil.virtual_memory().total
    return facts


def _usable_cpus() -> int | None:
    if not hasattr(os, "sched_getaffinity"):
        return None
    with suppress(OSError):
        return len(os.sched_getaffinity(0))
    return None


def _processor_model() -> str | None:
    system = platform.system()
    if system == "Linux":
        model = _linux_model()
    elif system == "Darwin":
        model = _darwin_model()
    else:
        model = os.environ.get("PROCESSOR_IDENTIFIER")
    return model or platform.machine()


def _linux_model() -> str | None:
    with (
        suppress(OSError),
        open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines,
    ):
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() in {"model name", "Model", "cpu model"}:
                return value.strip()
    return None


def _darwin_model() -> str | None:
    import subprocess

    try:
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode("utf-8", "replace").strip() or None


def _container() -> str | None:
    for name, hint in _CONTAINER_VARIABLES:
        if os.environ.get(name):
            return hint
    for path, hint in _CONTAINER_FILES:
        if os.path.exists(path):
            return hint
    return os.environ.get("container") or None  # noqa: SIM112 (systemd's and podman's spelling)

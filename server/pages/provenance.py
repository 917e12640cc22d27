"""Where a run comes from, as the overview shows it: git, command, machine, the lines of the diff.

Attributes are what a client sent, so nothing is taken to be of the type that it should be.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

_SCP: Final = re.compile(r"(?:[\w.~-]+@)?([A-Za-z0-9.-]+):(?!//)/?([^\s?#]+)")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_COMMITS: Final = {"gitlab": "/-/commit/", "bitbucket": "/commits/"}
DIFF_LINES: Final = 20_000


class Git(NamedTuple):
    """The state of the repository; `page` is the commit's web page."""

    commit: str | None
    branch: str | None
    remote: str | None
    error: str | None
    diff: str
    page: str | None
    untracked: int
    is_dirty: bool


class Machine(NamedTuple):
    """(name, value) of what is known in words, and bytes of memory."""

    facts: list[tuple[str, str]]
    memory: float | None


_MACHINE: Final = {
    "host": "Host",
    "user": "User",
    "platform": "System",
    "python": "Python",
    "cpu": "CPU",
}


def git_of(attributes: Mapping[str, Any]) -> Git | None:
    """The git state, if there is one."""
    found = mapping(attributes.get("git"))
    if not found:
        return None
    untracked = found.get("untracked")
    return Git(
        commit=_text(found.get("commit")),
        branch=_text(found.get("branch")),
        remote=_text(found.get("remote")),
        error=_text(found.get("error")),
        diff=_text(found.get("diff")) or "",
        page=commit_page(found),
        untracked=len(untracked) if isinstance(untracked, list) else 0,
        is_dirty=bool(found.get("dirty")),
    )


def machine_of(attributes: Mapping[str, Any]) -> Machine | None:
    """The machine, if it is known."""
    found = mapping(attributes.get("machine"))
    facts = [(title, str(found[name])) for name, title in _MACHINE.items() if found.get(name)]
    gpus = found.get("gpus")
    for gpu in gpus if isinstance(gpus, list) else []:
        facts.append(("GPU", str(mapping(gpu).get("name") or gpu)))
    memory = found.get("memory")
    is_size = isinstance(memory, int | float) and memory > 0
    return Machine(facts, memory if is_size else None) if facts else None


def command_of(attributes: Mapping[str, Any]) -> tuple[str, str]:
    """The command line and the folder it was given in; empty where not known."""
    found = mapping(attributes.get("command"))
    command = found.get("command")
    line = shlex.join(map(str, command)) if isinstance(command, list) else ""
    return line, _text(found.get("cwd")) or ""


def mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is one; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


class DiffLine(NamedTuple):
    """A line of a diff; `kind` is file, hunk, add, del or nothing."""

    kind: str
    text: str


def remote_page(remote: object) -> str | None:
    """The web page of a git remote, as http(s); None where it has none that could be known."""
    if not isinstance(remote, str):
        return None
    parts = urlsplit(remote) if "://" in remote else None
    if parts is None:
        found = _SCP.fullmatch(remote)
        if found is None:
            return None
        scheme, host, path = "https", found[1], found[2]
    elif parts.scheme in ("http", "https"):
        scheme, host, path = parts.scheme, parts.netloc.rpartition("@")[2], parts.path
    elif parts.scheme in ("ssh", "git", "git+ssh"):
        scheme, host, path = "https", parts.hostname or "", parts.path
    else:
        return None
    path = path.strip("/").removesuffix(".git")
    if not path or not _HOST.fullmatch(host) or "." not in host:
        return None
    return f"{scheme}://{host}/{quote(path, safe='/~+@%')}"


def commit_page(git: Mapping[str, Any]) -> str | None:
    """The web page of a run's commit."""
    page, commit = remote_page(git.get("remote")), git.get("commit")
    if page is None or not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        return None
    host = page.split("/")[2]
    way = next((way for name, way in _COMMITS.items() if name in host), "/commit/")
    return f"{page}{way}{commit}"


def diff_lines(diff: str) -> Iterator[DiffLine]:
    """The lines of a diff, the first DIFF_LINES."""
    is_head = True
    for line in diff.split("\n")[:DIFF_LINES]:
        if line.startswith("diff --git "):
            is_head = True
            yield DiffLine("file", line)
        elif line.startswith("@@"):
            is_head = False
            yield DiffLine("hunk", line)
        elif is_head or not line:
            yield DiffLine("", line)
        else:
            yield DiffLine({"+": "add", "-": "del"}.get(line[0], ""), line)

"""Where a run comes from, for people: its command, its commit and its machine in a line each.

Each takes what provenance has kept, and whatever else may stand in a run of others in its place.
"""

from __future__ import annotations

import shlex
from typing import Final

from store.api.shell import plural
from store.api.text import format_size

SHORT: Final = 12
"""Digits of a commit or hash that tell it apart for people."""


def command_text(said: object) -> str:
    if not isinstance(said, dict):
        return str(said or "")
    words = said.get("command")
    text = shlex.join(map(str, words)) if isinstance(words, list) else str(words or "")
    folder = said.get("cwd")
    return f"{text}  (in {folder})" if text and folder else text


def git_text(said: object) -> str:
    if not isinstance(said, dict):
        return ""
    commit = said.get("commit")
    parts = [f"commit {str(commit)[:SHORT]}" if commit else "no commit yet"]
    if said.get("branch"):
        parts.append(f"on {said['branch']}")
    text = " ".join(parts)
    changes = ["with local changes"] if said.get("dirty") else []
    untracked = said.get("untracked")
    if isinstance(untracked, list) and untracked:
        changes.append(plural(len(untracked), "untracked file"))
    if said.get("remote"):
        changes.append(str(said["remote"]))
    return ", ".join([text, *changes])


def machine_text(said: object) -> str:
    if not isinstance(said, dict):
        return ""
    gpus = said.get("gpus")
    names = (
        [g.get("name", "GPU") if isinstance(g, dict) else str(g) for g in gpus or ()]
        if (isinstance(gpus, list))
        else []
    )
    memory = said.get("memory")
    parts = [
        said.get("host"),
        said.get("cpu"),
        f"{said['cpu_count']} CPUs" if said.get("cpu_count") else None,
        format_size(memory) if isinstance(memory, int | float) else None,
        *[f"{names.count(name)} x {name}" for name in dict.fromkeys(map(str, names))],
        said.get("os"),
        f"Python {said['python']}" if said.get("python") else None,
    ]
    return ", ".join(str(part) for part in parts if part)

"""docs/cli.md tells of every command, and what it shows is what happens."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from store.api.cli import COMMANDS, cli
from tests.cli.program import call
from tests.helpers import run_script
from tests.servers import RunningServer, make_key, running_server

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SERVER = "https://runs.example.org"
SHOWN_KEY = "st-31f72170"
UNSTABLE = re.compile(r"[0-9.,]+( [kM]?B| [smh]\b)?|-{2,}|\S*(/|node1)\S*|\s+")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    assert f"\n## store {name}\n" in TEXT
    assert re.search(rf"^\$ (.*\| )?store {name}\b", TEXT, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_and_every_command_ends_with_an_example(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
    *_, about, example = call(name, "--help").stdout.rstrip("\n").splitlines()
    assert about.startswith("  Example: ")
    assert example.startswith(f"    store {name} ")


def transcripts() -> list[tuple[str, list[str]]]:
    """The commands of the page, each with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def stable(lines: list[str]) -> list[list[str]]:
    """The words of lines, without what differs from one machine and moment to another."""
    return [(line if line == "..." else UNSTABLE.sub(" ", line)).split() for line in lines]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


def test_what_the_page_shows_is_what_happens(tmp_path: Path, server: RunningServer) -> None:
    key = make_key(server, "ann")
    (tmp_path / "key.txt").write_text(f"{key}\n")
    (script,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    run_script(script, tmp_path)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "store"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m store "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    for command, expected in transcripts():
        done = subprocess.run(
            ["sh", "-c", command.replace(SERVER, server.url)],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": path,
                "COLUMNS": "80",
                "STORE_SERVER_DATA": os.fspath(server.data),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        told = stable(expected)
        said = done.stdout.replace(platform.node(), "node1").replace(key[:11], SHOWN_KEY)
        shown = stable(said.replace(server.url, SERVER).splitlines())
        if told[-1:] == [["..."]]:
            told, shown = told[:-1], shown[: len(told) - 1]
        if command == "store show mlp-2":  # what it says of the machine differs
            told, shown = [words[:1] for words in told], [words[:1] for words in shown]
        assert shown == told, f"{command}\n{done.stdout}"

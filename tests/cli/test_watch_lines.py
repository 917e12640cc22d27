"""`store watch` as a command: lines where there is no terminal, and the start and end on one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store.row import Kind
from tests.cli.program import call, environment, make_run, program
from tests.cli.watching import Writer

COLOUR = re.compile(rb"\x1b\[[0-9;]*?(?:3[0-7]|9[0-7]|4[0-7]|38|48)[0-9;:]*m")
ALTERNATE_ON, ALTERNATE_OFF = b"\x1b[?1049h", b"\x1b[?1049l"


def test_lines_follow_a_run_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / ".store"
    writer = Writer(path, "live1")
    writer.log(5)
    watching = subprocess.Popen(
        program("--store", path, "watch", "live1", "--interval", "0.1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith("live1  running  step 4  loss 0.2  acc 0.04")
    writer.log(5)
    while "step 9" not in watching.stdout.readline():
        assert watching.poll() is None
    writer.finish()
    rest, said = watching.communicate(timeout=60)
    assert (watching.returncode, said) == (0, "")
    assert re.match(
        r"live1  finished  step 9  loss 0.1  acc 0.09  \d+ rows$", rest.splitlines()[-1]
    )


def test_once_tells_of_every_run_that_is_running_or_else_of_the_latest(tmp_path: Path) -> None:
    path = tmp_path / ".store"
    make_run(path, "r1", 1, name="sun")
    make_run(path, "r2", 2, name="moon", loss=0.25)
    result = call("--store", path, "watch", "--once")
    assert result.stdout == "moon  finished  step 1  loss 0.25  7 rows\n"
    first, second = Writer(path, "live1"), Writer(path, "live2")
    lines = call("--store", path, "watch", "--once").stdout.splitlines()
    assert sorted(line[:14] for line in lines) == ["live1  running", "live2  running"]
    for writer in (first, second):
        writer.finish()
    assert call("--store", path, "watch", "nope").exit_code == 1


def test_a_line_says_what_is_unsent_and_is_harmless(tmp_path: Path) -> None:
    path = tmp_path / ".store"
    said = [(Kind.METRIC, 2, {"\x1b[2J\u202ekey": float("nan"), "k" * 10_000: 3.0})]
    make_run(path, "r1", 1, name="\x1b[31msun\n", said=said)
    assert call("--store", path, "config", "url", "https://runs.example.org", "--project")
    (line,) = call("--store", path, "watch", "r1", "--once").stdout.splitlines()
    assert line.startswith(r"\x1b[31msun\n  finished  step 2  loss 0.5  \x1b[2J\u202ekey NaN  kkk")
    assert line.endswith("  8 rows  8 unsent")
    assert len(line) < 400


def test_a_store_without_a_run_ends_at_once(tmp_path: Path) -> None:
    from store.paths import create_store

    path = create_store(tmp_path / ".store").path
    result = call("--store", path, "watch")
    assert (result.exit_code, result.stdout) == (0, "")
    assert call("--store", tmp_path / "none", "watch").exit_code == 1


@contextmanager
def on_terminal(
    words: list[str], variables: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command on a terminal of its own; gives the terminal's other end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        words,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm-256color", COLORTERM="truecolor", **variables),
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, wanted: bytes = b"") -> bytes:
    """What the terminal gets until `wanted` has come, or until its end."""
    got = b""
    end = time.monotonic() + 30
    while not wanted or wanted not in got:
        assert select.select([terminal], [], [], end - time.monotonic())[0], got
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other end was closed (Linux)
            part = b""
        if not part:
            assert not wanted, got
            break
        got += part
    return got


@pytest.mark.parametrize(("variables", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_it_starts_and_quits_on_a_terminal_as_it_found_it(
    tmp_path: Path, variables: dict[str, str], has_colour: bool
) -> None:
    path = tmp_path / ".store"
    make_run(path, "r1", 1, name="sun")
    with on_terminal(program("--store", path, "watch", "sun"), variables) as (process, terminal):
        got = read_until(terminal, b"step  0")
        os.write(terminal, b"q")
        got += read_until(terminal)
        assert process.wait(timeout=60) == 0
    assert b"sun" in got
    assert got.rindex(ALTERNATE_OFF) > got.index(ALTERNATE_ON)
    assert bool(COLOUR.search(got)) is has_colour


def test_without_textual_it_says_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / ".store"
    make_run(path, "r1", 1, name="sun")
    code = (
        "import sys; sys.modules['textual'] = None\n"
        f"sys.argv = ['store', '--store', {os.fspath(path)!r}, 'watch']\n"
        "from store.api.cli import main; main()"
    )
    with on_terminal([sys.executable, "-P", "-c", code], {}) as (process, terminal):
        said = read_until(terminal)
        assert process.wait(timeout=60) == 1
    assert b"pip install 'runstore[tui]'" in said
    assert b"Traceback" not in said


def test_only_the_view_itself_loads_textual(tmp_path: Path) -> None:
    make_run(tmp_path / ".store", "r1", 1, name="sun")
    code = (
        "import sys; from store.api.cli import cli\n"
        "cli(['watch', '--once'], standalone_mode=False)\n"
        "print('textual' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "False"

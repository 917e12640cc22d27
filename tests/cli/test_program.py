"""The program as a process: exit codes, pipes, signals, colour, what it imports."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from store import __version__
from store.api.cli import COMMANDS, cli
from tests.cli.program import call, environment, make_run, program, run_program

HEAVY = ("rich", "sqlite_utils", "git", "sqlite3", "tabulate", "filelock", "msgpack", "urllib3")
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / ".store"
    make_run(path, "r1", 1, name="sun-1")
    return path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("ls",), 0),
        (("show", "nope"), 1),
        (("nope",), 2),
        (("ls", "--nope"), 2),
        (("sql", "select nope"), 2),
        (("ls", "--json", "--csv"), 2),
    ],
)
def test_exit_codes(store: Path, arguments: tuple[str, ...], code: int) -> None:
    done = run_program(*arguments, cwd=store.parent, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == bool(code)


def test_check_exits_with_four_when_problems_remain(store: Path) -> None:
    (store / "local" / "p" / "r1" / "run.db").write_bytes(b"x" * 5000)
    assert run_program("check", cwd=store.parent, check=False).returncode == 4


def test_what_may_not_be_read_is_told_without_a_traceback(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_program("copy", store, tmp_path / "file" / "x", cwd=tmp_path, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("Error: ")


def test_a_wrong_command_is_told_which_one_may_be_meant(store: Path) -> None:
    assert "Did you mean status?" in run_program("statsu", cwd=store.parent, check=False).stderr


def test_a_reader_that_goes_away_ends_the_program_quietly(store: Path) -> None:
    many = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n limit"
    for arguments in (("sql", f"{many} 200000"), ("sql", f"{many} 200000", "--csv"), ("ls", "-h")):
        process = subprocess.Popen(
            program("--store", store, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=60) == 0, said
        assert said == b""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_exits_with_130(store: Path) -> None:
    process = subprocess.Popen(
        program("--store", store, "sql", ENDLESS), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while b"sqlite3" not in Path(f"/proc/{process.pid}/maps").read_bytes():
        assert time.monotonic() < deadline
    # Whether the query has begun or is about to, an interrupt ends the program in the same way.
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err


def shown_on_a_terminal(store: Path, *arguments: str, **variables: str) -> str:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        program("--store", store, *arguments),
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment(**{"TERM": "xterm-256color", "NO_COLOR": "", **variables}),
    )
    os.close(child)
    heard = b""
    try:
        while part := os.read(parent, 4096):
            heard += part
    except OSError:  # Linux says EIO when the other end is closed
        pass
    os.close(parent)
    assert process.wait(timeout=60) == 0, heard
    return heard.decode()


def test_colour_is_for_terminals_that_want_it(store: Path) -> None:
    assert "\x1b[" in shown_on_a_terminal(store, "show", "r1")
    assert "\x1b[" not in shown_on_a_terminal(store, "show", "r1", NO_COLOR="1")
    assert "\x1b[" not in shown_on_a_terminal(store, "show", "r1", TERM="dumb")
    assert "\x1b[3" not in shown_on_a_terminal(store, "ls", NO_COLOR="1")
    assert "\x1b" not in run_program("--store", store, "show", "r1", cwd=store).stdout


def test_removal_asks_on_a_terminal(store: Path) -> None:
    for answer, remains in ((b"n\n", True), (b"y\n", False)):
        parent, child = pty.openpty()
        process = subprocess.Popen(
            program("--store", store, "rm", "r1"), stdin=child, stdout=child, stderr=child
        )
        os.close(child)
        heard = b""
        while b"Remove 1 run for good?" not in heard:
            heard += os.read(parent, 4096)
        assert b"sun-1 (local/p/r1): finished, 7 rows" in heard
        os.write(parent, answer)
        assert process.wait(timeout=60) == int(remains)
        os.close(parent)
        assert (store / "local" / "p" / "r1").exists() == remains


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(tmp_path: Path, option: str) -> None:
    code = (
        "import sys\nfrom store.api.cli import main\n"
        f"sys.argv = ['store', {option!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_the_packages() -> None:
    assert call("--version").stdout == f"store, version {__version__}\n"


def test_the_table_of_commands_says_what_the_commands_say() -> None:
    import click

    context = click.Context(cli)
    for name, entry in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert (command.help or "").startswith(entry.help[:-1]), name


def test_runs_and_commands_complete(store: Path) -> None:
    def completed(words: str) -> list[str]:
        variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        done = run_program(
            cwd=store.parent, env=environment(_STORE_COMPLETE="bash_complete", **variables)
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines() if line]

    assert completed("store st") == ["status"]
    assert completed("store show ") == ["r1", "sun-1"]
    assert completed("store show su") == ["sun-1"]
    assert completed(f"store --store {store} rm r") == ["r1"]
    assert completed("store --store /nowhere show ") == []
    assert completed("store config agen") == ["agent"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_program(shell: str) -> None:
    assert "_STORE_COMPLETE" in call("completion", shell).stdout

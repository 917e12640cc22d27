"""The agent: started by init(), one for a store, sends what is logged, outlives it, and ends."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.paths import StoreFolder
from store.sync.queue import queued
from tests.agents import agents_of, await_no_agent, kill_agents, no_agents_left
from tests.chaos_proxy import ChaosProxy, chaos_proxy, refusal
from tests.helpers import only_run, problems, rows_of, run_script
from tests.programs import signed_in, status_of
from tests.servers import RunningServer, make_key, start_server
from tests.sync.clients import wait_until

ROWS = 50
SCRIPT = """
import sys
import store

run = store.init(project="p", settings={"git": False, "console": "off", "finish_timeout": 90.0})
for n in range(50):
    run.log({"n": n})
print("ready", flush=True)
sys.stdin.readline()
run.finish()
"""


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[ChaosProxy]:
    with chaos_proxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a script's store is going to be; no agent of it is left behind."""
    with no_agents_left(tmp_path / "kept"):
        yield tmp_path / "kept"


@pytest.fixture
def environment(folder: Path, proxy: ChaosProxy, server: RunningServer) -> dict[str, str]:
    """What makes init() send to the server, through the proxy, in the name of ann."""
    return signed_in(proxy.url, make_key(server, "ann"), STORE_DIR=str(folder))


def everything_is_there(store: Path, environment: dict[str, str], runs: int = 1) -> bool:
    places = [place for run in status_of(store, environment) for place in run["remotes"]]
    return len(places) == runs and all(place["synced"] for place in places)


def assert_everything_is_there(
    store: Path, environment: dict[str, str], server: RunningServer, runs: int = 1
) -> None:
    assert everything_is_there(store, environment, runs)
    for run in StoreFolder(store).runs():
        (there,) = (r for r in StoreFolder(server.data).runs() if r.id == run.id)
        assert [row.data["n"] for row in rows_of(there)] == list(range(ROWS))
    assert problems(store) == []


def call_script(cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Let SCRIPT run to its end."""
    return run_script(SCRIPT, cwd, check=True, **environment)


@contextlib.contextmanager
def running_scripts(
    cwd: Path, environment: dict[str, str], count: int
) -> Iterator[list[subprocess.Popen[str]]]:
    """Let SCRIPT run `count` times at once; each says "ready" and waits before it ends its run."""
    file = cwd / "script.py"
    file.write_text(SCRIPT)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("STORE_", "WANDB_"))}
    with contextlib.ExitStack() as open_scripts:
        scripts = []
        for _ in range(count):
            script = subprocess.Popen(
                [sys.executable, "-W", "error", str(file)],
                cwd=cwd,
                env=clean | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            scripts.append(open_scripts.enter_context(script))
            open_scripts.callback(script.kill)
        yield scripts


# -- one, and for how long ---------------------------------------------------------------------


def test_many_scripts_start_one_agent_which_ends_by_itself(
    folder: Path, environment: dict[str, str], server: RunningServer
) -> None:
    with running_scripts(folder.parent, environment, 4) as scripts:
        for script in scripts:
            assert script.stdout is not None
            assert script.stdout.readline() == "ready\n"
        for script in scripts:
            assert script.stderr is not None
            assert any("its rows go to" in line for line in iter(script.stderr.readline, ""))
        assert everything_queued(folder, 4)
        # Nobody starts one any more; those that found another at work are about to end.
        wait_until(lambda: len(agents_of(folder)) == 1)
        (agent,) = agents_of(folder)
        for script in scripts:
            script.communicate("\n", timeout=100)
            assert script.returncode == 0
    assert agents_of(folder) == [agent]
    await_no_agent(folder)
    assert list(queued(StoreFolder(folder))) == []
    assert_everything_is_there(folder, environment, server, runs=4)


def everything_queued(folder: Path, runs: int) -> bool:
    return len(list(queued(StoreFolder(folder)))) == runs


def test_it_outlives_the_script_until_all_is_sent(
    folder: Path, environment: dict[str, str], proxy: ChaosProxy, server: RunningServer
) -> None:
    proxy.refuse = {"/batches": refusal(503, "Service Unavailable", "0")}
    done = call_script(folder.parent, environment)
    assert "not sent yet" in done.stderr + done.stdout
    assert len(agents_of(folder)) == 1
    assert not everything_is_there(folder, environment)
    proxy.refuse = {}
    await_no_agent(folder)
    assert_everything_is_there(folder, environment, server)


def test_after_a_kill_the_next_init_goes_on(
    folder: Path, environment: dict[str, str], proxy: ChaosProxy, server: RunningServer
) -> None:
    proxy.refuse = {"/batches": refusal(503, "Service Unavailable", "0")}
    call_script(folder.parent, environment)
    assert kill_agents(folder) == 1
    proxy.refuse = {}
    done = call_script(folder.parent, environment)
    assert "all of it is at" in done.stderr + done.stdout
    await_no_agent(folder)
    assert_everything_is_there(folder, environment, server, runs=2)


# -- without a network -------------------------------------------------------------------------


def test_without_a_network_rows_wait_and_flow_once_it_is_there(
    folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    key = make_key(data, "ann")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = signed_in(f"http://127.0.0.1:{port}", key, STORE_DIR=str(folder))
    done = call_script(tmp_path, environment)
    said = [line for line in done.stderr.splitlines() if "sent" in line]
    assert len(said) == 1, done.stderr
    assert "connection refused" in said[0]
    (run,) = status_of(folder, environment)
    assert "connection refused" in run["remotes"][0]["error"]
    assert len(agents_of(folder)) == 1
    server = start_server(data, "--port", port)
    try:
        await_no_agent(folder)
        assert_everything_is_there(folder, environment, server)
    finally:
        server.stop()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def assert_nobody_came(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize(
    "setting",
    [
        {"STORE_MODE": "offline"},
        {"WANDB_MODE": "offline"},
        {"WANDB_MODE": "dryrun"},
        {"STORE_AGENT": "off"},
    ],
    ids=lambda setting: "=".join(*setting.items()),
)
def test_offline_opens_no_socket(
    folder: Path, listener: socket.socket, setting: dict[str, str]
) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = signed_in(url, "st-" + "0123456789" * 4, STORE_DIR=str(folder), **setting)
    call_script(folder.parent, environment)
    assert agents_of(folder) == []
    assert not (folder / ".agent").exists()
    assert [row.data["n"] for row in rows_of(only_run(folder))] == list(range(ROWS))
    assert_nobody_came(listener)


# -- otherwise ---------------------------------------------------------------------------------


def test_a_thread_in_place_of_an_agent(
    folder: Path, environment: dict[str, str], server: RunningServer
) -> None:
    done = call_script(folder.parent, {**environment, "STORE_AGENT": "thread"})
    assert "all of it is at" in done.stderr + done.stdout
    assert agents_of(folder) == []
    assert_everything_is_there(folder, environment, server)


@pytest.mark.parametrize("agent", ["process", "thread"])
def test_a_key_that_does_not_count_is_told_once_and_the_run_is_logged(
    folder: Path, environment: dict[str, str], agent: str
) -> None:
    wrong = {**environment, "STORE_API_KEY": "st-" + "0123456789" * 4, "STORE_AGENT": agent}
    done = call_script(folder.parent, wrong)
    said = [line for line in done.stderr.splitlines() if "is not a key" in line]
    assert len([line for line in said if "warning" in line]) <= 1, done.stderr
    assert len([line for line in said if "warning" not in line]) == 1, done.stderr
    await_no_agent(folder)
    assert [row.data["n"] for row in rows_of(only_run(folder))] == list(range(ROWS))
    (run,) = status_of(folder, wrong)
    (place,) = run["remotes"]
    assert (place["synced"], place["unsent"] > 0) == (False, True)
    assert "key" in place["error"]


def test_an_agent_that_cannot_start_is_told_once_and_the_run_is_logged(
    folder: Path, environment: dict[str, str]
) -> None:
    without = {k: v for k, v in environment.items() if k != "STORE_API_KEY"}
    done = call_script(folder.parent, without)
    said = [line for line in done.stderr.splitlines() if "nothing is sent" in line]
    assert len(said) == 1, done.stderr
    assert "store sync" in said[0]
    assert 'agent="process", "thread" or "off"' in said[0]
    assert agents_of(folder) == []
    assert [row.data["n"] for row in rows_of(only_run(folder))] == list(range(ROWS))

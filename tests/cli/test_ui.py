"""`store ui`: its address, its port, and the browser that it opens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from store.paths import create_store
from tests.programs import store_command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the browser is a shell script")


def test_it_opens_a_browser_at_its_address_and_ends_by_a_signal(tmp_path: Path) -> None:
    store = create_store(tmp_path / ".store").path
    browser = tmp_path / "browser"
    asked = tmp_path / "asked"
    os.mkfifo(asked)
    browser.write_text(f'#!/bin/sh\necho "$1" > "{asked}"\n')
    browser.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "error", "-m", "store", "--store", store, "ui"],
        env={**os.environ, "BROWSER": str(browser)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert asked.read_text().strip() == url
        answer = urllib3.request("GET", url)
        assert answer.status == 200
        assert b"No runs yet" in answer.data
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == "Ctrl-C ends it\n"


def test_a_port_that_is_asked_for_and_taken_is_told(tmp_path: Path) -> None:
    store = create_store(tmp_path / ".store").path
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = store_command(store, "ui", "--no-browser", "--port", port, environment={})
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    done = store_command(tmp_path / "none", "ui", "--no-browser", environment={})
    assert done.returncode == 1
    assert "no store" in done.stderr

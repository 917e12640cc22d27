"""A server that is away, busy, full or killed: rows wait, `status` says why, then all goes."""

from __future__ import annotations

import json
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from store.errors import RemoteRefused
from store.sync.http import Connection
from tests.chaos_proxy import refusal
from tests.disks import ballast, tmpfs
from tests.helpers import make_seed, problems, sources_of
from tests.programs import start_command
from tests.servers import running_server
from tests.sync.clients import (
    SYNCED,
    UNSENT,
    Client,
    client_of,
    server_again,
    wait_until,
)

ATTEMPTS = 5
"""Of `store sync`, for what does not answer."""


# -- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "phrase"), [(429, "Too Many Requests"), (503, "Service Unavailable")]
)
def test_a_busy_server_is_asked_again_when_it_says(
    client: Client, status: int, phrase: str
) -> None:
    client.log(20)
    client.proxy.instead += [refusal(status, phrase, "1")] * 2
    began = time.monotonic()
    done = client.sync()
    assert done.returncode == SYNCED, done.stderr
    assert time.monotonic() - began > 1.0, "it came back before it was to"
    assert f"it says {phrase}" in done.stderr
    client.assert_synced()


def test_a_server_that_stays_busy_is_given_up_and_named(client: Client) -> None:
    client.log(20)
    client.proxy.instead += [refusal(503, "Service Unavailable", "0")] * 100
    done = client.sync()
    assert done.returncode == UNSENT, done.stderr
    assert ATTEMPTS <= len(client.requests()) <= ATTEMPTS + 1
    place = client.place()
    assert (place["unsent"], place["synced"]) == (23, False)
    assert "it says Service Unavailable" in place["error"]
    assert "it says Service Unavailable" in client.shown()
    client.proxy.instead.clear()
    assert client.sync().returncode == SYNCED
    client.assert_synced()


def test_a_server_that_is_away_is_said_to_be(client: Client) -> None:
    client.log(20)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = taken.getsockname()[1]
    done = client.sync("--to", f"http://127.0.0.1:{away}")
    assert done.returncode == UNSENT, done.stderr
    assert "refused" in done.stderr
    assert client.sync().returncode == SYNCED, "another remote is not held up"
    client.assert_synced()


def test_a_watch_leaves_a_server_that_is_full_or_away_alone(client: Client) -> None:
    client.log(20)
    client.proxy.instead += [refusal(503, "Service Unavailable", "1")] * 3
    watch = start_command(
        *(client.store, "sync", "--watch", "--until-idle"), environment=client.environment
    )
    try:
        wait_until(lambda: client.place()["error"])
        assert client.place()["synced"] is False
        assert watch.wait(60) == 0
    finally:
        watch.kill()
        watch.wait(60)
    assert len(client.requests()) < 3 + 12
    client.assert_synced()


def test_a_watch_whose_batches_find_no_room_waits_as_long_as_it_is_told(client: Client) -> None:
    client.log(20)
    assert client.sync().returncode == SYNCED
    client.log(20)
    client.requests()
    full = refusal(503, "Service Unavailable", "2")
    client.proxy.refuse = {"/batches": full}
    watch = start_command(client.store, "sync", "--watch", environment=client.environment)
    try:
        wait_until(lambda: client.place()["error"])
        time.sleep(3.0)
        sent = [line for line in client.requests() if "/batches" in line]
        assert len(sent) <= 3, "it does not wait for two seconds"
        assert client.place()["synced"] is False
        assert "it says Service Unavailable" in client.shown()
        client.proxy.refuse = {}
        wait_until(lambda: client.place()["synced"])
    finally:
        watch.kill()
        watch.wait(60)
    client.assert_synced()


def test_what_is_no_runstore_server_is_not_asked_for_ever(client: Client) -> None:
    client.log(20)
    page = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: text/html\r\n\r\nno"
    client.proxy.instead += [page] * 100
    done = client.sync()
    assert done.returncode in (1, UNSENT), done.stderr
    assert len(client.requests()) <= ATTEMPTS
    place = client.place()
    assert (place["unsent"], place["synced"]) == (23, False)
    assert "404" in place["error"]


def test_a_batch_that_is_too_large_is_refused_before_it_is_read(client: Client) -> None:
    kind = {"Content-Type": "application/x-runstore-batch"}
    with Connection(client.server.url, client.key) as connection:
        with pytest.raises(RemoteRefused) as caught:
            connection.request("POST", "/api/v1/batches", body=bytes(33 * 2**20), headers=kind)
        assert (caught.value.status, caught.value.code) == (413, "too_large")
    head = (
        "POST /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n"
        f"Content-Type: application/x-runstore-batch\r\nAuthorization: Bearer {client.key}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.proxy.upstream), timeout=30) as raw:
        raw.sendall(head.encode())
        assert raw.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_refusal_by_size_is_no_loop(client: Client) -> None:
    client.log(20)
    assert client.sync().returncode == SYNCED
    client.log(20)
    client.requests()
    said = {"error": {"code": "too_large", "message": "too large for this server", "hint": None}}
    body = json.dumps(said).encode()
    head = f"HTTP/1.1 413 Too Large\r\nContent-Length: {len(body)}\r\n".encode()
    client.proxy.instead += [head + b"Content-Type: application/json\r\n\r\n" + body] * 100
    done = client.sync()
    assert done.returncode in (1, UNSENT), done.stderr
    assert len(client.requests()) <= ATTEMPTS
    place = client.place()
    assert (place["unsent"], place["synced"]) == (23, False)
    assert "too large" in place["error"]


# -- disks and kills ---------------------------------------------------------------------------


def test_a_full_disk_of_the_server_keeps_what_was_said(tmp_path: Path) -> None:
    with (
        tmpfs(tmp_path / "disk", 12) as disk,
        running_server(disk / "data") as server,
        client_of(server, tmp_path, "full") as client,
    ):
        client.log(1000)
        assert client.sync().returncode == SYNCED
        client.log(20_000)
        with ballast(disk):
            sync = start_command(client.store, "sync", environment=client.environment)
            try:
                wait_until(lambda: client.place()["error"])
                place = client.place()
                assert "disk is full" in place["error"]
                assert place["synced"] is False
                assert place["unsent"] > 0
                assert "disk is full" in client.shown()
            finally:
                sync.send_signal(signal.SIGINT)
                sync.wait(60)
            assert len(client.requests()) < 40
        assert client.sync().returncode == SYNCED
        client.assert_synced()


def test_a_server_that_is_killed_in_mid_batch_keeps_what_it_said(tmp_path: Path) -> None:
    choose = random.Random(make_seed())
    with running_server(tmp_path / "data") as first, client_of(first, tmp_path, "k") as client:
        first.kill()
        cut = 0
        for _ in range(4):
            client.log(10_000)
            client.requests()
            with server_again(client) as server:
                sync = start_command(client.store, "sync", environment=client.environment)
                wait_until(lambda: any("/batches" in line for line in client.proxy.requests))
                time.sleep(choose.random() * 0.1)
                server.kill()
                sync.kill()
                sync.wait(60)
            assert problems(client.server.data) == []
            place = client.place()
            assert place["acknowledged"] + place["unsent"] == 10_003 * client.writers
            assert acknowledged_there(client) >= place["acknowledged"]
            cut += place["unsent"] > 0
        assert cut, "no kill came in the middle"
        with server_again(client):
            assert client.sync().returncode == SYNCED
            client.assert_synced()


def acknowledged_there(client: Client) -> int:
    there = client.there()
    return sum(source.position for source in sources_of(there)) if there.exists() else 0

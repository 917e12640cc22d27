"""Connections whose requests come slowly, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import uvicorn

from store.server.connection import Connection
from tests.servers import running_server

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n"
BODY = b"b" * 40


class Hasty(Connection):
    seconds: ClassVar[float] = 0.3


async def slow_echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body, but not before a head would be given up."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await asyncio.sleep(2 * Hasty.seconds)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    options: dict[str, Any] = {"lifespan": "off", "log_level": "error", "ws": "none"}
    server = uvicorn.Server(uvicorn.Config(slow_echo, http=Hasty, loop="asyncio", **options))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield int(listener.getsockname()[1])
        server.should_exit = True
        thread.join(60)


@pytest.fixture
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        yield client


def trickle(client: socket.socket, data: bytes) -> bytes:
    """Send byte after byte until there is an answer or the server is gone; gives what it said."""
    for byte in data:
        if select.select([client], [], [], 0.05)[0]:
            break
        with contextlib.suppress(ConnectionError):
            client.sendall(bytes([byte]))
    try:
        return client.recv(65536)
    except ConnectionError:
        return b""


def test_who_says_nothing_is_left(client: socket.socket) -> None:
    assert client.recv(1) == b""


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(client: socket.socket) -> None:
    assert trickle(client, HEAD.replace(b"Host: x", b"Host: x\r\nX: " + b"x" * 10_000)) == b""


def test_a_slow_body_and_a_slow_answer_are_waited_for(client: socket.socket) -> None:
    client.sendall(HEAD)
    answer = trickle(client, BODY)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_the_next_head_of_a_connection_has_its_time_too(client: socket.socket) -> None:
    for _ in range(2):
        client.sendall(HEAD + BODY)
        answer = b""
        while not answer.endswith(BODY):
            answer += client.recv(65536)
    assert trickle(client, HEAD * 1000) == b""


def test_store_serve_gives_a_slow_head_up(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=60) as client:
            client.sendall(HEAD[:20])
            assert client.recv(100) == b""

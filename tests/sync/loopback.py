"""A server on loopback whose every byte a test decides, to see what a client makes of it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from json import dumps
from typing import Final

import pytest

from store.errors import StoreError
from store.sync.http import Connection

KEY: Final = "st-" + "0123456789" * 4
QUICK: Final = 0.25
"""Seconds until a client gives up."""
Talk = Callable[["Caller"], None]


class Caller:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, server: Loopback) -> None:
        self.socket = connection
        self.server = server
        self.closing = server.closing
        self._rest = b""

    def receive_head(self) -> str:
        """The request line and headers of the next request; empty when the client went away."""
        data = self._rest
        while b"\r\n\r\n" not in data:
            piece = self.socket.recv(65536)
            if not piece:
                return ""
            data += piece
        head, _, self._rest = data.partition(b"\r\n\r\n")
        self.server.heads.append(head.decode("latin-1"))
        return self.server.heads[-1]

    def receive(self) -> str:
        """As `receive_head`, with the body read as well (into `server.bodies`)."""
        head = self.receive_head()
        length = int(header(head, "Content-Length") or 0)
        body = bytearray(self._rest)
        while len(body) < length:
            body += self.socket.recv(65536)
        self._rest = b""
        if head:
            self.server.bodies.append(bytes(body))
        return head

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reset(self) -> None:
        """Close so that the client's kernel is told of a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Loopback:
    """What a server that is up knows: its `url`, the requests that came, its connections."""

    def __init__(self, talk: Talk) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.accepted = 0
        self.closing = threading.Event()
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.closing.is_set():
                connection.close()
                return
            self.accepted += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._talk(Caller(connection, self))

    def close(self) -> None:
        self.closing.set()
        # A listener that is only closed leaves accept() waiting.
        socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        self._threads[0].join(timeout=10)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)


@contextlib.contextmanager
def serving(talk: Talk) -> Iterator[Loopback]:
    """A server that does `talk` with each connection, in a thread."""
    server = Loopback(talk)
    try:
        yield server
    finally:
        server.close()


def answering(data: bytes) -> Talk:
    """Answer each request, of which a connection may bring several, with `data`."""

    def talk(caller: Caller) -> None:
        while caller.receive():
            caller.send(data)

    return talk


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer; `Content_Type` becomes Content-Type, and so on."""
    phrase = next((one.phrase for one in HTTPStatus if one.value == status), "Unknown")
    fields = {"Content_Length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode() + body


def in_json(status: int, value: object, **headers: str) -> bytes:
    """An answer in JSON."""
    return http(status, dumps(value).encode(), Content_Type="application/json", **headers)


def error(status: int, code: str, message: str = "no", **facts: object) -> bytes:
    """An error as a Runstore server tells it."""
    said = {"code": code, "message": message, "hint": None, **facts}
    return in_json(status, {"error": said})


def close_at_once(caller: Caller) -> None:
    caller.socket.close()


OK: Final = in_json(200, {"fine": True})
CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def ask(url: str, key: str | None = None) -> StoreError:
    """The error that a request to `url` ends in."""
    with Connection(url, key) as connection, pytest.raises(StoreError) as caught:
        connection.request("GET", "/api/v1", timeout=QUICK)
    return caught.value


def fails(data: bytes) -> StoreError:
    """The error that an answer of these bytes ends in."""
    with serving(answering(data)) as server:
        return ask(server.url)


def header(head: str, name: str) -> str | None:
    """The value of a header line."""
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return None

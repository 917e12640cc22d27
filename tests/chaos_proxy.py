"""A proxy on loopback that does to HTTP requests what bad networks do, and worse.

It takes whole requests and asks the server once for each, as long as `chaos` is off. While it is
on, a part of them, chosen by a seed, meets one of FAULTS, each once before any twice. What was
done is counted in `faults`, and the server's own answers in `statuses`, by status.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from json import dumps
from typing import Final

FAULTS: Final = (
    "delay",  # the request comes later than those behind it
    "reset",  # nobody sees the request
    "cut_request",  # the server sees a part of it
    "lose_answer",  # the server does it, and the client is not told
    "truncate_answer",
    "forget_answer",  # the server does it, and something on the way says that it failed
    "twice",  # one after the other, or at the same time
    "late",  # the server sees it after its client has gone away
    "replay",  # one of long ago comes once more before it
    "refuse",  # something on the way says no
)
TROUBLE: Final = 0.4
"""The part of requests that meet a fault."""
REMEMBERED: Final = 50
SILENCE_SECONDS: Final = 60.0
REFUSALS: Final = (
    (429, "Too Many Requests", "0"),
    (429, "Too Many Requests", "1"),
    (500, "Internal Server Error", None),
    (502, "Bad Gateway", None),
    (503, "Service Unavailable", "1"),
    (503, "Service Unavailable", None),
)


class ChaosProxy:
    """Takes connections at `url` and forwards what they ask to the server at `upstream`."""

    def __init__(self, upstream: int, seed: int = 0, *, trouble: float = TROUBLE) -> None:
        self.upstream = upstream
        self.chaos = False
        self.faults: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.requests: list[str] = []
        """The first lines of the requests that came, in their order."""
        self.instead: deque[bytes] = deque()
        """Answers to the next requests, of which the server hears nothing."""
        self.refuse: dict[str, bytes] = {}
        """Answers to all requests whose first line has a certain part."""
        self._random = random.Random(seed)
        self._trouble = trouble
        self._next: list[str] = []
        self._lock = threading.Lock()
        self._before: deque[bytes] = deque(maxlen=REMEMBERED)
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    # -- connections ---------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing.is_set():
                client.close()
                return
            with self._lock:
                self._open.add(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while request := _receive(client):
                if not self._handle(client, request):
                    break
        with self._lock:
            self._open.discard(client)

    def _handle(self, client: socket.socket, request: bytes) -> bool:
        """Deal with one request; gives whether the connection goes on."""
        line = request.partition(b"\r\n")[0].decode("latin-1")
        self.requests.append(line)
        with contextlib.suppress(IndexError):
            client.sendall(self.instead.popleft())
            return True
        for part, answer in self.refuse.items():
            if part in line:
                client.sendall(answer)
                return True
        fault = self._choose()
        self._before.append(request)
        if fault is not None:
            return bool(getattr(self, f"_{fault}")(client, request))
        return self._pass_on(client, request)

    def _choose(self) -> str | None:
        with self._lock:
            if not self.chaos or self._random.random() >= self._trouble:
                return None
            if not self._next:
                self._next = self._random.sample(FAULTS, len(FAULTS))
            fault = self._next.pop()
            self.faults[fault] += 1
            return fault

    def _pass_on(self, client: socket.socket, request: bytes) -> bool:
        client.sendall(self._ask(request))
        return True

    def _ask(self, request: bytes) -> bytes:
        """The server's answer. OSError where it gives none."""
        with socket.create_connection(("127.0.0.1", self.upstream), SILENCE_SECONDS) as server:
            server.sendall(request)
            answer = _receive(server)
        if not answer:
            raise ConnectionResetError("the server gave no answer")
        with self._lock:
            self.statuses[int(answer.split(b" ", 2)[1])] += 1
        return answer

    def _part(self, most: float = 1.0) -> float:
        with self._lock:
            return self._random.random() * most

    # -- faults --------------------------------------------------------------------------------

    def _delay(self, client: socket.socket, request: bytes) -> bool:
        time.sleep(self._part(0.3))
        return self._pass_on(client, request)

    def _reset(self, client: socket.socket, request: bytes) -> bool:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _cut_request(self, client: socket.socket, request: bytes) -> bool:
        part = request[: int(len(request) * self._part())]
        with socket.create_connection(("127.0.0.1", self.upstream), SILENCE_SECONDS) as server:
            server.sendall(part)
            if self._part() < 0.5:
                self._reset(server, b"")
        return self._reset(client, b"")

    def _lose_answer(self, client: socket.socket, request: bytes) -> bool:
        self._ask(request)
        return False

    def _truncate_answer(self, client: socket.socket, request: bytes) -> bool:
        answer = self._ask(request)
        client.sendall(answer[: int(len(answer) * self._part())])
        return False

    def _forget_answer(self, client: socket.socket, request: bytes) -> bool:
        self._ask(request)
        return self._refuse(client, request)

    def _twice(self, client: socket.socket, request: bytes) -> bool:
        if self._part() < 0.5:
            self._ask(request)
            return self._pass_on(client, request)
        other = threading.Thread(target=self._ask_quietly, args=(request,), daemon=True)
        other.start()
        goes_on = self._pass_on(client, request)
        other.join()
        return goes_on

    def _ask_quietly(self, request: bytes) -> None:
        with contextlib.suppress(OSError):
            self._ask(request)

    def _late(self, client: socket.socket, request: bytes) -> bool:
        self._reset(client, b"")
        client.close()
        self._closing.wait(self._part(1.5))
        self._ask_quietly(request)
        return False

    def _replay(self, client: socket.socket, request: bytes) -> bool:
        with self._lock:
            old = self._random.choice(self._before)
        self._ask_quietly(old)
        return self._pass_on(client, request)

    def _refuse(self, client: socket.socket, request: bytes) -> bool:
        with self._lock:
            status, phrase, wait = self._random.choice(REFUSALS)
            is_html = self._random.random() < 0.5
        client.sendall(refusal(status, phrase, wait, is_html=is_html))
        return True

    def close(self) -> None:
        """Cut all connections, and end."""
        self._closing.set()
        # A listener that is only closed leaves accept() waiting.
        socket.create_connection(("127.0.0.1", self._port), timeout=5).close()
        self._threads[0].join(timeout=10)
        self._listener.close()
        with self._lock:
            for client in self._open:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)


def refusal(status: int, phrase: str, wait: str | None = None, *, is_html: bool = False) -> bytes:
    """An answer that says no, and when to come back: a server's own, or a web page."""
    said = {"error": {"code": "busy", "message": f"it says {phrase}", "hint": None}}
    body = b"<html>no</html>" if is_html else dumps(said).encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {'text/html' if is_html else 'application/json'}\r\n"
    head += f"Retry-After: {wait}\r\n" if wait is not None else ""
    return f"{head}\r\n".encode() + body


@contextlib.contextmanager
def chaos_proxy(upstream: str, seed: int = 0, *, trouble: float = TROUBLE) -> Iterator[ChaosProxy]:
    """A proxy before the server at the URL `upstream`, as long as the block lasts."""
    proxy = ChaosProxy(int(upstream.rpartition(":")[2]), seed, trouble=trouble)
    try:
        yield proxy
    finally:
        proxy.close()


def _receive(connection: socket.socket) -> bytes:
    """A whole message, head and body; empty when the other side closed before one began.

    ConnectionError where it closed in the middle.
    """
    data = bytearray()
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece and not data:
            return b""
        data += _something(piece)
    head = bytes(data).partition(b"\r\n\r\n")[0]
    length = _length(head)
    if length is None:
        while not data.endswith(b"0\r\n\r\n"):
            data += _something(connection.recv(65536))
    else:
        while len(data) < len(head) + 4 + length:
            data += _something(connection.recv(65536))
    return bytes(data)


def _something(piece: bytes) -> bytes:
    if not piece:
        raise ConnectionResetError("closed in the middle of a message")
    return piece


def _length(head: bytes) -> int | None:
    """The bytes of the body behind a head; None where it comes in chunks."""
    fields = [line.lower().partition(b":") for line in head.split(b"\r\n")[1:]]
    values = {name.strip(): value.strip() for name, _, value in fields}
    if b"chunked" in values.get(b"transfer-encoding", b""):
        return None
    return int(values.get(b"content-length", b"0"))

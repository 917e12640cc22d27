"""HTTP to a server: what is sent, what is heard, and what becomes of answers that break off."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from store import __version__
from store.errors import (
    NotAllowed,
    RemoteRefused,
    RemoteUnavailable,
    UsageError,
)
from store.sync.http import Connection
from tests.sync.loopback import (
    CHUNKED,
    KEY,
    OK,
    QUICK,
    Caller,
    Talk,
    answering,
    ask,
    close_at_once,
    error,
    header,
    http,
    in_json,
    serving,
)


def close_after_the_request(caller: Caller) -> None:
    caller.receive()


def reset_after_the_request(caller: Caller) -> None:
    caller.receive()
    caller.reset()


def say_half_a_head(caller: Caller) -> None:
    caller.receive()
    caller.send(b"HTTP/1.1 200 OK\r\nContent-Ty")


def say_garbage(caller: Caller) -> None:
    caller.receive()
    caller.send(b"\x00\xff\x17SSH-2.0-x\r\n\r\n" * 9)


def say_endless_headers(caller: Caller) -> None:
    caller.receive()
    caller.send(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 1000 + b"\r\n")


def say_nothing(caller: Caller) -> None:
    caller.receive()
    caller.closing.wait(60)


def say_half_a_body(caller: Caller) -> None:
    caller.receive()
    caller.send(OK[:-3])


def say_half_a_chunked_body(caller: Caller) -> None:
    caller.receive()
    caller.send(CHUNKED + b"4\r\n[1, \r\n9\r\n2")


def stop_in_the_body(caller: Caller) -> None:
    caller.receive()
    caller.send(OK[:-3])
    caller.closing.wait(60)


def drip(caller: Caller) -> None:
    caller.receive()
    caller.send(http(200, b"x" * 10**6)[: -(10**6)])
    while not caller.closing.wait(0.01):
        caller.send(b"x")


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (close_at_once, "the connection was closed before the answer was complete"),
        (close_after_the_request, "the connection was closed before the answer was complete"),
        (reset_after_the_request, "the connection was closed before the answer was complete"),
        (say_half_a_head, "the answer was cut short, or does not say how long it is"),
        (say_garbage, "what it answers is no HTTP"),
        (say_endless_headers, "what it answers is no HTTP"),
        (say_nothing, "no answer in time"),
        (say_half_a_body, "the answer was cut short"),
        (say_half_a_chunked_body, "the answer was cut short"),
        (stop_in_the_body, "no answer in time"),
        (drip, "the answer comes too slowly"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_no_answer_is_unavailable_and_says_what_happened(talk: Talk, said: str) -> None:
    with serving(talk) as server:
        found = ask(server.url, KEY)
        assert isinstance(found, RemoteUnavailable), repr(found)
        assert found.message == f"{server.url}: {said}"
        assert found.retry_after is None
        assert KEY not in repr(found)


def test_nobody_listens() -> None:
    with serving(close_at_once) as server:
        url = server.url
    found = ask(url)
    assert isinstance(found, RemoteUnavailable)
    assert found.message == f"{url}: connection refused"


def test_a_host_that_there_is_not() -> None:
    found = ask("http://no-such-host.invalid:1")
    assert isinstance(found, RemoteUnavailable)
    assert found.message == (
        "http://no-such-host.invalid:1: the name of the host cannot be resolved"
    )


def test_after_a_failure_the_connection_works_again() -> None:
    calls = iter([close_after_the_request, say_half_a_body, answering(OK)])

    def talk(caller: Caller) -> None:
        next(calls)(caller)

    with serving(talk) as server, Connection(server.url) as it:
        for _ in range(2):
            with pytest.raises(RemoteUnavailable):
                it.request("GET", "/x", timeout=5)
        assert it.request("GET", "/x").json() == {"fine": True}


def test_nothing_is_sent_twice() -> None:
    with serving(close_after_the_request) as server:
        ask(server.url)
        assert len(server.heads) == 1


# -- requests ----------------------------------------------------------------------------------


def test_what_is_sent() -> None:
    with serving(answering(OK)) as server, Connection(f"{server.url}/base/", KEY) as it:
        it.request("POST", "/api/v1/a%2Fb", query={"key": ["x y", "é"], "n": 1}, json=[None])
        head = server.heads[0]
        assert head.startswith("POST /base/api/v1/a%2Fb?key=x+y&key=%C3%A9&n=1 HTTP/1.1\r\n")
        assert header(head, "Authorization") == f"Bearer {KEY}"
        assert header(head, "User-Agent") == f"runstore/{__version__}"
        assert header(head, "Content-Type") == "application/json"
        assert header(head, "Host") == f"127.0.0.1:{server.port}"
        assert server.bodies == [b"[null]"]
        it.request("PUT", "/x", body=b"raw", headers={"Content-Type": "text/x"})
        assert header(server.heads[1], "Content-Type") == "text/x"
        assert server.accepted == 1


def test_large_bodies_arrive_whole() -> None:
    body = bytes(range(256)) * 4096 + b"end"
    with serving(answering(http(200, body))) as server, Connection(server.url) as it:
        assert it.request("PUT", "/x", body=body).body == body
        assert server.bodies == [body]
        assert it.request("PUT", "/x", body=b"").status == 200


def test_without_a_key_none_is_sent() -> None:
    with serving(answering(OK)) as server, Connection(server.url) as it:
        it.request("GET", "/x")
        assert header(server.heads[0], "Authorization") is None


@pytest.mark.parametrize("path", ["x", "http://other.example.org/x", "@other.example.org", ""])
def test_only_paths_can_be_asked_for(path: str) -> None:
    with Connection("http://127.0.0.1:1", KEY) as it, pytest.raises(UsageError):
        it.request("GET", path)


def test_a_path_cannot_leave_the_host() -> None:
    with serving(answering(OK)) as server, Connection(server.url, KEY) as it:
        it.request("GET", "//other.example.org/x")
        assert header(server.heads[0], "Host") == f"127.0.0.1:{server.port}"


def test_a_key_goes_unencrypted_only_to_this_machine_or_where_it_was_allowed() -> None:
    for url in ("http://runs.example.org", "http://10.0.0.1:8080", "http://localhost.example.org"):
        with pytest.raises(NotAllowed, match="unencrypted") as caught:
            Connection(url, KEY)
        assert caught.value.hint is not None
        assert f"store login --insecure {url}" in caught.value.hint
        Connection(url)
        Connection(url, KEY, insecure=True)
    for url in ("http://localhost:1", "http://127.3.2.1", "http://[::1]:5", "https://x.org"):
        Connection(url, KEY)


@pytest.mark.parametrize("key", ["", "a b", "st-\r\nX: y", "schlüssel"])
def test_a_key_that_is_none_is_refused_unseen(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        Connection("https://x.org", key)
    assert not key or key not in str(caught.value)
    assert KEY not in repr(Connection("https://x.org", KEY))


def test_threads_share_a_connection() -> None:
    def talk(caller: Caller) -> None:
        while head := caller.receive():
            caller.send(in_json(200, head.split()[1]))

    with serving(talk) as server, Connection(server.url) as it, ThreadPoolExecutor(8) as threads:
        paths = [f"/{number}" for number in range(200)]
        found = list(threads.map(lambda path: it.request("GET", path).json(), paths))
        assert found == paths
        assert server.accepted <= 8


# -- streams -----------------------------------------------------------------------------------


def test_a_stream_gives_pieces_as_they_come() -> None:
    seen = threading.Event()

    def talk(caller: Caller) -> None:
        caller.receive()
        caller.send(CHUNKED + b"9\r\ndata: 1\n\n\r\n")
        assert seen.wait(10)
        caller.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    with serving(talk) as server, Connection(server.url) as it, it.stream("GET", "/x") as stream:
        assert stream.headers["transfer-encoding"] == "chunked"
        pieces = iter(stream)
        assert next(pieces) == b"data: 1\n\n"
        seen.set()
        assert b"".join(pieces) == b"data: 2\n\n"


@pytest.mark.parametrize("talk", [say_half_a_body, say_half_a_chunked_body, stop_in_the_body])
def test_a_stream_that_breaks_off_is_unavailable(talk: Talk) -> None:
    with (
        serving(talk) as server,
        Connection(server.url) as it,
        it.stream("GET", "/x", timeout=QUICK) as stream,
        pytest.raises(RemoteUnavailable),
    ):
        list(stream)


def test_a_stream_that_is_refused() -> None:
    with (
        serving(answering(error(404, "not_found"))) as server,
        Connection(server.url) as it,
        pytest.raises(RemoteRefused),
        it.stream("GET", "/x"),
    ):
        raise AssertionError("not reached")


def test_what_the_caller_of_a_stream_raises_stays_what_it_is() -> None:
    with serving(answering(OK)) as server, Connection(server.url) as it:
        with pytest.raises(BrokenPipeError), it.stream("GET", "/x"):
            raise BrokenPipeError
        assert it.request("GET", "/x").json() == {"fine": True}

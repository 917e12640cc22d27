"""HTTP to a server that is broken in every way: each becomes one error that says what it was."""

from __future__ import annotations

import pickle
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest

from store import __version__
from store.errors import (
    EntityUnknown,
    NotAllowed,
    NotSignedIn,
    RemoteRefused,
    RemoteUnavailable,
    StoreError,
    UsageError,
)
from store.sync.failures import MAX_WAIT
from store.sync.http import Connection
from tests.sync.loopback import Caller, Talk, answering, error, header, http, in_json, serving

KEY = "st-" + "0123456789" * 4
QUICK = 0.25
OK = in_json(200, {"fine": True})
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


def ask(url: str, key: str | None = None) -> StoreError:
    """The error that a request to `url` ends in."""
    with Connection(url, key) as connection, pytest.raises(StoreError) as caught:
        connection.request("GET", "/api/v1", timeout=QUICK)
    return caught.value


def fails(data: bytes) -> StoreError:
    """The error that an answer of these bytes ends in."""
    with serving(answering(data)) as server:
        return ask(server.url)


# -- no answer ---------------------------------------------------------------------------------


def close_at_once(caller: Caller) -> None:
    caller.socket.close()


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


# -- answers that say no -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RemoteRefused),
        (401, NotSignedIn),
        (403, NotAllowed),
        (404, RemoteRefused),
        (405, RemoteRefused),
        (408, RemoteUnavailable),
        (409, RemoteRefused),
        (410, RemoteRefused),
        (413, RemoteRefused),
        (415, RemoteRefused),
        (422, RemoteRefused),
        (425, RemoteUnavailable),
        (429, RemoteUnavailable),
        (500, RemoteUnavailable),
        (502, RemoteUnavailable),
        (503, RemoteUnavailable),
        (599, RemoteUnavailable),
    ],
)
@pytest.mark.parametrize("is_ours", [True, False])
def test_each_status_becomes_its_error(status: int, kind: type[StoreError], is_ours: bool) -> None:
    page = http(status, b"<html>no</html>", Content_Type="text/html")
    found = fails(error(status, "some_code", "words of the server") if is_ours else page)
    assert type(found) is kind
    assert ("words of the server" if is_ours else str(status)) in found.message
    assert ("not as a Runstore server does" in found.message) is not is_ours
    if isinstance(found, RemoteRefused):
        assert (found.status, found.code) == (status, "some_code" if is_ours else "not_runstore")


def test_a_refusal_keeps_the_facts() -> None:
    gap = error(409, "gap", "row 7 must come next", source="ab", expected=7)
    found = fails(gap)
    assert isinstance(found, RemoteRefused)
    assert found.facts == {"source": "ab", "expected": 7}
    again = pickle.loads(pickle.dumps(found))
    assert (again.status, again.code, again.facts, again.hint) == (409, "gap", found.facts, None)


def test_who_is_not_signed_in_is_told_how() -> None:
    with serving(answering(error(401, "bad_key", "this key was revoked"))) as server:
        found = ask(server.url, KEY)
        assert found.message == "this key was revoked"
        assert found.hint == f"`store login {server.url}`"


def test_not_allowed_has_the_servers_words() -> None:
    found = fails(error(403, "not_allowed", "ann may not write to vision", hint="ask bob"))
    assert (found.message, found.hint) == ("ann may not write to vision", "ask bob")


def test_an_unknown_entity_is_named() -> None:
    found = fails(error(404, "entity_unknown", entity="visoin", hint="did you mean vision?"))
    assert isinstance(found, EntityUnknown)
    assert (found.entity, found.hint) == ("visoin", "did you mean vision?")


@pytest.mark.parametrize(
    "said",
    [
        b"[" * 10**5,
        b'{"error": 1}',
        b'{"error": {"code": 5}}',
        b'{"error": {"code": "a", "message": {"b": 1}, "hint": 7}}',
        b"\xff\xfe",
        b"null",
    ],
)
def test_an_error_of_a_strange_form_is_still_an_error(said: bytes) -> None:
    found = fails(http(409, said))
    assert isinstance(found, RemoteRefused)
    assert "409 Conflict" in found.message


def test_words_of_a_server_are_one_line_of_bounded_length() -> None:
    found = fails(error(409, "gap", "a\nb\r\n" * 10**5, hint="c\n" * 10**5))
    assert "\n" not in str(found)
    assert len(str(found)) < 1100


def test_a_refusal_that_is_cut_short_is_known_by_its_status() -> None:
    def talk(caller: Caller) -> None:
        caller.receive()
        caller.send(error(410, "gone")[:-20])

    with serving(talk) as server:
        found = ask(server.url)
    assert isinstance(found, RemoteRefused)
    assert found.status == 410


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("-4", 0.0),
        ("1e99", MAX_WAIT),
        ("inf", MAX_WAIT),
        ("nan", None),
        ("soon", None),
        ("", None),
        (formatdate(1_000_000_090, usegmt=True), 90.0),
        (formatdate(1, usegmt=True), 0.0),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_seconds_or_a_moment_by_the_servers_clock(
    status: int, text: str, seconds: float | None
) -> None:
    now = formatdate(1_000_000_000, usegmt=True)
    found = fails(http(status, b"", Retry_After=text, Date=now))
    assert isinstance(found, RemoteUnavailable)
    assert found.retry_after == seconds


def test_a_refusal_before_the_body_was_taken_is_heard() -> None:
    def talk(caller: Caller) -> None:
        caller.receive_head()
        caller.send(error(413, "too_large"))
        while caller.socket.recv(65536):
            pass

    with serving(talk) as server, Connection(server.url) as it, pytest.raises(RemoteRefused) as no:
        it.request("PUT", "/x", body=bytes(8 * 2**20))
    assert no.value.status == 413


# -- somebody else answers ---------------------------------------------------------------------


def test_a_sign_in_page_of_a_network_is_not_taken_for_the_server() -> None:
    page = http(200, b"<html>Welcome to the hotel</html>", Content_Type="text/html; charset=x")
    found = fails(page)
    assert isinstance(found, RemoteUnavailable)
    assert "answers with a web page, not as a Runstore server does" in found.message


@pytest.mark.parametrize("body", [b"hello", b"", b"{", b"\xff", b"[" * 10**5])
def test_what_is_no_json_is_told(body: bytes) -> None:
    with serving(answering(http(200, body))) as server, Connection(server.url) as connection:
        answer = connection.request("GET", "/x")
        assert answer.body == body
        with pytest.raises(RemoteUnavailable, match="something that is no JSON"):
            answer.json()


def test_an_encoding_that_was_not_asked_for_is_not_decoded() -> None:
    found = fails(http(200, b"\x1f\x8b", Content_Encoding="gzip"))
    assert isinstance(found, RemoteUnavailable)
    assert "encoding" in found.message


def test_redirects_are_not_followed() -> None:
    with (
        serving(answering(OK)) as other,
        serving(answering(http(302, Location=f"{other.url}/login?key=1"))) as server,
    ):
        found = ask(server.url, KEY)
        assert isinstance(found, RemoteUnavailable)
        assert found.message == f"{server.url} sends elsewhere, to {other.url}"
        assert other.heads == []


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (301, "http://new.example.org/x"),
        (308, "https://new.example.org"),
        (302, "https://127.0.0.1"),
    ],
)
def test_a_server_that_has_moved_is_told(status: int, location: str) -> None:
    found = fails(http(status, Location=location))
    assert isinstance(found, RemoteRefused)
    assert (found.status, found.code) == (status, "moved")
    assert location.removesuffix("/x") in found.message


@pytest.mark.parametrize("location", ["", "https://u:secret@x.org/", "ftp://x", "http://[::", "/"])
def test_redirects_to_nowhere(location: str) -> None:
    found = fails(http(302, Location=location))
    assert isinstance(found, RemoteUnavailable)
    assert "sends elsewhere" in found.message
    assert "secret" not in str(found)


def test_answers_are_bounded() -> None:
    endless = threading.Event()

    def talk(caller: Caller) -> None:
        caller.receive()
        caller.send(CHUNKED)
        while not endless.is_set():
            caller.send(b"10000\r\n" + bytes(65536) + b"\r\n")

    with serving(talk) as server, Connection(server.url) as it:
        with pytest.raises(RemoteRefused, match="more than 1,000,000 bytes") as caught:
            it.request("GET", "/x", limit=10**6)
        endless.set()
    assert caught.value.code == "answer_too_large"
    with serving(answering(http(200, b"12345"))) as server, Connection(server.url) as it:
        with pytest.raises(RemoteRefused):
            it.request("GET", "/x", limit=4)
        assert it.request("GET", "/x", limit=5).body == b"12345"


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


# -- proxies -----------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answering(OK)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://ann:se%40cret@127.0.0.1:{proxy.port}/")
        with Connection("http://runs.example.org:8080/base") as it:
            assert it.request("GET", "/x").json() == {"fine": True}
        assert proxy.heads[0].startswith("GET http://runs.example.org:8080/base/x HTTP/1.1\r\n")
        assert header(proxy.heads[0], "Proxy-Authorization") == "Basic YW5uOnNlQGNyZXQ="


def test_loopback_and_no_proxy_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answering(OK)) as server, serving(answering(OK)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with Connection(server.url) as it:
            it.request("GET", "/x")
        assert proxy.heads == []
        monkeypatch.setenv("NO_PROXY", "example.org, .invalid")
        assert "resolved" in ask("http://no-such-host.invalid").message
        assert proxy.heads == []


def test_a_proxy_that_fails_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(close_at_once) as gone:
        port = gone.port
    monkeypatch.setenv("ALL_PROXY", f"http://ann:secret@127.0.0.1:{port}")
    for url in ("http://runs.example.org", "https://runs.example.org"):
        found = ask(url)
        assert isinstance(found, RemoteUnavailable)
        assert found.message == (f"{url}: the proxy http://127.0.0.1:{port}: connection refused")


def test_a_proxy_that_makes_no_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answering(http(407))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        found = ask("https://runs.example.org", KEY)
        assert isinstance(found, RemoteUnavailable)
        assert f"the proxy {proxy.url}: tunnel connection failed: 407" in found.message
        assert KEY not in "".join(proxy.heads)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://", "http://h:0", "http://[::"])
def test_a_proxy_that_cannot_be_used_is_an_error_of_usage(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(UsageError, match="HTTPS_PROXY"):
        Connection("https://runs.example.org")


# -- TLS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for 127.0.0.1 that it signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("not run: needs the program openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=runstore-test -addext subjectAltName=IP:127.0.0.1"
        " -addext keyUsage=critical,digitalSignature,keyCertSign"
    ).split()
    subprocess.run(
        [*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate


@pytest.fixture
def tls_port(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def talk(caller: Caller) -> None:
        with context.wrap_socket(caller.socket, server_side=True) as caller.socket:
            answering(OK)(caller)

    with serving(talk) as server:
        yield server.port


def test_a_certificate_that_nobody_trusts(tls_port: int) -> None:
    found = ask(f"https://127.0.0.1:{tls_port}", KEY)
    assert isinstance(found, RemoteUnavailable)
    assert "its certificate is not trusted: self-signed certificate" in found.message
    assert found.hint is not None
    assert "STORE_CA_BUNDLE" in found.hint


@pytest.mark.parametrize("variable", ["STORE_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_of_ones_own(
    tls_port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificate))
    with Connection(f"https://127.0.0.1:{tls_port}", KEY) as it:
        assert it.request("GET", "/x").json() == {"fine": True}
    found = ask(f"https://localhost:{tls_port}")
    assert isinstance(found, RemoteUnavailable)
    assert "its certificate is not trusted: Hostname mismatch" in found.message


def test_the_argument_goes_before_the_environment(
    tls_port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STORE_CA_BUNDLE", str(tmp_path / "none.pem"))
    with Connection(f"https://127.0.0.1:{tls_port}", ca_bundle=certificate) as it:
        assert it.request("GET", "/x").status == 200
    with pytest.raises(UsageError, match=r"none\.pem cannot be used: No such file"):
        Connection("https://x.org")
    (tmp_path / "none.pem").write_text("nonsense")
    with pytest.raises(UsageError, match=r"none\.pem cannot be used"):
        Connection("https://x.org")


def test_https_to_a_server_without_tls() -> None:
    def talk(caller: Caller) -> None:
        caller.socket.recv(65536)
        caller.send(error(400, "bad_request"))

    with serving(talk) as server:
        found = ask(server.url.replace("http:", "https:"))
    assert isinstance(found, RemoteUnavailable)
    assert "it does not speak TLS" in found.message
    assert found.hint == "is it http:// and not https://?"

"""The way to a server: proxies of the environment, and certificates."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.errors import (
    RemoteUnavailable,
    UsageError,
)
from store.sync.http import Connection
from tests.sync.loopback import (
    KEY,
    OK,
    Caller,
    answering,
    ask,
    close_at_once,
    error,
    header,
    http,
    serving,
)


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

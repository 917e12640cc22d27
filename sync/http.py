"""HTTP to one server: requests, answers, and errors that say what went wrong.

A Connection belongs to one origin and sends its key nowhere else: it takes paths and not
addresses, follows no redirect, and refuses to send a key unencrypted to another machine unless
that was allowed. It repeats nothing; see `store.sync.retry`. Several threads may share it.

An answer has to arrive at LEAST_RATE on average after its timeout, and may have `limit` bytes: a
server that drips or floods ends in an error. Bodies are sent in pieces, because a socket's timeout
counts for all that one call sends.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are respected, but for loopback addresses.
STORE_CA_BUNDLE, then SSL_CERT_FILE, name certificates to trust in place of the system's.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - a socket would import it at its first name: see store.locks
import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps, loads
from typing import Any, Final, Self
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError

from store import __version__
from store.errors import NotAllowed, RemoteRefused, RemoteUnavailable, UsageError
from store.settings_sources import KEY
from store.sync.address import Address, parse_address
from store.sync.failures import no_answer, not_runstore, refusal

TIMEOUT: Final = 30.0
"""Seconds in which a server has to say something."""
CONNECT_TIMEOUT: Final = 10.0
LEAST_RATE: Final = 1024.0
"""Bytes per second."""
MAX_ANSWER: Final = 64 * 2**20
MAX_REFUSAL: Final = 2**20
PIECE: Final = 2**16
USER_AGENT: Final = f"runstore/{__version__}"

Query = Mapping[str, object] | Sequence[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a 2xx status; the names of `headers` have no case."""

    server: Address
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON. RemoteUnavailable when it is none."""
        try:
            return loads(self.body)
        except (ValueError, RecursionError):
            raise not_runstore(self.server, "something that is no JSON") from None


class Stream:
    """An answer with a 2xx status whose body is read piece by piece, as it comes."""

    def __init__(
        self, server: Address, response: urllib3.BaseHTTPResponse, proxy: str | None
    ) -> None:
        self.server = server
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._proxy = proxy

    def __iter__(self) -> Iterator[bytes]:
        """The pieces. RemoteUnavailable when the rest does not come."""
        with _told(self.server, self._proxy):
            while piece := self._response.read1(PIECE, decode_content=False):
                yield piece


class Connection:
    """Requests to the server at `url`, in the name of `key`."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        ca_bundle: str | os.PathLike[str] | None = None,
        insecure: bool = False,
    ) -> None:
        """`key` was made for the origin of `url`; `insecure` lets it go there over plain http.

        Raises:
            UsageError: `url`, `key`, a proxy or a file of certificates cannot be used.
            NotAllowed: the key would go unencrypted to another machine.
        """
        self.address = parse_address(url)
        self.has_key = key is not None
        if key is not None:
            _check_key(key, self.address, insecure)
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json, */*;q=0.5"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._pool, self.proxy = _pool(self.address, ca_bundle)

    def __repr__(self) -> str:
        return f"Connection({str(self.address)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; a further request opens it again."""
        self._pool.clear()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        limit: int = MAX_ANSWER,
    ) -> Answer:
        """Ask once. `path` begins with / and is percent-encoded (see `path_of`); `timeout` are
        seconds; `json` is sent as the body where it is not None.

        Raises:
            RemoteUnavailable: no answer, 429 or 5xx, or not from a Runstore server.
            NotSignedIn, NotAllowed, EntityUnknown: 401, 403, 404 with code entity_unknown.
            RemoteRefused: any other answer but 2xx, or one of more than `limit` bytes.
        """
        deadline = time.monotonic() + timeout
        response = self._ask(method, path, query, body, json, headers, timeout)
        try:
            with _told(self.address, self.proxy):
                content = _read(response, self.address, limit, deadline)
        finally:
            _let_go(response)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise not_runstore(self.address)
        return Answer(self.address, response.status, response.headers, content)

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Iterator[Stream]:
        """As `request`, for answers that are long or never end; `timeout` is the longest silence.

        A stream that was not read to its end closes its connection.
        """
        response = self._ask(method, path, query, body, json, headers, timeout)
        try:
            yield Stream(self.address, response, self.proxy)
        finally:
            _let_go(response)

    def _ask(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: bytes | None,
        json: object,
        headers: Mapping[str, str] | None,
        timeout: float,
    ) -> urllib3.BaseHTTPResponse:
        """An answer with a 2xx status, before its body is read."""
        sent = {**self._headers, **(headers or {})}
        if json is not None:
            body = dumps(json, allow_nan=False).encode()
            sent.setdefault("Content-Type", "application/json")
        if body is not None:
            sent["Content-Length"] = str(len(body))
        with _told(self.address, self.proxy):
            response = self._pool.urlopen(
                method,
                self._target(path, query),
                redirect=False,
                retries=False,
                body=None if body is None else _pieces(body),
                headers=sent,
                timeout=urllib3.Timeout(connect=min(timeout, CONNECT_TIMEOUT), read=timeout),
                preload_content=False,
                decode_content=False,
            )
        if 200 <= response.status < 300:
            return _bounded(response, self.address)
        try:
            said = _beginning(response, time.monotonic() + timeout)
        finally:
            _let_go(response)
        raise refusal(self.address, response.status, response.headers, said)

    def _target(self, path: str, query: Query | None) -> str:
        if not path.startswith("/"):
            raise UsageError(f"{path!r} is no path on a server")
        asked = f"?{urlencode(query, doseq=True)}" if query else ""
        return f"{self.address}{path}{asked}"


@contextlib.contextmanager
def _told(server: Address, proxy: str | None) -> Iterator[None]:
    """Make an error of Runstore of what urllib3 and sockets raise."""
    try:
        yield
    except (HTTPError, ssl.SSLError, ConnectionError, TimeoutError) as error:
        raise no_answer(error, server, proxy) from error


# -- bodies ------------------------------------------------------------------------------------


def _let_go(response: urllib3.BaseHTTPResponse) -> None:
    """Give the connection back; one with an unread rest cannot be used again and is closed."""
    if not response.closed:
        response.close()
    response.release_conn()


def _bounded(response: urllib3.BaseHTTPResponse, server: Address) -> urllib3.BaseHTTPResponse:
    """`response`, when its body comes as it is and its end can be told from a connection's end.

    A head that is cut short also is one without a length.
    """
    headers = response.headers
    is_chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    if response.length_remaining is None and not is_chunked:
        problem = "the answer was cut short, or does not say how long it is"
    elif headers.get("Content-Encoding", "identity") != "identity":
        problem = "the answer is in an encoding that was not asked for"
    else:
        return response
    _let_go(response)
    raise RemoteUnavailable(f"{server.origin}: {problem}")


def _pieces(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    for begin in range(0, len(view), PIECE):
        yield view[begin : begin + PIECE]


def _read(
    response: urllib3.BaseHTTPResponse, server: Address, limit: int, deadline: float
) -> bytes:
    """The whole body. `deadline` (monotonic seconds) moves by what arrives, at LEAST_RATE."""
    if (response.length_remaining or 0) > limit:
        raise _too_large(server, limit)
    content = bytearray()
    while piece := response.read1(PIECE, decode_content=False):
        content += piece
        if len(content) > limit:
            raise _too_large(server, limit)
        if time.monotonic() > deadline + len(content) / LEAST_RATE:
            raise RemoteUnavailable(f"{server.origin}: the answer comes too slowly")
    return bytes(content)


def _beginning(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """The body of a refusal as far as it comes: its status says enough."""
    content = bytearray()
    with contextlib.suppress(HTTPError):
        while len(content) <= MAX_REFUSAL and time.monotonic() < deadline:
            piece = response.read1(PIECE, decode_content=False)
            if not piece:
                break
            content += piece
    return bytes(content)


def _too_large(server: Address, limit: int) -> RemoteRefused:
    return RemoteRefused(
        f"{server.origin} answers with more than {limit:,} bytes", code="answer_too_large"
    )


# -- the way there -----------------------------------------------------------------------------


def _check_key(key: str, server: Address, insecure: bool) -> None:
    try:
        KEY.check(key)
    except ValueError:
        message = f"the key for {server.origin} is not of {KEY.allowed}"
    else:
        message = ""
    if message:
        raise UsageError(message)
    if not server.is_private and not insecure:
        raise NotAllowed(
            f"the key would go unencrypted to {server.host}, for everybody on the way to read",
            hint=f"use https://, or allow it for this host: `store login --insecure {server}`",
        )


def _pool(
    server: Address, ca_bundle: str | os.PathLike[str] | None
) -> tuple[urllib3.PoolManager, str | None]:
    """The pool of connections, and the proxy that they go through, for messages."""
    proxy = _proxy(server)
    is_tls = server.scheme == "https" or (proxy is not None and proxy.scheme == "https")
    context = _tls(ca_bundle) if is_tls else None
    options: dict[str, Any] = {"num_pools": 1, "maxsize": 16, "block": False}
    if server.scheme == "https":
        options["ssl_context"] = context
    if proxy is None:
        return urllib3.PoolManager(**options), None
    shown = f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}"
    name, password = unquote(proxy.username or ""), unquote(proxy.password or "")
    manager = urllib3.ProxyManager(
        shown,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=f"{name}:{password}") if name else None,
        proxy_ssl_context=context if proxy.scheme == "https" else None,
        **options,
    )
    return manager, shown


def _proxy(server: Address) -> SplitResult | None:
    """The parts of the proxy's address that the environment names for `server`, or None."""
    found = getproxies_environment()
    text = found.get(server.scheme) or found.get("all")
    if not text or server.is_loopback or proxy_bypass(f"{server.host}:{server.port}"):
        return None
    with contextlib.suppress(ValueError):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    raise UsageError(
        f"{server.scheme.upper()}_PROXY or ALL_PROXY names no http:// or https:// proxy",
        hint=f"NO_PROXY={server.host} goes without a proxy",
    )


def _tls(ca_bundle: str | os.PathLike[str] | None) -> ssl.SSLContext:
    file = ca_bundle or os.environ.get("STORE_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    if not file:
        return ssl.create_default_context()
    try:
        if os.path.isdir(file):
            return ssl.create_default_context(capath=file)
        return ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"the certificates in {os.fspath(file)} cannot be used: {reason}"
    raise UsageError(message, hint="STORE_CA_BUNDLE and SSL_CERT_FILE name a PEM file")

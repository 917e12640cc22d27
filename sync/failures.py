"""What can go wrong between here and a server, as the errors of Runstore.

`no_answer` is for everything on the way (DNS, connection, TLS, proxies, cut answers): always
RemoteUnavailable. `refusal` is for an answer that is not 2xx. 429, 5xx and what only something
between here and the server can have said (a captive portal's page) are RemoteUnavailable, for
trying again may help; other answers stay what they are.

Texts of a server are cut and brought on one line: they end in messages and in `store status`.
"""

from __future__ import annotations

import contextlib
import math
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from json import loads
from typing import Any, Final
from urllib.parse import urljoin

from urllib3 import exceptions

from store.errors import (
    EntityUnknown,
    NotAllowed,
    NotSignedIn,
    RemoteRefused,
    RemoteUnavailable,
    StoreError,
)
from store.sync.address import Address, parse_address

MAX_WAIT: Final = 3600.0
"""Seconds; no server makes a client wait longer."""
TEXT_MAX: Final = 500
_PASSING: Final = frozenset({408, 425, 429})
_MOVED: Final = frozenset({301, 308})
_CERTIFICATES: Final = "STORE_CA_BUNDLE names a file with the certificates that you trust"


# -- on the way --------------------------------------------------------------------------------


def no_answer(error: Exception, server: Address, proxy: str | None = None) -> RemoteUnavailable:
    """The error for an exception of urllib3; `proxy` is the proxy's address without a password."""
    if isinstance(error, exceptions.ProxyError):
        reason, hint = _reason(error.original_error)
        return RemoteUnavailable(f"{server.origin}: the proxy {proxy}: {reason}", hint=hint)
    reason, hint = _reason(error)
    way = f" (through the proxy {proxy})" if proxy else ""
    return RemoteUnavailable(f"{server.origin}: {reason}{way}", hint=hint)


def _reason(error: BaseException) -> tuple[str, str | None]:
    if isinstance(error, exceptions.NameResolutionError):
        return "the name of the host cannot be resolved", None
    if isinstance(error, exceptions.NewConnectionError):
        return _told(error.__cause__, "no connection"), None
    if isinstance(error, exceptions.ConnectTimeoutError):
        return "no connection in time", None
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "no answer in time", None
    if isinstance(error, exceptions.SSLError):
        inner = error.args[0] if error.args else error
        return _reason(inner) if isinstance(inner, BaseException) else (str(inner), None)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}", _CERTIFICATES
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            return "it does not speak TLS", "is it http:// and not https://?"
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}", None
    return _broken(error), None


def _broken(error: BaseException) -> str:
    """The reason of a connection that was made and did not bring an answer."""
    if isinstance(error, IncompleteRead | exceptions.IncompleteRead):
        return "the answer was cut short"
    if isinstance(error, RemoteDisconnected | ConnectionError):
        return "the connection was closed before the answer was complete"
    if isinstance(error, HTTPException):
        return "what it answers is no HTTP"
    if isinstance(error, exceptions.ProtocolError):
        inner = error.args[1] if len(error.args) > 1 else error.__cause__
        return _reason(inner)[0] if isinstance(inner, BaseException) else one_line(str(error))
    if isinstance(error, OSError):
        return _told(error, "the connection failed")
    return f"what it answers is no HTTP ({type(error).__name__})"


def _told(error: BaseException | None, otherwise: str) -> str:
    if isinstance(error, OSError) and (error.strerror or error.args):
        return one_line(error.strerror or str(error)).lower()
    return otherwise


# -- answers -----------------------------------------------------------------------------------


def refusal(server: Address, status: int, headers: Mapping[str, str], body: bytes) -> StoreError:
    """The error for an answer whose status is not 2xx."""
    if 300 <= status < 400:
        return _redirect(server, status, headers)
    wait = retry_after(headers)
    said = _error_in(body)
    if said is None:
        return _strange(server, status, wait)
    code, message = one_line(said.pop("code", "")), one_line(said.pop("message", ""))
    message = message or f"{server.origin} answers {_status(status)}"
    given = said.pop("hint", None)
    hint = one_line(given) if isinstance(given, str) and given else None
    if status == 401:
        return NotSignedIn(message, hint=f"`store login {server}`")
    if status == 403:
        return NotAllowed(message, hint=hint)
    if status == 404 and code == "entity_unknown" and isinstance(said.get("entity"), str):
        return EntityUnknown(one_line(said["entity"]), hint=hint)
    if status in _PASSING or status >= 500:
        return RemoteUnavailable(f"{server.origin}: {message}", hint=hint, retry_after=wait)
    return RemoteRefused(message, status=status, code=code, hint=hint, facts=said)


def not_runstore(server: Address, what: str = "a web page") -> RemoteUnavailable:
    """The error for a 2xx answer that no Runstore server gives."""
    return RemoteUnavailable(
        f"{server.origin} answers with {what}, not as a Runstore server does",
        hint="is the address right? A network with a sign-in page answers for every address",
    )


def _redirect(server: Address, status: int, headers: Mapping[str, str]) -> StoreError:
    target: Address | None = None
    with contextlib.suppress(ValueError):
        to = urljoin(f"{server}/", one_line(headers.get("Location", "")))
        target = parse_address(to.partition("?")[0].partition("#")[0])
    message = f"{server.origin} sends elsewhere, to {target.origin if target else 'no address'}"
    upgraded = target and (target.scheme, target.host) == ("https", server.host)
    if target and (status in _MOVED or (upgraded and server.scheme == "http")):
        return RemoteRefused(
            message, status=status, code="moved", hint=f"is {target.origin} its address now?"
        )
    return RemoteUnavailable(message, hint="does the network ask you to sign in first?")


def _strange(server: Address, status: int, wait: float | None) -> StoreError:
    """The error for an answer that does not have the form of a Runstore server's."""
    message = f"{server.origin} answers {_status(status)}, not as a Runstore server does"
    if status in _PASSING or status >= 500:
        return RemoteUnavailable(message, retry_after=wait)
    between = "something between here and the server may have said it, such as a proxy"
    if status == 401:
        return NotSignedIn(message, hint=f"`store login {server}`; {between}")
    if status == 403:
        return NotAllowed(message, hint=between)
    return RemoteRefused(
        message, status=status, code="not_runstore", hint=f"is {server} the right address?"
    )


def _error_in(body: bytes) -> dict[str, Any] | None:
    try:
        said = loads(body)
    except (ValueError, RecursionError):
        return None
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, dict) and isinstance(error.get("code"), str) else None


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After header, between 0 and MAX_WAIT; None where there is none.

    A moment counts from the answer's own Date: the clock here may be wrong.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        moment = _moment(text)
        if moment is None:
            return None
        seconds = moment - (_moment(headers.get("Date", "")) or time.time())
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_WAIT)


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def one_line(text: object) -> str:
    """`text` on one line of at most TEXT_MAX characters; empty where it is no text."""
    line = " ".join(text[: 4 * TEXT_MAX].split()) if isinstance(text, str) else ""
    return line if len(line) <= TEXT_MAX else line[: TEXT_MAX - 1] + "…"

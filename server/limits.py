"""How much of what a request may send: bytes, seconds, wrong keys, and names of the server."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from store.server.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message, Receive

_ADDRESSES: Final = 10_000
"""Of so many addresses the wrong keys are counted; the longest unseen is forgotten first."""


class FailureLimit:
    """A token bucket for each address: `burst` failures at once, then one a second."""

    def __init__(self, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = float(burst)
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def count(self, address: str) -> float:
        """Count a failure; gives the seconds to wait when it is one too many, else 0."""
        now = self._clock()
        with self._lock:
            left, since = self._left.pop(address, (self._burst, now))
            left = min(self._burst, left + now - since)
            taken = left - 1 if left >= 1 else left
            self._left[address] = (taken, now)
            if len(self._left) > _ADDRESSES:
                del self._left[next(iter(self._left))]
        return 0.0 if left >= 1 else 1 - left


# -- bodies ------------------------------------------------------------------------------------


def capped(receive: Receive, limit: int, timeout: float) -> Receive:
    """`receive`, which raises Problem 413 behind `limit` bytes and 408 in a pause of the body."""
    taken = 0
    more = True

    async def limited() -> Message:
        nonlocal taken, more
        if not more:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), timeout)
        except TimeoutError:
            raise Problem(408, "too_slow", f"nothing came for {timeout:g} s") from None
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            more = bool(message.get("more_body", False))
            if taken > limit:
                raise too_large(limit)
        return message

    return limited


def check_length(request: Request, limit: int) -> None:
    """Problem 413 for a body that says itself that it is too long."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Problem:
    return Problem(
        413, "too_large", f"a request of this kind has at most {limit:,} bytes", limit=limit
    )


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body. Problem 400: there is none."""
    try:
        found = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError):
        raise Problem(400, "bad_request", "the body is not JSON") from None
    if not isinstance(found, dict):
        raise Problem(400, "bad_request", "the body is not a JSON object")
    return found


async def read_fields(request: Request, **kinds: Any) -> dict[str, Any]:
    """The JSON object in a request's body, whose fields have the given types.

    `kinds` are types, or unions of them; a union with None makes the field optional (None).

    Raises:
        Problem: 400, no such object; it is said what is wrong.
    """
    found = await read_object(request)
    unknown = sorted(found.keys() - kinds.keys())
    if unknown:
        known = ", ".join(kinds)
        raise Problem(400, "bad_request", f"unknown field {unknown[0][:80]!r}", f"known: {known}")
    for name, kind in kinds.items():
        value = found.setdefault(name, None)
        is_flag = isinstance(value, bool) and not isinstance(True, kind)
        if is_flag or not isinstance(value, kind):
            lacks = f"the field {name!r} is missing or not of its type"
            raise Problem(400, "bad_request", lacks)
        if isinstance(value, str) and not value.isascii():
            _check_unicode(name, value)
    return found


def _check_unicode(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Problem(400, "bad_request", f"the field {name!r} is not valid Unicode") from None


# -- names of the server -----------------------------------------------------------------------


def host_of(line: str) -> str:
    """The host of a Host line, without port and brackets, in small letters."""
    line = line.strip().lower()
    if line.startswith("["):
        return line[1:].partition("]")[0]
    return line.rpartition(":")[0] if line.count(":") == 1 else line


def is_loopback(host: str) -> bool:
    """Whether a name or an address can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether it is an address: DNS rebinding needs a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

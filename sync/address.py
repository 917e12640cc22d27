"""The address of a server, in one form, so that equal servers are equal texts.

Scheme and host are lower case, the scheme's own port and trailing slashes are left out, a host
that is not ASCII is written in its IDNA form. `origin` (scheme, host, port) is what a key belongs
to; the path is only where the server's routes begin behind a reverse proxy.

Addresses with a user name or password are refused, and never repeated in a message.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from store.errors import UsageError

PORTS: Final = {"http": 80, "https": 443}
_PLACE: Final = re.compile(
    r"(\[(?P<ip>[0-9a-f:.]+)\]|(?P<name>[^\[\]:]+))(:(?P<port>[0-9]{0,5}))?", re.IGNORECASE
)
_PATH: Final = "!$&'()*+,;=:@%~"
_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is. `host` has no brackets around IPv6; `path` is empty or begins with /."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def origin(self) -> str:
        """scheme://host, with the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, whatever its network."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent there."""
        return self.scheme == "https" or self.is_loopback

    def __str__(self) -> str:
        return self.origin + self.path


def parse_address(text: str) -> Address:
    """The address that `text` is.

    Raises:
        UsageError: it is none, or has parts that an address of a server must not have.
    """
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in PORTS:
        hint = None if separator else f"write https://{text}" if _is_host(text) else None
        raise UsageError(f"{_shown(text)} is no http:// or https:// address", hint=hint)
    if "@" in rest.partition("/")[0]:
        raise UsageError(
            "an address must not have a user name or password in it",
            hint="`store login` keeps the key for a server",
        )
    if "?" in text or "#" in text:
        raise UsageError(f"{_shown(text)}: an address of a server has no ? and no #")
    if "\\" in text or any(c <= " " or c == "\x7f" for c in text):
        raise UsageError(f"{text!r}: an address has no blanks, backslashes or control characters")
    place, _, path = rest.partition("/")
    parts = _PLACE.fullmatch(place)
    if parts is None:
        raise UsageError(f"{text} is no address: {place!r} is no host")
    name = scheme.lower()
    port = int(parts["port"] or PORTS[name])
    if not 0 < port < 65536:
        raise UsageError(f"{text}: there is no port {port}")
    return Address(name, _host(parts["ip"] or parts["name"], text), port, _path(path, text))


def normal_url(text: str) -> str:
    """`text`, an address, in its one form. Raises UsageError."""
    return str(parse_address(text))


def path_of(*parts: str) -> str:
    """A path of these parts, each percent-encoded: `path_of("api", "v1", name)`."""
    return "".join(
        f"/{'%2E' * len(part) if part in ('.', '..') else quote(part, safe='')}" for part in parts
    )


def _is_host(text: str) -> bool:
    host = text.partition("/")[0].partition(":")[0].lower()
    return bool(host) and "." in host and set(host) <= _HOST


def _shown(text: str) -> str:
    """`text`, unless it could have a password in it."""
    return "the text given" if "@" in text else repr(text)


def _host(host: str, text: str) -> str:
    host = host.lower().rstrip(".")
    if ":" in host:
        try:
            return ipaddress.ip_address(host).compressed
        except ValueError as error:
            raise UsageError(f"{text} is no address: {error}") from error
    try:
        host = host.encode("idna").decode().lower() if host and not host.isascii() else host
    except UnicodeError as error:
        raise UsageError(f"{text} is no address: its host is no name") from error
    if not host or not set(host) <= _HOST:
        raise UsageError(f"{text} is no address: its host is no name")
    return host


def _path(path: str, text: str) -> str:
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise UsageError(f"{text} is no address: it has . or .. in its path")
    return "".join(f"/{quote(part, safe=_PATH)}" for part in parts)

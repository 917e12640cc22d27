"""Names of entities, projects, runs and hosts as parts of paths.

A name becomes one path component: everything but a-z 0-9 . _ - is percent-encoded (RFC 3986),
capital letters included, so that no two names meet on a disk that folds case.
"""

from __future__ import annotations

from typing import Final

from store.errors import UsageError

MAX_NAME_BYTES: Final = 128
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_RESERVED: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)


def encode_name(name: str, what: str = "name") -> str:
    """The path component for an entity, project or run id.

    Raises:
        UsageError: empty, longer than 128 bytes or not Unicode text; `what` is named.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"{what} must be a text that is not empty, not {name!r}")
    try:
        raw = name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} {name!r} is not valid Unicode") from error
    if len(raw) > MAX_NAME_BYTES:
        raise UsageError(f"{what} is longer than {MAX_NAME_BYTES} bytes: {name[:40]!r}...")
    coded = "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in raw)
    # A leading dot hides, a trailing one is dropped by Windows, and some stems are devices there.
    if coded[0] == "." or coded.split(".", 1)[0] in _RESERVED:
        coded = f"%{raw[0]:02X}{coded[1:]}"
    if coded[-1] == ".":
        coded = coded[:-1] + "%2E"
    if len(coded) > 250:
        raise UsageError(f"{what} is too long once it is made safe for disks: {name[:40]!r}...")
    return coded


def decode_name(component: str) -> str:
    """Reverse `encode_name`; a component that it never made comes back as it is."""
    head, *coded = component.split("%")
    if not coded:
        return component
    try:
        raw = head.encode() + b"".join(
            bytes([int(part[:2], 16)]) + part[2:].encode() for part in coded
        )
        name = raw.decode()
        return name if encode_name(name) == component else component
    except (ValueError, UsageError):
        return component

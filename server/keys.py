"""API keys: `st-` + 40 hex digits, of which 32 are random and 8 are their CRC-32.

The checksum tells a mistyped key, and lets a secret scanner be sure of a find. A key is shown
once, when it is made; kept are its SHA-256, and its first 11 characters for lists. 128 random
bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from typing import Final, Literal

from store.errors import UsageError

PREFIX: Final = "st-"
SHOWN: Final = 11
"""As many characters of a key may be shown."""
_FORM: Final = re.compile(r"st-[0-9a-f]{40}", re.ASCII)

Scope = Literal["read", "write", "admin"]
SCOPES: Final = ("read", "write", "admin")


def make_key() -> str:
    """A new key."""
    return _sealed(os.urandom(16).hex())


def _sealed(digits: str) -> str:
    return f"{PREFIX}{digits}{zlib.crc32(digits.encode()):08x}"


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key and its checksum is right."""
    return _FORM.fullmatch(text) is not None and _sealed(text[3:35]) == text


def hash_key(key: str) -> bytes:
    """The SHA-256 of a key, 32 bytes: what is kept of it."""
    return hashlib.sha256(key.encode("ascii")).digest()


def shown_of(key: str) -> str:
    """The part of a key that may be shown."""
    return key[:SHOWN]


def check_scopes(scopes: object) -> frozenset[str]:
    """The scopes as a set.

    Raises:
        UsageError: none, or one that there is not.
    """
    given = scopes if isinstance(scopes, list | tuple | set | frozenset) else [scopes]
    found = frozenset(str(scope) for scope in given)
    if not found or not found <= set(SCOPES):
        raise UsageError(
            f"the scopes of a key are one or more of {', '.join(SCOPES)}",
            hint="a key with the scope write alone may send rows and read nothing",
        )
    return found

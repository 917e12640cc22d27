"""Keys for servers: one table for each origin in credentials.toml, in the user's config folder.

    ["https://runs.example.org"]
    key = "st-..."
    user = "ann"
    insecure = true        only where the key may go there over plain http

A key is for one origin: scheme, host and port. `key_for` looks at STORE_API_KEY (or an argument)
first, which is for the origin of settings.url and for an address that was typed; then at the file;
then at an api_key in a settings file, for settings.url alone. WANDB_API_KEY counts only as
`store.settings` lets it: with the url of WANDB_BASE_URL.

No message and no repr shows more of a key than its first SHOWN characters.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from store.errors import NotSignedIn, UsageError
from store.settings import Resolved, resolve
from store.settings_sources import KEY, user_settings_file
from store.sync.address import Address, normal_url, parse_address
from store.sync.http import Connection
from store.sync.tables import changing, read_tables, write_tables

SHOWN: Final = 11
"""As many characters of a key may be shown."""
ABOUT: Final = "Keys for servers, kept by `store login`. Who can read this file can use them."
FILE_ORIGIN: Final = "credentials file"
_FORM: Final = re.compile(r"st-[0-9a-f]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key, and where it was found; `note` is a sentence on what is wrong there, or empty."""

    key: str = field(repr=False)
    origin: str
    note: str = ""

    @property
    def shown(self) -> str:
        """The part of the key that may be shown."""
        return shown_of(self.key)


def credentials_file() -> Path:
    """Where the keys are kept."""
    return user_settings_file(os.environ).with_name("credentials.toml")


def shown_of(key: str) -> str:
    """The part of a key that may be shown."""
    return f"{key[:SHOWN]}…" if len(key) >= 3 * SHOWN else "…"


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key of a Runstore server."""
    return _FORM.fullmatch(text) is not None


# -- the key for a server ----------------------------------------------------------------------


def key_for(url: str, resolved: Resolved | None = None, *, named: bool = False) -> FoundKey | None:
    """The key for the server at `url`; `named`: the user typed this address.

    Raises:
        UsageError: `url` is no address; the file cannot be read, or has nonsense for this server.
    """
    server = parse_address(url)
    resolved = resolved or _resolved()
    key, origin = resolved.settings.api_key, resolved.origins["api_key"]
    is_theirs = _origin(resolved.settings.url) == server.origin
    is_explicit = origin in ("argument", "environment STORE_API_KEY")
    if key and ((is_explicit and (named or is_theirs)) or (_is_wandb(origin) and is_theirs)):
        return FoundKey(key, origin)
    kept = _entry(server)
    if "key" in kept:
        file = credentials_file()
        return FoundKey(kept["key"], f"{FILE_ORIGIN} {file}", _exposed(file))
    if key and is_theirs and not is_explicit:
        return FoundKey(key, origin)
    return None


def no_key(url: str, resolved: Resolved | None = None) -> NotSignedIn:
    """The error for a server that `key_for` found no key for; says why another key is not used."""
    resolved = resolved or _resolved()
    hint = f"`store login {normal_url(url)}`"
    if os.environ.get("STORE_API_KEY", "").strip():
        hint += f"; or STORE_URL={normal_url(url)}, for STORE_API_KEY goes to that server only"
    return NotSignedIn(f"not signed in at {normal_url(url)}", hint=hint)


def connect(
    url: str,
    resolved: Resolved | None = None,
    *,
    named: bool = False,
    ca_bundle: Path | None = None,
) -> Connection:
    """A connection to the server at `url` with the key for it, or without where there is none.

    Raises:
        UsageError: as `key_for`, or as `Connection`.
        NotAllowed: the key would go unencrypted to another machine.
    """
    found = key_for(url, resolved, named=named)
    return Connection(
        url,
        found.key if found else None,
        ca_bundle=ca_bundle,
        insecure=is_insecure_allowed(url),
    )


def is_insecure_allowed(url: str) -> bool:
    """Whether the user let the key for the server at `url` go there over plain http."""
    return bool(_entry(parse_address(url)).get("insecure", False))


def _resolved() -> Resolved:
    return resolve({}, user_file=user_settings_file(os.environ))


def _is_wandb(origin: str) -> bool:
    return origin.startswith("environment WANDB_")


def _origin(url: str | None) -> str | None:
    """The origin of a setting `url`; None where that is no address of a server."""
    try:
        return parse_address(url).origin if url else None
    except UsageError:
        return None


# -- the file ----------------------------------------------------------------------------------


def save_key(url: str, key: str, *, user: str = "", insecure: bool = False) -> Path:
    """Keep `key` for the server at `url`, in place of the one before; gives the file.

    Raises:
        UsageError: a bad url or key, or a file that cannot be read.
        OSError: it cannot be written.
    """
    server = parse_address(url)
    try:
        KEY.check(key)
    except ValueError:
        key = ""
    if not key:
        raise UsageError(f"a key is made of {KEY.allowed}")
    file = credentials_file()
    entry: dict[str, Any] = {"key": key}
    if user:
        entry["user"] = user
    if insecure:
        entry["insecure"] = True
    with changing(file):
        write_tables(file, {**read_tables(file), server.origin: entry}, ABOUT, private=True)
    return file


def forget_key(url: str) -> bool:
    """Remove the key for the server at `url`; says whether there was one."""
    server = parse_address(url)
    file = credentials_file()
    with changing(file):
        table = read_tables(file)
        if server.origin not in table:
            return False
        del table[server.origin]
        write_tables(file, table, ABOUT, private=True)
        return True


def known_servers() -> list[str]:
    """The origins that there is a key for in the file."""
    return [name for name, entry in read_tables(credentials_file()).items() if _has_key(entry)]


def user_at(url: str) -> str | None:
    """Who the key in the file is, as the server said when it was kept."""
    return _entry(parse_address(url)).get("user") or None


def _has_key(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("key"), str)


def _entry(server: Address) -> dict[str, Any]:
    file = credentials_file()
    entry = read_tables(file).get(server.origin, {})
    if not isinstance(entry, dict) or not isinstance(entry.get("key", ""), str):
        raise UsageError(
            f'{file}: the table ["{server.origin}"] is no table with a key',
            hint=f"`store login {server.origin}` writes it anew",
        )
    return dict(entry)


def _exposed(file: Path) -> str:
    """A sentence when others than the owner may read `file`."""
    if sys.platform == "win32":
        return ""  # modes say nothing there
    try:
        mode = file.stat().st_mode
    except OSError:
        return ""
    return f"others can read {file}: `chmod 600` it" if mode & 0o077 else ""

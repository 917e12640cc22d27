"""The remotes of a store: names for servers and folders, in <store>/remotes.toml.

    default = "main"

    [main]
    url = "https://runs.example.org"

    [backup]
    folder = "/mnt/backup/runs"

The default remote is settings.url, else the file's `default`, else the only one in the file. A
folder is absolute; one that was written into the file by hand counts from the store.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from store.errors import UsageError
from store.paths import STORE_NAME, StoreFolder
from store.settings import Settings
from store.settings_sources import closest
from store.sync.address import normal_url
from store.sync.tables import changing, read_tables, write_tables

ABOUT: Final = "The remotes of this store, kept by `store remote`."
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DEFAULT: Final = "default"
Origin = Literal["remotes", "settings", "given"]


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A remote: a server's `url` or a `folder`, one of them.

    `name` is empty where it has none; `origin` says where the address stands: in remotes.toml, in
    the settings, or as the user gave it.
    """

    name: str
    url: str | None = None
    folder: Path | None = None
    origin: Origin = "remotes"
    is_default: bool = False

    @property
    def address(self) -> str:
        """The url, or the folder as text."""
        return self.url or str(self.folder)

    def __str__(self) -> str:
        return f"{self.name} ({self.address})" if self.name else self.address


def remotes(store: StoreFolder) -> list[RemoteEntry]:
    """The remotes in the file, by name. UsageError where it cannot be read or has nonsense."""
    file = store.remotes
    table = read_tables(file)
    entries = {name: value for name, value in table.items() if name != _DEFAULT}
    default = table.get(_DEFAULT, next(iter(entries)) if len(entries) == 1 else None)
    return [_entry(file, name, entries[name], name == default) for name in sorted(entries)]


def _entry(file: Path, name: str, value: Any, is_default: bool) -> RemoteEntry:
    url = value.get("url") if isinstance(value, dict) else None
    folder = value.get("folder") if isinstance(value, dict) else None
    if not _NAME.fullmatch(name) or isinstance(url, str) == isinstance(folder, str):
        raise UsageError(
            f"{file}: the table [{name}] needs a url or a folder",
            hint="correct the file, or remove it",
        )
    if isinstance(url, str):
        return RemoteEntry(name, url=normal_url(url), is_default=is_default)
    path = file.parent / os.path.expanduser(str(folder))
    return RemoteEntry(name, folder=Path(os.path.abspath(path)), is_default=is_default)


def add(store: StoreFolder, name: str, text: str, *, default: bool = False) -> RemoteEntry:
    """Add the remote `name`: an address or a folder.

    Raises:
        UsageError: the name is taken or is no name; `text` is no remote.
        OSError: the file cannot be written.
    """
    if not _NAME.fullmatch(name) or name == _DEFAULT:
        raise UsageError(
            f"{name!r} is no name for a remote",
            hint="up to 64 letters, digits, dots, dashes and underscores, such as main",
        )
    with changing(store.remotes):
        known = {entry.name: entry for entry in remotes(store)}
        if name in known:
            raise UsageError(
                f"there is a remote {name} already: {known[name].address}",
                hint=f"`store remote remove {name}` first, or take another name",
            )
        found = _creatable(_parsed(store, text))
        table = read_tables(store.remotes)
        table[name] = {"url": found.url} if found.url else {"folder": found.address}
        if default:
            table[_DEFAULT] = name
        _write(store, table)
        return _find(store, name)


def remove(store: StoreFolder, name: str) -> RemoteEntry:
    """Remove the remote `name`; gives what it was. Rows that it has stay there. UsageError."""
    with changing(store.remotes):
        entry = _find(store, name)
        table = read_tables(store.remotes)
        del table[name]
        if table.get(_DEFAULT) == name:
            del table[_DEFAULT]
        _write(store, table)
        return entry


def set_default(store: StoreFolder, name: str) -> RemoteEntry:
    """Make `name` the remote that is meant where none is named. UsageError."""
    with changing(store.remotes):
        _find(store, name)
        _write(store, {**read_tables(store.remotes), _DEFAULT: name})
        return _find(store, name)


def _write(store: StoreFolder, table: dict[str, Any]) -> None:
    write_tables(store.remotes, table, ABOUT, private=False)


# -- which remote is meant ---------------------------------------------------------------------


def default_remote(store: StoreFolder, settings: Settings) -> RemoteEntry | None:
    """The remote that is meant where none is named; None where there is none, or no default."""
    entries = remotes(store)
    if settings.url is None:
        return next((entry for entry in entries if entry.is_default), None)
    found = _parsed(store, settings.url)
    name = next((entry.name for entry in entries if entry.address == found.address), "")
    return RemoteEntry(name, found.url, found.folder, "settings", is_default=True)


def resolve_remote(store: StoreFolder, settings: Settings, text: str | None) -> RemoteEntry:
    """The remote that `text` means: a name, an address, a folder; None means the default one.

    Raises:
        UsageError: it means none.
    """
    if text is None:
        default = default_remote(store, settings)
        if default is None:
            raise _none(store)
        return default
    entries = remotes(store)
    named = next((entry for entry in entries if entry.name == text), None)
    if named is not None:
        return named
    if "://" not in text and not _is_path(text):
        names = [entry.name for entry in entries]
        known = f"known are {', '.join(names)}" if names else "none has a name yet"
        raise UsageError(
            f"there is no remote {text!r}",
            hint=f"{closest(text, names) or known}; a folder here is written ./{text}",
        )
    found = _creatable(_parsed(store, text))
    same = next((entry for entry in entries if entry.address == found.address), found)
    return RemoteEntry(same.name, found.url, found.folder, "given", same.is_default)


def _find(store: StoreFolder, name: str) -> RemoteEntry:
    entries = {entry.name: entry for entry in remotes(store)}
    if name not in entries:
        raise UsageError(
            f"there is no remote {name!r}", hint=closest(name, entries) or "`store remote list`"
        )
    return entries[name]


def _none(store: StoreFolder) -> UsageError:
    names = [entry.name for entry in remotes(store)]
    if names:
        return UsageError(
            f"it is not said which remote is meant: {', '.join(names)}",
            hint=f"name one, or `store remote default {names[0]}`",
        )
    return UsageError(
        "this store has no remote",
        hint="`store remote add main https://...`; `store config url https://...` for all stores",
    )


def _is_path(text: str) -> bool:
    separators = {"/", os.sep, os.altsep or "/"}
    return text in (".", "..") or text.startswith("~") or any(s in text for s in separators)


def _parsed(store: StoreFolder, text: str) -> RemoteEntry:
    """A remote without a name. UsageError when `text` is neither an address nor a folder."""
    text = text.strip()
    scheme, separator, _ = text.partition("://")
    if not text or "\0" in text:
        raise UsageError("a remote is an http:// or https:// address or a folder")
    if separator and scheme.lower() != "file":
        return RemoteEntry("", url=normal_url(text), origin="given")
    if separator:
        text = _file_path(text)
    folder = Path(os.path.abspath(os.path.expanduser(text)))
    _check_folder(store, folder)
    return RemoteEntry("", folder=folder, origin="given")


def _file_path(text: str) -> str:
    parts = urlsplit(text)
    path = url2pathname(parts.path)
    if parts.netloc not in ("", "localhost") or not os.path.isabs(path):
        raise UsageError(f"{text!r} is no folder", hint="file:///path/of/the/folder")
    return path


def _check_folder(store: StoreFolder, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    here, there = Path(os.path.realpath(store.path)), Path(os.path.realpath(folder))
    if here == there or here in there.parents or there / STORE_NAME == here:
        raise UsageError(
            f"{folder} is this store itself", hint="a remote is a folder outside, or a server"
        )


def _creatable(entry: RemoteEntry) -> RemoteEntry:
    """`entry`, unless its folder cannot come to be: a disk that is not there must not be one."""
    folder = entry.folder
    if folder is not None and not folder.exists() and not folder.parent.is_dir():
        raise UsageError(
            f"{folder.parent} is not there", hint="is a disk not mounted? Else make the folder"
        )
    return entry

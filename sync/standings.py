"""Standings: how runs stand at the remotes of a store, as far as is known here; asks nobody."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from store.errors import StoreError, UsageError
from store.paths import RunFolder, StoreFolder, locate_store
from store.reading import reading
from store.settings import Settings
from store.sync.cursors import Standing, Target, standing, targets
from store.sync.remotes import RemoteEntry, default_remote, remotes

FOLDER: Final = "folder:"


class Place(NamedTuple):
    """A run at a target; `remote` is its name or address, for people."""

    remote: str
    target: Target
    standing: Standing


class KnownRemotes:
    """The remotes of a store by what their cursors are filed under."""

    def __init__(self, store: StoreFolder, settings: Settings) -> None:
        self._names: dict[str, str] = {}
        try:
            entries = remotes(store)
            default = default_remote(store, settings)
        except UsageError:
            entries, default = [], None
        for entry in (*entries, *([default] if default else [])):
            self._names[_filed_under(entry)] = entry.name or entry.address
        self._default = _filed_under(default) if default else None

    def places_of(self, run: RunFolder) -> list[Place]:
        """Where the run was ever sent to, and the default remote."""
        try:
            with reading(run) as connection:
                found = targets(connection)
                if self._default and all(target.remote != self._default for target in found):
                    found.append(Target(self._default, run.entity, run.project))
                known = [(target, standing(connection, target)) for target in found]
        except (StoreError, sqlite3.Error, OSError):
            return []
        return [
            Place(self._names.get(target.remote) or there.place or target.remote, target, there)
            for target, there in known
        ]


def _filed_under(entry: RemoteEntry) -> str:
    if entry.url is not None:
        return entry.url
    assert entry.folder is not None
    try:
        return f"{FOLDER}{StoreFolder(locate_store(given=entry.folder)).id}"
    except StoreError:
        return str(entry.folder)

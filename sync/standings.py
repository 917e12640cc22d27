"""Standings: how runs stand at the remotes of a store, as far as is known here; asks nobody."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from store.errors import StoreError, UsageError
from store.paths import RunFolder, StoreFolder, locate_store
from store.reading import reading
from store.settings import Settings
from store.sync.cursors import Standing, Target, standing, targets
from store.sync.hearsay import hear_others
from store.sync.remotes import RemoteEntry, default_remote, remotes
from store.sync.troubles import read_trouble

FOLDER: Final = "folder:"


class Place(NamedTuple):
    """A run at a target; `remote` is its name or address, for people.

    `trouble`: why the remote could not be reached, where that is so since the last try.
    """

    remote: str
    target: Target
    standing: Standing
    trouble: str | None


class KnownRemotes:
    """The remotes of a store by what their cursors are filed under."""

    def __init__(self, store: StoreFolder, settings: Settings) -> None:
        self._store_path = store.path
        self._names: dict[str, str] = {}
        try:
            entries = remotes(store)
            default = default_remote(store, settings)
        except UsageError:
            entries, default = [], None
        for entry in (*entries, *([default] if default else [])):
            self._names[filed_under(entry)] = entry.name or entry.address
        self._default = filed_under(default) if default else None

    def _trouble(self, remote: str) -> str | None:
        trouble = read_trouble(self._store_path, remote)
        return trouble.error if trouble else None

    def places_of(self, run: RunFolder) -> list[Place]:
        """Where the run was ever sent to, and the default remote."""
        try:
            if run.is_shared:
                hear_others(run)
            with reading(run) as connection:
                found = targets(connection)
                if self._default and all(target.remote != self._default for target in found):
                    found.append(Target(self._default, run.entity, run.project))
                known = [(target, standing(connection, target)) for target in found]
        except (StoreError, sqlite3.Error, OSError):
            return []
        return [
            Place(
                self._names.get(target.remote) or there.place or target.remote,
                target,
                there,
                self._trouble(target.remote),
            )
            for target, there in known
        ]


def filed_under(entry: RemoteEntry) -> str:
    """What the cursors of a remote are filed under (see `Remote.name`)."""
    if entry.url is not None:
        return entry.url
    assert entry.folder is not None
    try:
        return f"{FOLDER}{StoreFolder(locate_store(given=entry.folder)).id}"
    except StoreError:
        return str(entry.folder)

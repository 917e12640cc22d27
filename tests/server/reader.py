"""Asking a real server, and runs for it to tell of."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

import store
from store.paths import RunFolder, StoreFolder, create_store
from store.server.accounts import Accounts
from tests.servers import RunningServer, make_key, running_server

QUIET = {"silent": True, "git": False, "console": "off"}
API = "/api/v1"


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reader:
    """One who asks: by a key, or as nobody."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url
        self.key = key
        self._pool = urllib3.PoolManager(retries=False, timeout=60.0)

    def get(self, path: str, query: Sequence[tuple[str, object]] = (), **headers: str) -> Said:
        return self.ask("GET", path, query, **headers)

    def ask(
        self, method: str, path: str, query: Sequence[tuple[str, object]] = (), **headers: str
    ) -> Said:
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key is not None:
            lines["Authorization"] = f"Bearer {self.key}"
        text = urlencode([(name, str(value)) for name, value in query])
        url = f"{self.url}{API}{path}{'?' if text else ''}{text}"
        answer = self._pool.request(method, url, headers=lines)
        return Said(answer.status, answer.headers, answer.data)

    def close(self) -> None:
        self._pool.clear()


@dataclass(frozen=True)
class Place:
    """A server with the project ann/p, and who asks it: its owner, another user, nobody."""

    server: RunningServer
    store: StoreFolder
    owner: Reader
    other: Reader
    nobody: Reader

    def run(self, run_id: str) -> RunFolder:
        return self.store.run("ann", "p", run_id)

    def show(self, visibility: str) -> None:
        accounts = Accounts(self.server.data)
        try:
            accounts.set_visibility("ann", "p", visibility)
        finally:
            accounts.close()


def make_data(data: Path) -> StoreFolder:
    """A server's folder with the users ann and bob, and the project ann/p."""
    folder = create_store(data)
    accounts = Accounts(data, create=True)
    try:
        for name in ("ann", "bob"):
            accounts.create_user(name)
        accounts.ensure_project("ann", "p")
    finally:
        accounts.close()
    return folder


@contextlib.contextmanager
def serving(data: Path, *options: object) -> Iterator[Place]:
    """The server of a folder that `make_data` made."""
    with running_server(data, *options) as server:
        keys = [make_key(server, name, ("read", "write", "admin")) for name in ("ann", "bob")]
        readers = [Reader(server.url, key) for key in (*keys, None)]
        try:
            yield Place(server, StoreFolder(data), *readers)
        finally:
            for reader in readers:
                reader.close()


@contextlib.contextmanager
def clean_folders(base: Path) -> Iterator[None]:
    """No cache or state of the person who runs the tests; for fixtures of a whole module."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.startswith("STORE_"):
                patch.delenv(name)
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(base / name.lower()))
        yield


def new_run(data: Path, run_id: str, **options: Any) -> store.Run:
    """A run of ann/p that this process writes directly into the server's folder."""
    options.setdefault("settings", QUIET)
    return store.init(dir=data, entity="ann", project="p", id=run_id, **options)

"""The folder of a server: a store in local mode with accounts.db beside it, on a local disk."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from store.disk import LOCAL, file_system
from store.errors import StoreNotFound, UsageError
from store.paths import create_store
from store.server.accounts import Accounts
from store.server.accounts_db import FILE


def prepare(data: Path) -> tuple[str, str] | None:
    """Make the folder ready; gives (name, key) of its first administrator, if it makes one.

    Raises:
        UsageError: it cannot be a server's folder.
    """
    if not (data / "store.json").exists():
        _check_empty(data)
        with contextlib.suppress(FileExistsError):
            data.mkdir(mode=0o700, parents=True)
    check_disk(data)
    create_store(data)
    accounts = Accounts(data, create=True)
    try:
        return accounts.first_admin()
    finally:
        accounts.close()


def open_accounts(data: Path) -> Accounts:
    """The accounts of a server's folder, beside a running or a stopped server.

    Raises:
        UsageError: there are none.
    """
    try:
        return Accounts(data)
    except StoreNotFound:
        raise UsageError(
            f"there is no server's data at {data}", hint=f"`store serve --data {data}` makes it"
        ) from None


def _check_empty(data: Path) -> None:
    try:
        names = [
            n for n in os.listdir(data) if not n.startswith((".", FILE, "accounts.", "store."))
        ]
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise UsageError(f"{data} is not a folder") from None
    if names and not (data / "store.json").exists():
        raise UsageError(
            f"{data} holds other things: {names[0]}", hint="name a folder of the server's own"
        )


def check_disk(data: Path) -> None:
    """UsageError for a folder on a network: SQLite's locks and shared memory are not safe there."""
    kind = file_system(data)
    if sys.platform.startswith("linux") and kind not in LOCAL:
        raise UsageError(
            f"{data} is on a disk of the type {kind}, which is not known to be this machine's own",
            hint="put the server's data on a local disk, with --data",
        )

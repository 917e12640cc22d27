"""Users, keys, entities, members and projects of a server.

A user comes with an entity of the same name; a team is an entity whose members are users. Nothing
is remembered between calls: what another process changes, `store admin` or a second server,
counts from the next request on. `store.server.access` says who may do what; here is only kept who
is what. Times are seconds since 1970.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from itertools import count
from typing import Any, Final

from store.errors import StoreLocked, UsageError
from store.server.keys import SCOPES, check_scopes, hash_key, make_key, shown_of
from store.server.memberships import Memberships, find_user, no_user
from store.server.problems import Problem
from store.server.records import Holder, KeyRecord, User, check_name

USED_SECONDS: Final = 60.0
"""How exactly it is known when a key was last used."""
_ADMIN: Final = "SELECT 1 FROM users WHERE admin AND NOT disabled LIMIT 1"
_KEY: Final = "k.id, prefix, user, scopes, label, k.created, k.expires, last_used, revoked"


class Accounts(Memberships):
    """The accounts of a data folder. Thread-safe; several processes may have it open."""

    # -- users ---------------------------------------------------------------------------------

    def users(self) -> list[User]:
        found = self._rows("SELECT name, admin, disabled, created FROM users ORDER BY name")
        return [User(name, bool(admin), bool(off), made) for name, admin, off, made in found]

    def user(self, name: str) -> User:
        """404 where there is none."""
        found = [user for user in self.users() if user.name == name]
        if not found:
            raise no_user(name)
        return found[0]

    def create_user(self, name: str, *, admin: bool = False) -> User:
        """A new user and the entity of the same name.

        Raises:
            UsageError: not a name for a user.
            Problem: 409, the name is taken.
        """
        check_name(name, "user")
        with self._database.writing() as connection:
            return self._create_user(connection, name, admin)

    def _create_user(self, connection: sqlite3.Connection, name: str, admin: bool) -> User:
        now = self._clock()
        self._create_entity(connection, name, "user", now)
        connection.execute("INSERT INTO users VALUES(?, ?, 0, ?)", (name, admin, now))
        return User(name, admin, False, now)

    def first_admin(self) -> tuple[str, str] | None:
        """Make the user "admin" where nobody is an administrator; gives its name and key, once."""
        if self._rows(_ADMIN):
            return None
        with self._database.writing() as connection:
            if connection.execute(_ADMIN).fetchone():
                return None
            taken = {name for (name,) in connection.execute("SELECT name FROM entities")}
            name = next(n for i in count(1) if (n := f"admin{i if i > 1 else ''}") not in taken)
            self._create_user(connection, name, admin=True)
            text, _ = self._create_key(connection, name, SCOPES, "first key")
            return name, text

    def change_user(
        self, name: str, *, admin: bool | None = None, disabled: bool | None = None
    ) -> User:
        """Change what is given. The keys of a disabled user count no more, at once.

        Raises:
            Problem: 404 no such user; 409 nobody could administer the server any more.
        """
        with self._database.writing() as connection:
            was_admin = find_user(connection, name)
            connection.execute(
                "UPDATE users SET admin = coalesce(?, admin), disabled = coalesce(?, disabled)"
                " WHERE name = ?",
                (admin, disabled, name),
            )
            if was_admin:
                _keep_an_admin(connection)
        return self.user(name)

    def delete_user(self, name: str) -> None:
        """Remove a user, its keys and memberships; its name stays taken while it has projects.

        Raises:
            Problem: 404 no such user; 409 nobody could administer the server any more.
        """
        with self._database.writing() as connection:
            was_admin = find_user(connection, name)
            connection.execute("DELETE FROM users WHERE name = ?", (name,))
            if was_admin:
                _keep_an_admin(connection)
            connection.execute(
                "DELETE FROM entities WHERE name = ?"
                " AND NOT EXISTS (SELECT 1 FROM projects WHERE entity = ?)",
                (name, name),
            )

    # -- keys ----------------------------------------------------------------------------------

    def create_key(
        self,
        user: str,
        scopes: Iterable[str],
        *,
        label: str | None = None,
        expires: float | None = None,
    ) -> tuple[str, KeyRecord]:
        """A new key of a user: its text, which is told this once, and what is kept of it.

        Raises:
            UsageError: scopes that there are not, an end in the past.
            Problem: 404 no such user.
        """
        wanted = check_scopes(list(scopes))
        if expires is not None and not self._clock() < expires < 1e11:
            raise UsageError(f"a key cannot expire at {expires} (seconds since 1970)")
        if label is not None and len(label) > 200:
            raise UsageError("the label of a key has at most 200 characters")
        with self._database.writing() as connection:
            find_user(connection, user)
            return self._create_key(connection, user, wanted, label, expires)

    def _create_key(
        self,
        connection: sqlite3.Connection,
        user: str,
        scopes: Iterable[str],
        label: str | None = None,
        expires: float | None = None,
    ) -> tuple[str, KeyRecord]:
        text = make_key()
        record = KeyRecord(
            *(os.urandom(6).hex(), shown_of(text), user, tuple(sorted(scopes)), label),
            *(self._clock(), expires, None, None),
        )
        connection.execute(
            "INSERT INTO keys(id, hash, prefix, user, scopes, label, created, expires)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(record.id, hash_key(text), record.prefix, user, " ".join(record.scopes)),
                *(label, record.created, expires),
            ),
        )
        return text, record

    def keys(self, user: str | None = None) -> list[KeyRecord]:
        """The keys of a user, or all, the newest last."""
        found = self._rows(
            f"SELECT {_KEY} FROM keys k WHERE user = coalesce(?, user) ORDER BY k.created, k.id",
            user,
        )
        return [_key_record(row) for row in found]

    def key(self, key_id: str) -> KeyRecord:
        """404 where there is none."""
        found = self._rows(f"SELECT {_KEY} FROM keys k WHERE k.id = ?", key_id)
        if not found:
            raise Problem(404, "not_found", f"there is no key {key_id!r}")
        return _key_record(found[0])

    def revoke_key(self, key_id: str) -> KeyRecord:
        """From now on the key counts no more. 404 where there is none."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?",
                (self._clock(), key_id),
            )
        return self.key(key_id)

    def find_key(self, text: str) -> Holder | None:
        """The key with that text, whether it still counts or not; None when there is none."""
        found = self._rows(
            f"SELECT {_KEY}, u.admin, u.disabled"
            " FROM keys k JOIN users u ON u.name = k.user WHERE hash = ?",
            hash_key(text),
        )
        return _holder(found[0]) if found else None

    # -- sessions ------------------------------------------------------------------------------

    def start_session(self, key_id: str, seconds: float) -> str:
        """A new session of a key, for so long: its token, which is told this once."""
        token, now = os.urandom(32).hex(), self._clock()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM sessions WHERE expires <= ?", (now,))
            connection.execute(
                "INSERT INTO sessions VALUES(?, ?, ?, ?)",
                (hash_key(token), key_id, now, now + seconds),
            )
        return token

    def find_session(self, token: str) -> Holder | None:
        """The key of a session that has not ended; whether the key still counts is not asked."""
        found = self._rows(
            f"SELECT {_KEY}, u.admin, u.disabled FROM sessions s JOIN keys k ON k.id = s.key"
            " JOIN users u ON u.name = k.user WHERE s.hash = ? AND s.expires > ?",
            *(hash_key(token), self._clock()),
        )
        return _holder(found[0]) if found else None

    def end_session(self, token: str) -> None:
        """From now on the token means nobody."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM sessions WHERE hash = ?", (hash_key(token),))

    def note_use(self, key: KeyRecord) -> None:
        """Write down that a key was used, at most once a minute; who cannot write goes on."""
        now = self._clock()
        if key.last_used is not None and key.last_used > now - USED_SECONDS:
            return
        with (
            contextlib.suppress(StoreLocked, sqlite3.OperationalError, OSError),
            self._database.writing(timeout=0) as connection,
        ):
            connection.execute("UPDATE keys SET last_used = ? WHERE id = ?", (now, key.id))


def _holder(row: Any) -> Holder:
    *key, admin, disabled = row
    return Holder(_key_record(key), bool(admin), bool(disabled))


def _key_record(row: Any) -> KeyRecord:
    key_id, prefix, user, scopes, *others = row
    return KeyRecord(key_id, prefix, user, tuple(scopes.split()), *others)


def _keep_an_admin(connection: sqlite3.Connection) -> None:
    if not connection.execute(_ADMIN).fetchone():
        raise Problem(
            409,
            "not_allowed",
            "nobody could administer the server any more",
            "make another user an administrator first",
        )

"""The half of the accounts that says who belongs where: entities, members and projects."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from store.errors import UsageError
from store.names import encode_name
from store.server.accounts_db import AccountsDatabase
from store.server.problems import Problem
from store.server.records import (
    ROLES,
    VISIBILITIES,
    Entity,
    Member,
    Project,
    Standing,
    check_name,
)

_READABLE: Final = """
FROM projects p
LEFT JOIN members e ON e.entity = p.entity AND e.project = '' AND e.user = :user
LEFT JOIN members o ON o.entity = p.entity AND o.project = p.name AND o.user = :user
WHERE (:all OR p.visibility IN ('public', 'open') OR p.entity = :user
    OR e.role IN ('admin', 'member') OR (p.visibility = 'team' AND e.role IS NOT NULL)
    OR o.role IS NOT NULL)
"""
"""Who may read which project: the one predicate of every listing and every look."""


class Memberships:
    """Entities, members and projects of a data folder; see `store.server.accounts`."""

    def __init__(
        self, folder: Path, *, create: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        """Open `folder`/accounts.db; see `AccountsDatabase` for the errors."""
        self._database = AccountsDatabase(folder, create=create)
        self._clock = clock

    def close(self) -> None:
        self._database.close()

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._database.reading() as connection:
            return connection.execute(sql, values).fetchall()

    # -- entities and members ------------------------------------------------------------------

    def entities(self, user: str | None = None) -> list[Entity]:
        """The entities that a user is in, or all."""
        found = self._rows(
            "SELECT name, kind, created FROM entities WHERE name = coalesce(?, name) OR name IN"
            " (SELECT entity FROM members WHERE user = ? AND project = '') ORDER BY name",
            user,
            user,
        )
        return [Entity(*row) for row in found]

    def entity(self, name: str) -> Entity | None:
        found = self._rows("SELECT name, kind, created FROM entities WHERE name = ?", name)
        return Entity(*found[0]) if found else None

    def create_team(self, name: str, *, admin: str | None = None) -> Entity:
        """A new team, with a first administrator.

        Raises:
            UsageError: not a name for a team.
            Problem: 409 the name is taken; 404 no such user.
        """
        check_name(name, "team")
        with self._database.writing() as connection:
            made = self._create_entity(connection, name, "team", self._clock())
            if admin is not None:
                find_user(connection, admin)
                connection.execute("INSERT INTO members VALUES(?, '', ?, 'admin')", (name, admin))
            return made

    def _create_entity(
        self,
        connection: sqlite3.Connection,
        name: str,
        kind: Literal["user", "team"],
        now: float,
    ) -> Entity:
        try:
            connection.execute("INSERT INTO entities VALUES(?, ?, ?)", (name, kind, now))
        except sqlite3.IntegrityError:
            raise Problem(409, "exists", f"there is a user or team {name!r} already") from None
        return Entity(name, kind, now)

    def delete_team(self, name: str) -> None:
        """404 no such team; 409 it has projects."""
        with self._database.writing() as connection:
            found = connection.execute("SELECT kind FROM entities WHERE name = ?", (name,))
            if found.fetchone() != ("team",):
                raise Problem(404, "entity_unknown", f"there is no team {name!r}", entity=name)
            try:
                connection.execute("DELETE FROM entities WHERE name = ?", (name,))
            except sqlite3.IntegrityError:
                raise Problem(
                    409, "exists", f"the team {name!r} has projects", "its runs would be nobody's"
                ) from None

    def members(self, entity: str) -> list[Member]:
        """The members of an entity and of its projects."""
        found = self._rows(
            "SELECT entity, nullif(project, ''), user, role FROM members WHERE entity = ?"
            " ORDER BY project, user",
            entity,
        )
        return [Member(*row) for row in found]

    def set_member(self, entity: str, user: str, role: str, project: str | None = None) -> Member:
        """Make a user a member, or change the role, in an entity or in one of its projects.

        Raises:
            UsageError: there is no such role.
            Problem: 404 no such entity or user; 409 the entity is that user's own.
        """
        if role not in ROLES:
            raise UsageError(f"there is no role {role!r}", hint=f"roles: {', '.join(ROLES)}")
        if project:
            encode_name(project, "project")
        with self._database.writing() as connection:
            _find_entity(connection, entity)
            find_user(connection, user)
            if entity == user:
                raise Problem(409, "exists", f"{user} owns the entity {entity}")
            connection.execute(
                "INSERT INTO members VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET role = excluded.role",
                (entity, project or "", user, role),
            )
        return Member(entity, project or None, user, role)

    def remove_member(self, entity: str, user: str, project: str | None = None) -> None:
        """404 where the user is no member."""
        with self._database.writing() as connection:
            gone = connection.execute(
                "DELETE FROM members WHERE entity = ? AND project = ? AND user = ?",
                (entity, project or "", user),
            )
            if not gone.rowcount:
                where = f"{entity}/{project}" if project else entity
                raise Problem(404, "not_found", f"{user!r} is no member of {where}")

    # -- projects ------------------------------------------------------------------------------

    def standing(self, user: str | None, entity: str, project: str) -> Standing:
        """What a user is to an entity and a project."""
        values = {"user": user, "entity": entity, "project": project}
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT (SELECT kind FROM entities WHERE name = :entity), (SELECT role FROM members"
                "  WHERE entity = :entity AND project = '' AND user = :user),"
                " (SELECT role FROM members WHERE entity = :entity AND project = :project"
                "  AND user = :user AND :project != ''),"
                " (SELECT visibility FROM projects WHERE entity = :entity AND name = :project)",
                values,
            ).fetchone()
        return Standing(*row)

    def ensure_project(self, entity: str, project: str) -> Project:
        """The project, made where it is new: private below a user, for all of a team below one.

        Raises:
            UsageError: no name for a project.
            Problem: 404 no such entity.
        """
        found = self.project(entity, project)
        return found or self._put_project(entity, project, None)

    def set_visibility(self, entity: str, project: str, visibility: str) -> Project:
        """Say who sees a project, also before it has a run; errors as `ensure_project`."""
        if visibility not in VISIBILITIES:
            known = ", ".join(VISIBILITIES)
            raise UsageError(f"there is no visibility {visibility!r}", hint=f"there are {known}")
        return self._put_project(entity, project, visibility)

    def _put_project(self, entity: str, project: str, visibility: str | None) -> Project:
        encode_name(project, "project")
        with self._database.writing() as connection:
            kind = _find_entity(connection, entity)
            connection.execute(
                "INSERT INTO projects VALUES(?, ?, coalesce(?, ?), ?) ON CONFLICT DO UPDATE"
                " SET visibility = coalesce(?, visibility)",
                (
                    entity,
                    project,
                    visibility,
                    "private" if kind == "user" else "team",
                    self._clock(),
                    visibility,
                ),
            )
        made = self.project(entity, project)
        assert made is not None
        return made

    def project(self, entity: str, name: str) -> Project | None:
        found = self._rows(
            "SELECT entity, name, visibility, created FROM projects WHERE entity = ? AND name = ?",
            *(entity, name),
        )
        return Project(*found[0]) if found else None

    def projects(self) -> list[Project]:
        """All projects."""
        return [
            Project(*row)
            for row in self._rows(
                "SELECT entity, name, visibility, created FROM projects ORDER BY entity, name"
            )
        ]

    def readable(self, user: str | None, *, all_of_them: bool) -> list[tuple[str, str, str]]:
        """(entity, project, visibility) of what a user may read."""
        with self._database.reading() as connection:
            return connection.execute(
                f"SELECT p.entity, p.name, p.visibility {_READABLE} ORDER BY p.entity, p.name",
                {"user": user, "all": all_of_them},
            ).fetchall()

    def is_readable(
        self, user: str | None, entity: str, project: str, *, all_of_them: bool
    ) -> bool:
        """Whether a project is there and the user may read it."""
        values = {"user": user, "all": all_of_them, "entity": entity, "project": project}
        with self._database.reading() as connection:
            found = connection.execute(
                f"SELECT 1 {_READABLE} AND p.entity = :entity AND p.name = :project", values
            ).fetchone()
        return found is not None


def find_user(connection: sqlite3.Connection, name: str) -> bool:
    """Whether the user, who must be there, is an administrator."""
    found = connection.execute("SELECT admin FROM users WHERE name = ?", (name,)).fetchone()
    if not found:
        raise no_user(name)
    return bool(found[0])


def no_user(name: str) -> Problem:
    return Problem(404, "not_found", f"there is no user {name[:80]!r}")


def _find_entity(connection: sqlite3.Connection, name: str) -> str:
    found = connection.execute("SELECT kind FROM entities WHERE name = ?", (name,)).fetchone()
    if not found:
        message = f"there is no user or team {name[:80]!r}"
        raise Problem(404, "entity_unknown", message, entity=name[:80])
    return str(found[0])

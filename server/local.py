"""The access rules of `store ui`: somebody's own store, shown to nobody but this machine.

There are no accounts; what the pages ask for is allowed, what is not there is not found. The
door (see `store.server.app`) lets in what is addressed to this machine by a name of its own, and
`store.server.sessions` only those changes that a page of this server sent.
"""

from __future__ import annotations

from typing import Final

from store.errors import UsageError
from store.names import encode_name
from store.paths import StoreFolder
from store.server.access import Access, Caller, unseen
from store.server.records import Project

OWNER: Final = Caller("local", frozenset({"read", "write"}), None)


class LocalAccess(Access):
    """Everything is the owner's."""

    # ruff: noqa: ARG002 - the rules of a server ask who calls

    def __init__(self, store: StoreFolder) -> None:
        self._store = store

    def identify(self, authorization: str | None) -> Caller:
        return OWNER

    def identify_session(self, token: str | None) -> Caller:
        return OWNER

    def may_read(self, caller: Caller, entity: str, project: str) -> bool:
        try:
            folder = self._store.path / encode_name(entity) / encode_name(project)
        except UsageError:
            return False
        return folder.is_dir()

    def require_read(self, caller: Caller, entity: str, project: str) -> None:
        if not self.may_read(caller, entity, project):
            raise unseen(f"there is no project {entity}/{project} in this store")

    def require_change(self, caller: Caller, entity: str, project: str) -> None:
        self.require_read(caller, entity, project)

    def visible_projects(self, caller: Caller) -> list[tuple[str, str, str]]:
        found = {(run.entity, run.project) for run in self._store.runs()}
        return [(entity, project, "private") for entity, project in sorted(found)]

    def project(self, entity: str, project: str) -> Project | None:
        if not self.may_read(OWNER, entity, project):
            return None
        return Project(entity, project, "private", 0.0)

    def is_member(self, caller: Caller, entity: str, project: str = "") -> bool:
        return True

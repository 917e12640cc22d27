"""The addresses of the server: one table, which says of each who may call it.

`store.server.app` enforces `need` before a handler runs, wherever the path says what it is about;
the handlers of `INGEST` call `Access.require_write` for each run that they are sent. The matrix in
tests/server/test_permissions.py is generated from this table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from store.server import account_routes as accounts
from store.server import (
    editing,
    events,
    files,
    ingest,
    objects,
    openapi,
    project_events,
    reading,
    rows,
    series,
)

Handler = Callable[[Request], Awaitable[Response]]


class Need(Enum):
    """Who may call an endpoint; `{entity}` and `{project}` are those of the path."""

    ANYBODY = "everybody; the handler shows what the caller may see"
    SIGNED_IN = "any key that counts"
    OWN_ACCOUNT = "a key with the scope admin; the handler stays within the user's own account"
    READ_PROJECT = "who may read {project} of {entity}"
    WRITE_PROJECT = "who may write to {project} of {entity}"
    CHANGE_PROJECT = "who may change what is in {project} of {entity}: its members"
    INGEST = "a key with the scope write; the handler asks for each run"
    ENTITY_MEMBER = "the members of {entity}"
    ENTITY_ADMIN = "the administrators of {entity}"
    SERVER_ADMIN = "the administrators of the server"


class Endpoint(NamedTuple):
    """One method of one address."""

    method: str
    path: str
    handler: Handler
    need: Need


V1: Final = "/api/v1"
_MEMBERS: Final = f"{V1}/entities/{{entity}}/members"
_PROJECT: Final = f"{V1}/projects/{{entity}}/{{project}}"
_RUN: Final = f"{V1}/runs/{{entity}}/{{project}}/{{run}}"

ROUTES: Final[tuple[Endpoint, ...]] = (
    Endpoint("GET", V1, accounts.about, Need.ANYBODY),
    Endpoint("GET", f"{V1}/me", accounts.me, Need.SIGNED_IN),
    Endpoint("GET", f"{V1}/users", accounts.list_users, Need.SERVER_ADMIN),
    Endpoint("POST", f"{V1}/users", accounts.create_user, Need.SERVER_ADMIN),
    Endpoint("PATCH", f"{V1}/users/{{user}}", accounts.change_user, Need.SERVER_ADMIN),
    Endpoint("DELETE", f"{V1}/users/{{user}}", accounts.delete_user, Need.SERVER_ADMIN),
    Endpoint("GET", f"{V1}/keys", accounts.list_keys, Need.OWN_ACCOUNT),
    Endpoint("POST", f"{V1}/keys", accounts.create_key, Need.OWN_ACCOUNT),
    Endpoint("DELETE", f"{V1}/keys/{{key}}", accounts.revoke_key, Need.OWN_ACCOUNT),
    Endpoint("GET", f"{V1}/entities", accounts.list_entities, Need.SIGNED_IN),
    Endpoint("POST", f"{V1}/entities", accounts.create_team, Need.SERVER_ADMIN),
    Endpoint("DELETE", f"{V1}/entities/{{entity}}", accounts.delete_team, Need.SERVER_ADMIN),
    Endpoint("GET", _MEMBERS, accounts.list_members, Need.ENTITY_MEMBER),
    Endpoint("POST", _MEMBERS, accounts.set_member, Need.ENTITY_ADMIN),
    Endpoint("PATCH", f"{_MEMBERS}/{{user}}", accounts.change_member, Need.ENTITY_ADMIN),
    Endpoint("DELETE", f"{_MEMBERS}/{{user}}", accounts.remove_member, Need.ENTITY_ADMIN),
    Endpoint("PATCH", _PROJECT, accounts.change_project, Need.ENTITY_ADMIN),
    Endpoint("POST", f"{V1}/positions", ingest.positions, Need.SIGNED_IN),
    Endpoint("POST", f"{V1}/batches", ingest.batches, Need.INGEST),
    Endpoint("POST", f"{V1}/blobs/missing", ingest.missing_blobs, Need.INGEST),
    Endpoint("PUT", f"{V1}/blobs/{{sha256}}", ingest.put_blob, Need.INGEST),
    Endpoint("GET", f"{V1}/openapi.json", openapi.show_openapi, Need.ANYBODY),
    Endpoint("GET", f"{V1}/projects", reading.list_projects, Need.ANYBODY),
    Endpoint("GET", _PROJECT, reading.show_project, Need.READ_PROJECT),
    Endpoint("GET", f"{_PROJECT}/runs", reading.list_runs, Need.READ_PROJECT),
    Endpoint("GET", f"{_PROJECT}/events", project_events.show_project_events, Need.READ_PROJECT),
    Endpoint("GET", f"{_PROJECT}/series", series.show_project_series, Need.READ_PROJECT),
    Endpoint("GET", _RUN, reading.show_run, Need.READ_PROJECT),
    Endpoint("PATCH", _RUN, editing.change_run, Need.CHANGE_PROJECT),
    Endpoint("DELETE", _RUN, reading.delete_run, Need.CHANGE_PROJECT),
    Endpoint("GET", f"{_RUN}/rows", rows.list_rows, Need.READ_PROJECT),
    Endpoint("GET", f"{_RUN}/series", series.show_series, Need.READ_PROJECT),
    Endpoint("GET", f"{_RUN}/console", files.show_console, Need.READ_PROJECT),
    Endpoint("GET", f"{_RUN}/files", files.list_files, Need.READ_PROJECT),
    Endpoint("GET", f"{_RUN}/files/{{name:path}}", files.show_file, Need.READ_PROJECT),
    Endpoint("GET", f"{_RUN}/objects", objects.list_objects, Need.READ_PROJECT),
    Endpoint("GET", f"{_RUN}/objects/{{key:path}}", objects.show_objects, Need.READ_PROJECT),
    Endpoint("GET", f"{_RUN}/events", events.show_events, Need.READ_PROJECT),
)

"""The addresses about the server itself, its users, keys, entities, members and projects.

What `need` (see `store.server.routes`) cannot say is checked here: that keys are the user's own.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from store import __version__
from store.server.access import Caller
from store.server.accounts import Accounts
from store.server.context import caller_of, server_of
from store.server.limits import read_fields
from store.server.problems import Problem
from store.server.records import Entity, KeyRecord, Member, User

WIRE_VERSIONS: Final = (1,)
_GONE: Final = 204


def _accounts(request: Request) -> Accounts:
    return server_of(request).accounts


# -- the server and the caller -----------------------------------------------------------------


async def about(request: Request) -> Response:
    """What this server is, and its limits."""
    options = server_of(request).options
    limits = {"body": options.max_body, "json": options.max_json}
    facts = {"name": "runstore", "version": __version__, "wire": WIRE_VERSIONS, "limits": limits}
    return JSONResponse(facts)


async def me(request: Request) -> Response:
    """The caller: its user, where it may write, its key."""
    return JSONResponse(await run_in_threadpool(_me, _accounts(request), caller_of(request)))


def _me(accounts: Accounts, caller: Caller) -> dict[str, Any]:
    assert caller.user is not None
    assert caller.key_id is not None
    return {
        "user": caller.user,
        "admin": caller.is_admin,
        "default_entity": caller.user,
        "entities": _roles(accounts, caller.user),
        "key": _key(accounts.key(caller.key_id)),
    }


def _roles(accounts: Accounts, user: str) -> list[dict[str, Any]]:
    return [
        {"name": entity.name, "kind": entity.kind, "role": role_in(accounts, user, entity.name)}
        for entity in accounts.entities(user)
    ]


def role_in(accounts: Accounts, user: str, entity: str) -> str | None:
    """The user's role in an entity: owner, admin, member or viewer; None for none."""
    return "owner" if user == entity else accounts.standing(user, entity, "").role


# -- users -------------------------------------------------------------------------------------


def _user(user: User) -> dict[str, Any]:
    return user._asdict()


async def list_users(request: Request) -> Response:
    """All users."""
    found = await run_in_threadpool(_accounts(request).users)
    return JSONResponse({"users": [_user(user) for user in found]})


async def create_user(request: Request) -> Response:
    """A new user, with the entity of its name."""
    fields = await read_fields(request, name=str, admin=bool | None)
    made = await run_in_threadpool(
        _accounts(request).create_user, fields["name"], admin=bool(fields["admin"])
    )
    return JSONResponse(_user(made), 201)


async def change_user(request: Request) -> Response:
    """Disable, enable, make or unmake an administrator."""
    fields = await read_fields(request, admin=bool | None, disabled=bool | None)
    changed = await run_in_threadpool(
        _accounts(request).change_user, request.path_params["user"], **fields
    )
    return JSONResponse(_user(changed))


async def delete_user(request: Request) -> Response:
    """Remove a user with its keys and memberships; its runs stay."""
    await run_in_threadpool(_accounts(request).delete_user, request.path_params["user"])
    return Response(status_code=_GONE)


# -- keys --------------------------------------------------------------------------------------


def _key(key: KeyRecord) -> dict[str, Any]:
    return key._asdict()


async def list_keys(request: Request) -> Response:
    """The user's keys; a server administrator may ask for another's with ?user=, or all (*)."""
    caller = caller_of(request)
    user: str | None = request.query_params.get("user", caller.user)
    if user != caller.user and not caller.is_admin:
        raise _not_yours(caller)
    found = await run_in_threadpool(_accounts(request).keys, None if user == "*" else user)
    return JSONResponse({"keys": [_key(key) for key in found]})


async def create_key(request: Request) -> Response:
    """A new key: its text is in this answer and never again.

    `expires` is in seconds since 1970. The key does not outlive the one that it is made with.
    """
    caller, accounts = caller_of(request), _accounts(request)
    fields = await read_fields(
        request, scopes=list, user=str | None, label=str | None, expires=int | float | None
    )
    user = fields["user"] or caller.user
    assert isinstance(user, str)
    if user != caller.user and not caller.is_admin:
        raise _not_yours(caller)
    expires = await run_in_threadpool(end_of_key, accounts, caller, fields["expires"])
    text, made = await run_in_threadpool(
        accounts.create_key, user, fields["scopes"], label=fields["label"], expires=expires
    )
    return JSONResponse({"key": text, **_key(made)}, 201)


def end_of_key(accounts: Accounts, caller: Caller, wanted: float | None) -> float | None:
    """When a new key ends: not after the one that it is made with."""
    assert caller.key_id is not None
    ends = [end for end in (wanted, accounts.key(caller.key_id).expires) if end is not None]
    return min(ends) if ends else None


async def revoke_key(request: Request) -> Response:
    """From now on the key counts no more."""
    caller, accounts = caller_of(request), _accounts(request)
    await run_in_threadpool(revoke_own, accounts, caller, request.path_params["key"])
    return Response(status_code=_GONE)


def revoke_own(accounts: Accounts, caller: Caller, key_id: str) -> None:
    """End a key of the caller, or of anybody for an administrator. Problem 404."""
    if accounts.key(key_id).user != caller.user and not caller.is_admin:
        raise Problem(404, "not_found", f"there is no key {key_id!r}")
    accounts.revoke_key(key_id)


def _not_yours(caller: Caller) -> Problem:
    assert caller.user is not None
    return Problem(
        *(403, "not_allowed", f"{caller.user} may only see and make keys of its own"),
        "a server administrator may, for others",
        user=caller.user,
    )


# -- entities and members ----------------------------------------------------------------------


def _entity(entity: Entity, role: str | None) -> dict[str, Any]:
    return {**entity._asdict(), "role": role}


async def list_entities(request: Request) -> Response:
    """The entities that the user belongs to; to a server administrator, all."""
    found = await run_in_threadpool(_entities, _accounts(request), caller_of(request))
    return JSONResponse({"entities": found})


def _entities(accounts: Accounts, caller: Caller) -> list[dict[str, Any]]:
    user = caller.user
    assert user is not None
    found = accounts.entities(None if caller.is_admin else user)
    return [_entity(entity, role_in(accounts, user, entity.name)) for entity in found]


async def create_team(request: Request) -> Response:
    """A new team; `admin` is the user who administers it, the caller if not said."""
    fields = await read_fields(request, name=str, admin=str | None)
    admin = fields["admin"] or caller_of(request).user
    made = await run_in_threadpool(_accounts(request).create_team, fields["name"], admin=admin)
    role = "admin" if admin == caller_of(request).user else None
    return JSONResponse(_entity(made, role), 201)


async def delete_team(request: Request) -> Response:
    """Remove a team that has no projects."""
    await run_in_threadpool(_accounts(request).delete_team, request.path_params["entity"])
    return Response(status_code=_GONE)


def _member(member: Member) -> dict[str, Any]:
    return member._asdict()


async def list_members(request: Request) -> Response:
    """The members of an entity and of its projects."""
    found = await run_in_threadpool(_accounts(request).members, request.path_params["entity"])
    return JSONResponse({"members": [_member(member) for member in found]})


async def set_member(request: Request) -> Response:
    """Make a user a member, or change the role; with `project`, of that project only."""
    fields = await read_fields(request, user=str, role=str, project=str | None)
    entity = request.path_params["entity"]
    made = await run_in_threadpool(_accounts(request).set_member, entity, **fields)
    return JSONResponse(_member(made), 201)


async def change_member(request: Request) -> Response:
    """Change a member's role."""
    fields = await read_fields(request, role=str, project=str | None)
    changed = await run_in_threadpool(
        _change_member, _accounts(request), request.path_params, fields
    )
    return JSONResponse(_member(changed))


def _change_member(accounts: Accounts, path: dict[str, Any], fields: dict[str, Any]) -> Member:
    entity, user, project = path["entity"], path["user"], fields["project"] or None
    known = [(member.user, member.project) for member in accounts.members(entity)]
    if (user, project) not in known:
        raise Problem(404, "not_found", f"{user!r} is no member of {entity}")
    return accounts.set_member(entity, user, fields["role"], project)


async def remove_member(request: Request) -> Response:
    """End a membership; with ?project=, that in a project."""
    path = request.path_params
    project = request.query_params.get("project")
    await run_in_threadpool(_accounts(request).remove_member, path["entity"], path["user"], project)
    return Response(status_code=_GONE)


# -- projects ----------------------------------------------------------------------------------


async def change_project(request: Request) -> Response:
    """Say who sees a project, also before it has a run."""
    fields = await read_fields(request, visibility=str)
    entity, project = request.path_params["entity"], request.path_params["project"]
    changed = await run_in_threadpool(
        _accounts(request).set_visibility, entity, project, fields["visibility"]
    )
    return JSONResponse(changed._asdict())

"""The rules: who may read, write, change and see what of whom, and what others are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from store.server.access import NOBODY, Access, Caller
from store.server.problems import Problem
from store.server.records import VISIBILITIES
from tests.server.world import CALLERS, ENTITIES, OWNED, TEAM, World, make_world

READERS: Final = {
    "private": {"member", "team admin", "owner", "server admin", "read-only"},
    "team": {"viewer", "member", "team admin", "owner", "server admin", "read-only"},
    "public": set(CALLERS) - {"write-only"},
    "open": set(CALLERS) - {"write-only"},
}
WRITERS: Final = {"member", "team admin", "owner", "server admin", "write-only"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("server"))
    yield made
    made.accounts.close()


@pytest.fixture
def access(world: World) -> Access:
    return Access(world.accounts)


def caller_named(world: World, access: Access, name: str) -> Caller:
    key = world.keys[name]
    return access.identify(None if key is None else f"Bearer {key}")


def callers(world: World, access: Access, entity: str) -> Iterator[tuple[str, Caller]]:
    for name in CALLERS:
        if name != "owner" or entity == OWNED:
            yield name, caller_named(world, access, name)


def refusal(check: object, *arguments: object) -> tuple[int, str]:
    assert callable(check)
    try:
        check(*arguments)
    except Problem as problem:
        return problem.status, problem.code
    return 200, ""


@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize("visibility", VISIBILITIES)
def test_who_reads_and_writes(world: World, access: Access, entity: str, visibility: str) -> None:
    for name, caller in callers(world, access, entity):
        place = (caller, entity, visibility)
        assert access.may_read(*place) == (name in READERS[visibility]), name
        assert (refusal(access.require_read, *place)[0] == 200) == access.may_read(*place), name
        opened = {"stranger", "viewer"} if visibility == "open" else set()
        assert access.may_write(*place) == (name in WRITERS | opened), name
        assert (refusal(access.require_write, *place)[0] == 200) == access.may_write(*place), name
        assert (refusal(access.require_change, *place)[0] == 200) == (name in WRITERS), name


def test_a_listing_shows_just_what_may_be_read(world: World, access: Access) -> None:
    places = [(entity, visibility) for entity in ENTITIES for visibility in VISIBILITIES]
    for name in CALLERS:
        caller = caller_named(world, access, name)
        if name == "write-only":
            assert refusal(access.visible_projects, caller) == (403, "not_allowed")
            continue
        listed = access.visible_projects(caller)
        assert [place[:2] for place in listed] == sorted(
            place for place in places if access.may_read(caller, *place)
        )
        assert all(project == visibility for _, project, visibility in listed)


@pytest.mark.parametrize("entity", ENTITIES)
def test_who_belongs_to_an_entity(world: World, access: Access, entity: str) -> None:
    for name, caller in callers(world, access, entity):
        assert access.is_member(caller, entity) == (name not in ("nobody", "stranger")), name
        assert not access.is_member(caller, "nowhere")


def test_members_of_a_project_see_and_write_that_one_alone(world: World, access: Access) -> None:
    accounts = world.accounts
    accounts.set_visibility(TEAM, "other", "private")
    for user, role in (("pia", "viewer"), ("pol", "member")):
        accounts.create_user(user)
        accounts.set_member(TEAM, user, role, "private")
        text, _ = accounts.create_key(user, ("read", "write"))
        caller = access.identify(f"Bearer {text}")
        assert access.may_read(caller, TEAM, "private")
        assert access.may_write(caller, TEAM, "private") == (role == "member")
        assert access.is_member(caller, TEAM, "private")
        assert not access.is_member(caller, TEAM)
        for project in ("other", "team"):
            assert not access.may_read(caller, TEAM, project)
            assert not access.may_write(caller, TEAM, project)
        assert not access.may_write(caller, TEAM, "new")
    assert refusal(access.require_write, caller, TEAM, "new") == (403, "not_allowed")


# -- what is said ------------------------------------------------------------------------------


def said(check: object, *arguments: object) -> dict[str, object]:
    assert callable(check)
    with pytest.raises(Problem) as caught:
        check(*arguments)
    return {"status": caught.value.status, **caught.value.record()}


def test_whether_a_project_is_there_is_not_told(world: World, access: Access) -> None:
    for name in ("nobody", "stranger", "viewer"):
        caller = caller_named(world, access, name)
        for check in (access.require_read, access.require_write):
            there = said(check, caller, TEAM, "private")
            absent = said(check, caller, TEAM, "nothing")
            assert str(there).replace("private", "nothing") == str(absent)


def test_whether_an_entity_is_there_is_not_told_to_readers(world: World, access: Access) -> None:
    for name in ("nobody", "stranger"):
        caller = caller_named(world, access, name)
        there = said(access.require_read, caller, TEAM, "private")
        absent = said(access.require_read, caller, "nowhere", "private")
        assert str(there).replace(TEAM, "nowhere") == str(absent)


def test_the_three_refusals_of_a_write_say_what_to_do(world: World, access: Access) -> None:
    stranger = caller_named(world, access, "stranger")
    with pytest.raises(Problem) as caught:
        access.require_write(NOBODY, TEAM, "p")
    assert (caught.value.status, caught.value.code) == (401, "not_signed_in")
    assert "store login" in str(caught.value.hint)
    with pytest.raises(Problem) as caught:
        access.require_write(stranger, TEAM, "p")
    assert (caught.value.status, caught.value.code) == (403, "not_allowed")
    assert caught.value.facts == {"entity": TEAM, "user": "sam", "writable": ["sam"]}
    assert "ask an admin of vision to make you a member" in str(caught.value.hint)
    with pytest.raises(Problem) as caught:
        access.require_write(caller_named(world, access, "member"), "nowhere", "p")
    assert (caught.value.status, caught.value.code) == (404, "entity_unknown")
    assert caught.value.facts["writable"] == ["mia", OWNED, TEAM]


def test_rows_of_nobody_are_told_where_they_could_go(world: World, access: Access) -> None:
    with pytest.raises(Problem) as caught:
        access.require_write(caller_named(world, access, "member"), "local", "p")
    assert caught.value.code == "entity_unknown"
    assert "--entity" in str(caught.value.hint)


@pytest.mark.parametrize(
    "line", ["", "Bearer", "Bearer ", "Basic abc", "Bearer x", "st-" + "0" * 40, "Bearer st- a"]
)
def test_a_line_that_holds_no_key_is_no_key(access: Access, line: str) -> None:
    with pytest.raises(Problem) as caught:
        access.identify(line)
    assert (caught.value.status, caught.value.code) == (401, "bad_key")
    assert caught.value.facts["reason"] == "malformed"


def test_administration_needs_an_admin_and_its_admin_key(world: World, access: Access) -> None:
    for user, scopes, allowed in (
        ("root", ("admin",), True),
        ("root", ("read", "write"), False),
        ("tess", ("admin",), False),
    ):
        text, _ = world.accounts.create_key(user, scopes)
        caller = access.identify(f"Bearer {text}")
        assert caller.is_admin == allowed
        assert (refusal(access.require_server_admin, caller)[0] == 200) == allowed
        owns = user == "tess" or allowed
        assert (refusal(access.require_entity_admin, caller, TEAM)[0] == 200) == owns

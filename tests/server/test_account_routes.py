"""The addresses for accounts: what they do, and that nobody gets more with them than it has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store import __version__
from store.server.app import make_app
from store.server.context import ServerOptions
from tests.asgi import Asgi
from tests.server.world import World, make_world

V1 = "/api/v1"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path / "data")
    yield made
    made.accounts.close()


@pytest.fixture
def server(world: World) -> Iterator[Asgi]:
    with world.serve() as app:
        yield app


def test_the_server_says_what_it_is(server: Asgi) -> None:
    told = server.ask("GET", V1).json
    assert (told["name"], told["version"], told["wire"]) == ("runstore", __version__, [1])
    assert told["limits"] == {"body": 32 << 20, "json": 1 << 20}


def test_a_caller_is_told_who_it_is(world: World, server: Asgi) -> None:
    told = server.ask("GET", f"{V1}/me", world.keys["member"]).json
    assert (told["user"], told["default_entity"], told["admin"]) == ("mia", "mia", False)
    assert [(entity["name"], entity["role"]) for entity in told["entities"]] == [
        ("mia", "owner"),
        ("olga", "member"),
        ("vision", "member"),
    ]
    key = world.keys["member"]
    assert key is not None
    assert told["key"]["prefix"] == key[:11]
    assert told["key"]["scopes"] == ["admin", "read", "write"]
    assert "hash" not in told["key"]
    assert server.ask("GET", f"{V1}/me", world.keys["server admin"]).json["admin"] is True


def test_users_come_change_and_go(world: World, server: Asgi) -> None:
    root = world.keys["server admin"]
    made = server.ask("POST", f"{V1}/users", root, {"name": "ann"})
    assert (made.status, made.json["name"], made.json["admin"]) == (201, "ann", False)
    assert server.ask("POST", f"{V1}/users", root, {"name": "ann"}).code == "exists"
    assert server.ask("POST", f"{V1}/users", root, {"name": "Ann"}).code == "bad_request"
    key, _ = world.accounts.create_key("ann", ("read",))
    assert server.ask("GET", f"{V1}/me", key).status == 200
    changed = server.ask("PATCH", f"{V1}/users/ann", root, {"disabled": True})
    assert changed.json["disabled"] is True
    refused = server.ask("GET", f"{V1}/me", key)
    assert (refused.code, refused.json["error"]["reason"]) == ("bad_key", "disabled")
    assert server.ask("DELETE", f"{V1}/users/ann", root).status == 204
    assert server.ask("DELETE", f"{V1}/users/ann", root).code == "not_found"
    names = [user["name"] for user in server.ask("GET", f"{V1}/users", root).json["users"]]
    assert names == ["mia", "olga", "root", "sam", "tess", "vic"]


def test_a_user_makes_lists_and_revokes_its_own_keys(world: World, server: Asgi) -> None:
    mine = world.keys["member"]
    made = server.ask("POST", f"{V1}/keys", mine, {"scopes": ["read"], "label": "laptop"})
    assert (made.status, made.json["user"], made.json["scopes"]) == (201, "mia", ["read"])
    key = made.json["key"]
    assert server.ask("GET", f"{V1}/me", key).json["key"]["label"] == "laptop"
    listed = server.ask("GET", f"{V1}/keys", mine)
    assert {item["user"] for item in listed.json["keys"]} == {"mia"}
    assert key not in listed.body.decode()
    assert server.ask("DELETE", f"{V1}/keys/{made.json['id']}", mine).status == 204
    refused = server.ask("GET", f"{V1}/me", key).json["error"]
    assert refused["reason"] == "revoked"


def test_nobody_reaches_the_keys_of_others(world: World, server: Asgi) -> None:
    mine, root = world.keys["team admin"], world.keys["server admin"]
    theirs = world.accounts.keys("mia")[0]
    assert server.ask("GET", f"{V1}/keys?user=mia", mine).code == "not_allowed"
    assert server.ask("GET", f"{V1}/keys?user=*", mine).code == "not_allowed"
    for_mia = {"scopes": ["read"], "user": "mia"}
    assert server.ask("POST", f"{V1}/keys", mine, for_mia).code == "not_allowed"
    hidden = server.ask("DELETE", f"{V1}/keys/{theirs.id}", mine)
    absent = server.ask("DELETE", f"{V1}/keys/{theirs.id[::-1]}", mine)
    assert (hidden.status, hidden.code) == (absent.status, absent.code) == (404, "not_found")
    assert world.accounts.key(theirs.id).revoked is None
    assert server.ask("POST", f"{V1}/keys", root, for_mia).status == 201
    everybodys = server.ask("GET", f"{V1}/keys?user=*", root).json["keys"]
    assert {key["user"] for key in everybodys} == {"mia", "olga", "root", "sam", "tess", "vic"}
    assert server.ask("DELETE", f"{V1}/keys/{theirs.id}", root).status == 204


def test_a_key_makes_none_that_outlives_it(world: World, server: Asgi) -> None:
    end = time.time() + 3600
    brief, _ = world.accounts.create_key("mia", ("admin",), expires=end)
    for wanted in (None, end + 3600):
        made = server.ask("POST", f"{V1}/keys", brief, {"scopes": ["read"], "expires": wanted})
        assert made.json["expires"] == end
    sooner = server.ask("POST", f"{V1}/keys", brief, {"scopes": ["read"], "expires": end - 60})
    assert sooner.json["expires"] == end - 60


def test_an_admin_key_of_somebody_else_administers_nothing(world: World, server: Asgi) -> None:
    made = server.ask("POST", f"{V1}/keys", world.keys["stranger"], {"scopes": ["admin"]})
    assert made.status == 201
    assert server.ask("GET", f"{V1}/users", made.json["key"]).code == "not_allowed"


def test_teams_and_their_members(world: World, server: Asgi) -> None:
    root, tess = world.keys["server admin"], world.keys["team admin"]
    made = server.ask("POST", f"{V1}/entities", root, {"name": "audio", "admin": "tess"})
    assert (made.status, made.json["kind"]) == (201, "team")
    members = f"{V1}/entities/audio/members"
    added = server.ask("POST", members, tess, {"user": "sam", "role": "viewer"})
    assert added.json == {"entity": "audio", "project": None, "user": "sam", "role": "viewer"}
    sam = world.keys["stranger"]
    assert server.ask("GET", members, sam).status == 200
    assert server.ask("PATCH", f"{members}/sam", sam, {"role": "admin"}).code == "not_allowed"
    changed = server.ask("PATCH", f"{members}/sam", tess, {"role": "member"})
    assert changed.json["role"] == "member"
    listed = server.ask("GET", members, sam).json["members"]
    assert [(item["user"], item["role"]) for item in listed] == [
        ("sam", "member"),
        ("tess", "admin"),
    ]
    assert server.ask("PATCH", f"{members}/mia", tess, {"role": "admin"}).code == "not_found"
    assert server.ask("DELETE", f"{members}/sam", tess).status == 204
    assert server.ask("GET", members, sam).code == "not_found"
    mine = server.ask("GET", f"{V1}/entities", tess).json["entities"]
    assert {item["name"]: item["role"] for item in mine} == {
        "audio": "admin",
        "olga": "admin",
        "tess": "owner",
        "vision": "admin",
    }
    everything = server.ask("GET", f"{V1}/entities", root).json["entities"]
    assert {"audio", "sam", "vision"} < {item["name"] for item in everything}
    assert server.ask("DELETE", f"{V1}/entities/audio", root).status == 204
    assert server.ask("DELETE", f"{V1}/entities/vision", root).code == "exists"


def test_members_of_one_project(world: World, server: Asgi) -> None:
    tess, sam = world.keys["team admin"], world.keys["stranger"]
    members = f"{V1}/entities/vision/members"
    body = {"user": "sam", "role": "viewer", "project": "private"}
    assert server.ask("POST", members, tess, body).status == 201
    assert server.ask("GET", members, sam).code == "not_found"
    assert server.ask("DELETE", f"{members}/sam", tess).code == "not_found"
    assert server.ask("DELETE", f"{members}/sam?project=private", tess).status == 204


def test_who_sees_a_project_is_changed_by_who_owns_it(world: World, server: Asgi) -> None:
    project = f"{V1}/projects/vision/private"
    assert server.ask("PATCH", project, world.keys["member"], {"visibility": "open"}).status == 403
    changed = server.ask("PATCH", project, world.keys["team admin"], {"visibility": "public"})
    assert changed.json["visibility"] == "public"
    wrong = server.ask("PATCH", project, world.keys["team admin"], {"visibility": "secret"})
    assert (wrong.code, wrong.json["error"]["hint"]) == (
        "bad_request",
        "there are private, team, public, open",
    )


# -- requests that are not well --------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"name"',
        b"\xff",
        b"[" * 100_000,
        {"name": 7},
        {"name": None},
        {"name": "ann", "role": "x"},
        {"name": "ann", "admin": 1},
        {"name": "\ud800"},
        {"name": "ann\u202e"},
        b'{"name": "ann", "admin": NaN}',
    ],
)
def test_a_body_that_is_not_what_it_should_be_is_told(
    world: World, server: Asgi, body: Any
) -> None:
    answer = server.ask("POST", f"{V1}/users", world.keys["server admin"], body)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert len(world.accounts.users()) == 6


def test_names_in_a_path_are_only_names(world: World, server: Asgi) -> None:
    root = world.keys["server admin"]
    for name in ("..", "%2e%2e", "a'--", "%00", "%ff", "x" * 5000):
        answer = server.ask("PATCH", f"{V1}/users/{name}", root, {"disabled": True})
        assert answer.status == 404
    assert all(not user.disabled for user in world.accounts.users())


def test_a_name_with_a_slash_or_a_percent_is_reached(world: World, server: Asgi) -> None:
    tess = world.keys["team admin"]
    for coded, name in (
        ("a%2Fb", "a/b"),
        ("a%2fb%25", "a/b%"),
        ("%252F", "%2F"),
        ("a%252Fb%2F", "a%2Fb/"),
        ("caf%C3%A9%2F", "caf\u00e9/"),
        ("50%25", "50%"),
    ):
        changed = server.ask(
            "PATCH", f"{V1}/projects/vision/{coded}", tess, {"visibility": "public"}
        )
        assert (changed.status, changed.json["name"]) == (200, name)
    other = server.ask("PATCH", f"{V1}/projects/vision%2Fa/b", tess, {"visibility": "open"})
    assert other.code == "entity_unknown"


def test_errors_of_the_router_have_the_same_shape(world: World, server: Asgi) -> None:
    assert server.ask("GET", "/nowhere").code == "not_found"
    assert server.ask("GET", f"{V1}/").code == "not_found"
    wrong = server.ask("PUT", f"{V1}/users", world.keys["server admin"])
    assert (wrong.status, wrong.code) == (405, "bad_method")
    assert set(wrong.headers["allow"].split(", ")) <= {"GET", "HEAD", "POST"}


def test_every_answer_carries_the_security_headers(world: World, server: Asgi) -> None:
    for answer in (
        server.ask("GET", V1),
        server.ask("GET", f"{V1}/me"),
        server.ask("GET", "/nowhere"),
        server.ask("GET", V1, host="evil.example"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8321", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:1", 200),
        ("127.1.2.3", 200),
        ("[::1]:8321", 200),
        ("runs.example:443", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("10.0.0.1", 400),
        ("", 400),
        ("evil.example:localhost", 400),
    ],
)
def test_a_name_of_somebody_elses_is_turned_away(tmp_path: Path, host: str, status: int) -> None:
    options = ServerOptions(tmp_path, allowed_hosts=("runs.example",))
    with Asgi(make_app(options)) as server:
        assert server.ask("GET", V1, host=host).status == status


def test_a_server_for_all_addresses_is_known_by_addresses_not_names(tmp_path: Path) -> None:
    with Asgi(make_app(ServerOptions(tmp_path, host="0.0.0.0"))) as server:
        assert server.ask("GET", V1, host="10.0.0.1:8321").status == 200
        assert server.ask("GET", V1, host="evil.example").code == "bad_request"


def test_wrong_keys_are_slowed_down_and_right_ones_are_not(world: World) -> None:
    options = ServerOptions(world.data, failed_keys=3)
    with Asgi(make_app(options)) as server:
        answers = [server.ask("GET", f"{V1}/me", world.keys["bad"]) for _ in range(4)]
        assert [answer.status for answer in answers] == [401, 401, 401, 429]
        assert answers[-1].code == "slow_down"
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert server.ask("GET", f"{V1}/me", world.keys["member"]).status == 200
        assert server.ask("GET", V1).status == 200

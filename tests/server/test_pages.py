"""What the pages read and write, asked without a browser."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.catalogue import Catalogue
from store.paths import StoreFolder, create_store
from store.row import Kind
from store.server.accounts import Accounts
from store.server.accounts_db import FILE, TABLES
from store.server.app import make_local_app
from store.server.context import ServerOptions
from store.server.pages.provenance import commit_page, diff_lines
from store.server.problems import Problem
from store.server.search import parse_search
from store.state import EDITOR
from tests.asgi import Asgi
from tests.disks import read_only
from tests.server.world import World, make_world
from tests.stored_runs import BEGAN, absorb, metric, only_line, rows_of

RUN = "/api/v1/runs/local/p/r1"


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    return create_store(tmp_path / ".store")


@pytest.fixture
def local(folder: StoreFolder) -> Iterator[Asgi]:
    """The pages of a store of one's own, with one failed run."""
    absorb(folder.run("local", "p", "r1"), rows_of(metric(0, {"loss": 0.5}), state="failed"))
    with Asgi(make_local_app(folder, ServerOptions(folder.path))) as app:
        yield app


# -- searching ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("resnet  50", [("name", "resnet"), ("name", "50")]),
        ('"a b" tag="x y"', [("name", "a b"), ("tag", "x y")]),
        ("config.lr > 0.01", [("filter", "config.lr>0.01")]),
        ('summary.val/loss<=3 config.opt != "ad am"', None),
        ("state=failed", [("state", "failed")]),
        ("state != finished", None),
    ],
)
def test_a_search_means_parameters_of_the_api(
    text: str, found: list[tuple[str, str]] | None
) -> None:
    others = {
        "state != finished": [
            ("state", state) for state in ("running", "failed", "killed", "crashed", "damaged")
        ],
        'summary.val/loss<=3 config.opt != "ad am"': [
            ("filter", "summary.val/loss<=3"),
            ("filter", 'config.opt!="ad am"'),
        ],
    }
    assert parse_search(text).multi_items() == (others[text] if found is None else found)


@pytest.mark.parametrize("text", ["state=gone", "tag>x", "lr>1", 'group="a\\q"'])
def test_a_search_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_search(text)
    assert caught.value.status == 400


# -- provenance --------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("git@github.com:a/b.git", f"https://github.com/a/b/commit/{COMMIT}"),
        ("https://user:word@github.com/a/b", f"https://github.com/a/b/commit/{COMMIT}"),
        ("ssh://git@gitlab.com:2222/g/s/b.git", f"https://gitlab.com/g/s/b/-/commit/{COMMIT}"),
        ("git@bitbucket.org:a/b.git", f"https://bitbucket.org/a/b/commits/{COMMIT}"),
        ("http://git.example.org:3000/a/b", f"http://git.example.org:3000/a/b/commit/{COMMIT}"),
        ("/srv/git/b.git", None),
        ("file:///srv/b.git", None),
        ("javascript://github.com/%0aalert(1)", None),
        ('https://evil.example"onclick=/a', None),
        ("host:path", None),
        (["a"], None),
        ("", None),
    ],
)
def test_only_remotes_on_the_web_have_a_page(remote: object, page: str | None) -> None:
    assert commit_page({"remote": remote, "commit": COMMIT}) == page
    assert commit_page({"remote": remote, "commit": "<script>"}) is None


def test_a_diff_is_told_from_its_heads() -> None:
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n same\n\\ No newline"
    kinds = [line.kind for line in diff_lines(text)]
    assert kinds == ["file", "", "", "hunk", "del", "add", "", ""]


# -- editing -----------------------------------------------------------------------------------


def test_an_edit_is_a_row_that_leaves_the_run_as_it_was(folder: StoreFolder, local: Asgi) -> None:
    before = local.ask("GET", RUN).json
    said = local.ask("PATCH", RUN, body={"notes": "first", "tags": ["a"]})
    assert said.json == {"name": "r1", "notes": "first", "changed": ["notes", "tags"]}
    local.ask("PATCH", RUN, body={"notes": "second"})
    after = local.ask("GET", RUN).json
    assert (after["notes"], after["tags"]) == ("second", ["a"])
    for name in ("state", "created", "ended", "updated", "host", "summary"):
        assert after[name] == before[name], name
    edits = [source for source in after["sources"] if source["parent"] == EDITOR]
    assert [(e["state"], e["position"]) for e in edits] == [("finished", 3), ("finished", 3)]
    assert only_line(Catalogue(folder)).ended == BEGAN + 3
    assert folder.run("local", "p", "r1").segments() == {}


def test_a_store_that_cannot_be_written_to_says_so(folder: StoreFolder, local: Asgi) -> None:
    assert local.ask("PATCH", RUN, body={"notes": "first"}).status == 200
    with read_only(folder.path):
        refused = local.ask("PATCH", RUN, body={"notes": "second"})
        assert (refused.status, refused.code) == (409, "read_only")
        assert b"data-edit" not in local.ask("GET", "/local/p/runs/r1?tab=overview").body
    assert local.ask("GET", RUN).json["notes"] == "first"
    assert b"data-edit" in local.ask("GET", "/local/p/runs/r1?tab=overview").body


@pytest.mark.parametrize(
    "body", [{}, {"notes": 1}, {"tags": [1]}, {"tags": [""]}, {"name": "n" * 1001}, {"state": "x"}]
)
def test_what_is_no_edit_is_refused(local: Asgi, body: dict[str, Any]) -> None:
    assert local.ask("PATCH", RUN, body=body).code == "bad_request"


def test_values_beside_numbers_are_read_by_key(folder: StoreFolder, local: Asgi) -> None:
    said = [metric(n, {"a/text": f"t{n}", "table": {"_type": "table", "n": n}}) for n in range(3)]
    absorb(folder.run("local", "p", "r2"), rows_of(*said))
    run = "/api/v1/runs/local/p/r2/objects"
    keys = local.ask("GET", run).json["keys"]
    assert [(k["key"], k["types"], k["count"], k["last"]) for k in keys] == [
        ("a/text", ["text"], 3, 2),
        ("table", ["table"], 3, 2),
    ]
    first = local.ask("GET", f"{run}/a%2Ftext?limit=2").json
    assert ([o["data"] for o in first["objects"]], first["more"]) == (["t0", "t1"], True)
    rest = local.ask("GET", f"{run}/a%2Ftext?after={first['next']}").json
    assert ([o["data"] for o in rest["objects"]], rest["more"]) == (["t2"], False)


def test_the_console_is_searched(folder: StoreFolder, local: Asgi) -> None:
    lines = [(Kind.CONSOLE, 0, {"stream": "stdout", "text": f"Line {n}%_"}) for n in range(30)]
    absorb(folder.run("local", "p", "r3"), rows_of(*lines))
    found = local.ask("GET", "/api/v1/runs/local/p/r3/console?search=lINE%202").json["lines"]
    assert [line["text"] for line in found] == [f"Line {n}%_" for n in (2, *range(20, 30))]
    assert local.ask("GET", "/api/v1/runs/local/p/r3/console?search=9%25").json["lines"][0]


# -- attributes of hostile clients, groups -----------------------------------------------------


def test_attributes_of_any_type_are_shown(folder: StoreFolder, local: Asgi) -> None:
    odd: list[Any] = [1, "text", None, [1, [2]], {"a": {"_type": 3}}, True]
    for number, value in enumerate(odd):
        names = ("git", "machine", "command", "packages", "notes", "tags", "name", "other")
        plain: dict[str, Any] = dict.fromkeys(names, value)
        inner: dict[str, Any] = {
            "git": dict.fromkeys(("commit", "remote", "diff", "untracked", "dirty"), value)
        }
        inner |= {"machine": dict.fromkeys(("host", "gpus", "memory", "cpu_count"), value)}
        inner |= {"command": {"command": value, "cwd": value}}
        for form, attributes in (("plain", plain), ("inner", inner)):
            run = folder.run("local", "odd", f"{form}{number}")
            config = {"k": value, "e": {}, "deep": {"_type": value}}
            rows = rows_of(
                (Kind.ATTRIBUTE, 0, attributes),
                (Kind.CONFIG, 0, config),
                (Kind.SUMMARY, 0, {"s": value}),
            )
            absorb(run, rows)
            for tab in ("overview", "diff", "files"):
                page = f"/local/odd/runs/{run.id}?tab={tab}"
                assert local.ask("GET", page).status == 200, (page, value)
    for query in ("", "?by=config.k", "?by=summary.s&sort=-config.k", "?by=job_type"):
        assert local.ask("GET", f"/local/odd{query}").status == 200, query


def test_groups_are_counted_and_opened(folder: StoreFolder, local: Asgi) -> None:
    for number in range(5):
        config = {"lr": number % 2} if number < 4 else {}
        run = folder.run("local", "groups", f"g{number}")
        absorb(run, rows_of((Kind.CONFIG, 0, config), metric(0, {"loss": number})))
    page = local.ask("GET", "/local/groups?by=config.lr").body.decode()
    assert page.count("data-group") == 3
    assert "no value" in page
    for value, runs in (("0", ("g0", "g2")), ("null", ("g4",))):
        rows = local.ask("GET", f"/local/groups/rows?by=config.lr&in={value}").body.decode()
        assert [f"g{n}" for n in range(5) if f'data-run="g{n}"' in rows] == list(runs)


def test_a_local_store_takes_nothing_in(local: Asgi) -> None:
    assert local.ask("POST", "/api/v1/batches", body={}).status == 404
    assert local.ask("GET", "/api/v1/keys").status == 404
    assert local.ask("DELETE", RUN).status == 405
    assert local.ask("GET", "/login").status == 404


# -- sessions ----------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path / "data")
    yield made
    made.accounts.close()


def test_a_session_may_what_its_key_may(world: World) -> None:
    with world.serve() as server:
        for who, status in (("member", 200), ("stranger", 404), ("write-only", 403)):
            key = world.keys[who]
            answer = server.ask(
                "POST",
                "/login",
                body=f"key={key}&next=/vision/private".encode(),
                origin="http://localhost:8321",
            )
            assert (answer.status, answer.headers["location"]) == (303, "/vision/private")
            cookie = answer.headers["set-cookie"].partition(";")[0]
            assert server.ask("GET", "/vision/private", cookie=cookie).status == status
            assert key is not None
            assert key not in cookie
            with sqlite3.connect(world.data / FILE) as connection:
                (kept,) = connection.execute(
                    "SELECT group_concat(hex(hash)) FROM sessions"
                ).fetchone()
            connection.close()
            assert cookie.partition("=")[2].upper() not in kept
        assert server.ask("POST", "/logout", cookie=cookie).status == 303
        assert server.ask("GET", "/vision/team", cookie=cookie).status == 401


def test_accounts_of_before_sessions_are_taken_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.executescript(f"PRAGMA journal_mode = WAL;{TABLES}PRAGMA user_version = 1;")
    connection.close()
    accounts = Accounts(tmp_path)
    accounts.create_user("ann")
    _, key = accounts.create_key("ann", ("read",))
    token = accounts.start_session(key.id, 60.0)
    found = accounts.find_session(token)
    assert found is not None
    assert found.key.user == "ann"
    accounts.close()

"""Every endpoint x every caller x every visibility, from the table of routes.

What is to be answered stands here, in tables that know nothing of the rules in the server. A route
whose need has no row, or whose handler decides by itself and is not named here, fails.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from store.server.pages.routes import ALL_ROUTES
from store.server.records import VISIBILITIES
from store.server.routes import Endpoint
from store.sync.wire import Batch, RunName, encode_batch
from tests.asgi import Answer, Asgi
from tests.server.world import CALLERS, ENTITIES, INVALID, OWNED, World, make_world

COLUMNS: Final = "nobody stranger viewer member team_admin owner server_admin read_only write_only"
EXPECTED: Final = """
ANYBODY         *        200  200  200  200  200  200  200  200  200
SIGNED_IN       *        401  200  200  200  200  200  200  200  200
OWN_ACCOUNT     *        401  200  200  200  200  200  200  403  403
INGEST          *        401  200  200  200  200  200  200  403  200
READ_PROJECT    private  401  404  404  200  200  200  200  200  403
READ_PROJECT    team     401  404  200  200  200  200  200  200  403
READ_PROJECT    public   200  200  200  200  200  200  200  200  403
READ_PROJECT    open     200  200  200  200  200  200  200  200  403
READ_PROJECT    absent   401  404  404  404  404  404  404  404  403
WRITE_PROJECT   private  401  403  403  200  200  200  200  403  200
WRITE_PROJECT   team     401  403  403  200  200  200  200  403  200
WRITE_PROJECT   public   401  403  403  200  200  200  200  403  200
WRITE_PROJECT   open     401  200  200  200  200  200  200  403  200
WRITE_PROJECT   absent   401  403  403  200  200  200  200  403  200
CHANGE_PROJECT  *        401  403  403  200  200  200  200  403  200
ENTITY_MEMBER   *        401  404  200  200  200  200  200  200  403
ENTITY_ADMIN    *        401  403  403  403  200  200  200  403  403
SERVER_ADMIN    *        401  403  403  403  403  403  200  403  403
"""
"""A project that is "absent" is not there. The owner is one of the user's entity only."""
PROJECTS: Final = (*VISIBILITIES, "absent")
TABLE: Final[dict[tuple[str, str], dict[str, int]]] = {
    (need, visibility): dict(zip(COLUMNS.split(), map(int, codes), strict=True))
    for need, visibility, *codes in map(str.split, EXPECTED.strip().splitlines())
}

PATH: Final = {
    "run": "r1",
    "user": "mia",
    "key": "0123456789ab",
    "sha256": hashlib.sha256(b"abc").hexdigest(),
    "name": "a.txt",
    "path": "css/base.css",
}
"""What stands for the parameters of a path, beside {entity} and {project}."""


def expected(endpoint: Endpoint, caller: str, project: str) -> int:
    if caller in INVALID:
        return 401
    need = endpoint.need.name
    row = TABLE.get((need, project)) or TABLE.get((need, "*"))
    if row is None:
        pytest.fail(f"{endpoint.path}: no row for {need} of a project that is {project}")
    return row[caller.replace(" ", "_").replace("-", "_")]


def address(endpoint: Endpoint, entity: str, project: str) -> str:
    known = {**PATH, "entity": entity, "project": project}

    def value(found: re.Match[str]) -> str:
        name = found[1].partition(":")[0]
        if name not in known:
            pytest.fail(f"{endpoint.path}: say in PATH what stands for {name}")
        return known[name]

    return re.sub(r"\{([^}]+)\}", value, endpoint.path)


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def callers(entity: str) -> list[str]:
    return [who for who in (*CALLERS, *INVALID) if who != "owner" or entity == OWNED]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("server"))
    yield made
    made.accounts.close()


@pytest.fixture(scope="module")
def gate(world: World) -> Iterator[Asgi]:
    """The server with its gate, and behind it handlers that only say that they were reached."""

    async def reached(_request: Request) -> Response:
        return JSONResponse({"reached": True})

    with world.serve(tuple(route._replace(handler=reached) for route in ALL_ROUTES)) as app:
        yield app


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Asgi]:
    with world.serve() as app:
        yield app


# -- the gate ----------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ALL_ROUTES, ids=name_of)
def test_the_gate_lets_pass_whom_the_table_says(
    endpoint: Endpoint, world: World, gate: Asgi
) -> None:
    wrong = []
    for entity in ENTITIES:
        for project in PROJECTS if "{project}" in endpoint.path else ("private",):
            for caller in callers(entity):
                path = address(endpoint, entity, project)
                answer = gate.ask(endpoint.method, path, world.keys[caller])
                wanted = expected(endpoint, caller, project)
                if answer.status != wanted:
                    wrong.append((caller, entity, project, answer.status, wanted, answer.body))
    assert wrong == []


@pytest.mark.parametrize("endpoint", ALL_ROUTES, ids=name_of)
def test_whom_the_gate_turns_away_no_handler_serves(
    endpoint: Endpoint, world: World, server: Asgi
) -> None:
    before = _dump(world.data)
    wrong = []
    for entity in ENTITIES:
        for project in PROJECTS if "{project}" in endpoint.path else ("private",):
            for caller in callers(entity):
                wanted = expected(endpoint, caller, project)
                if wanted != 200:
                    path = address(endpoint, entity, project)
                    answer = server.ask(endpoint.method, path, world.keys[caller], {})
                    if answer.status != wanted or "error" not in answer.json:
                        wrong.append((caller, entity, project, answer, wanted))
    assert wrong == []
    assert _dump(world.data) == before


def _dump(data: Path) -> tuple[list[str], list[str]]:
    """All accounts but for when a key was last used, and all files."""
    with sqlite3.connect(data / "accounts.db") as connection:
        connection.row_factory = sqlite3.Row
        rows = [
            f"{table}: {[item for item in dict(row).items() if item[0] != 'last_used']}"
            for table in ("users", "entities", "members", "projects", "keys")
            for row in connection.execute(f"SELECT * FROM {table}")
        ]
    connection.close()
    files = [str(path) for path in data.rglob("*") if not path.name.startswith("accounts.")]
    return rows, sorted(files)


def test_a_need_that_the_path_cannot_answer_is_in_no_route() -> None:
    for endpoint in ALL_ROUTES:
        if endpoint.need.name.endswith("_PROJECT"):
            assert "{entity}" in endpoint.path, endpoint
            assert "{project}" in endpoint.path, endpoint
        if endpoint.need.name.startswith("ENTITY_"):
            assert "{entity}" in endpoint.path, endpoint
    assert len({(route.method, route.path) for route in ALL_ROUTES}) == len(ALL_ROUTES)


# -- handlers that decide by themselves --------------------------------------------------------

Ask = Callable[[Asgi, str | None, str, str], Answer]
SHA256: Final = PATH["sha256"]


def positions(server: Asgi, key: str | None, entity: str, project: str) -> Answer:
    asked = {"runs": [[entity, project, "r1"]]}
    return server.ask("POST", "/api/v1/positions", key, asked)


def batches(server: Asgi, key: str | None, entity: str, project: str) -> Answer:
    batch = encode_batch(Batch(RunName(entity, project, "r1"), "a" * 32, []))
    return server.ask(
        "POST", "/api/v1/batches", key, batch, content_type="application/x-runstore-batch"
    )


def missing_blobs(server: Asgi, key: str | None, entity: str, project: str) -> Answer:
    asked = {"run": [entity, project, "r1"], "hashes": {SHA256: 3}}
    return server.ask("POST", "/api/v1/blobs/missing", key, asked)


def put_blob(server: Asgi, key: str | None, entity: str, project: str) -> Answer:
    query = f"entity={entity}&project={project}&run=r1&offset=0&size=3"
    return server.ask("PUT", f"/api/v1/blobs/{SHA256}?{query}", key, b"abc")


def projects(server: Asgi, key: str | None, entity: str, project: str) -> Answer:
    answer = server.ask("GET", "/api/v1/projects", key)
    listed = answer.json.get("projects", []) if answer.status == 200 else []
    if answer.status == 200 and (entity, project) not in [(p["entity"], p["name"]) for p in listed]:
        return Answer(HIDDEN, answer.headers, answer.body)
    return answer


def projects_page(server: Asgi, key: str | None, entity: str, project: str) -> Answer:
    answer = server.ask("GET", "/", key)
    if answer.status == 200 and f'href="/{entity}/{project}"'.encode() not in answer.body:
        return Answer(HIDDEN, answer.headers, answer.body)
    return answer


HIDDEN: Final = 1000
"""The status of an answer in whose list the project is not."""
NO_PROJECT: Final = None
"""The handler tells nothing of projects: what it does tell has tests in test_account_routes."""
DECIDES: Final[dict[str, tuple[str, Ask] | None]] = {
    "GET /api/v1": NO_PROJECT,
    "GET /api/v1/openapi.json": NO_PROJECT,
    "GET /api/v1/me": NO_PROJECT,
    "GET /api/v1/keys": NO_PROJECT,
    "POST /api/v1/keys": NO_PROJECT,
    "DELETE /api/v1/keys/{key}": NO_PROJECT,
    "GET /api/v1/entities": NO_PROJECT,
    "GET /api/v1/projects": ("READ_PROJECT", projects),
    "GET /": ("READ_PROJECT", projects_page),
    "GET /static/{path:path}": NO_PROJECT,
    "GET /licenses": NO_PROJECT,
    "GET /login": NO_PROJECT,
    "POST /login": NO_PROJECT,
    "POST /logout": NO_PROJECT,
    "GET /account": NO_PROJECT,
    "POST /account/keys": NO_PROJECT,
    "POST /account/keys/{key}/revoke": NO_PROJECT,
    "POST /api/v1/positions": ("READ_PROJECT or WRITE_PROJECT", positions),
    "POST /api/v1/batches": ("WRITE_PROJECT", batches),
    "POST /api/v1/blobs/missing": ("WRITE_PROJECT", missing_blobs),
    "PUT /api/v1/blobs/{sha256}": ("WRITE_PROJECT", put_blob),
}
"""Every endpoint whose need says nothing of a project: the need that its handler has to enforce,
and a request that asks for it."""


def _own_decisions() -> list[Endpoint]:
    needs = ("ANYBODY", "SIGNED_IN", "OWN_ACCOUNT", "INGEST")
    return [endpoint for endpoint in ALL_ROUTES if endpoint.need.name in needs]


@pytest.mark.parametrize("endpoint", _own_decisions(), ids=name_of)
def test_handlers_that_decide_by_themselves_follow_the_table(
    endpoint: Endpoint, world: World, server: Asgi
) -> None:
    if name_of(endpoint) not in DECIDES:
        pytest.fail(f"say in DECIDES what the handler of {name_of(endpoint)} has to enforce")
    rule = DECIDES[name_of(endpoint)]
    if rule is None:
        return
    needs, ask = rule
    wrong = []
    for entity in ENTITIES:
        for project in VISIBILITIES:
            for caller in callers(entity):
                answer = ask(server, world.keys[caller], entity, project)
                wanted = _decided(needs, caller, project)
                if endpoint.method == "GET" and caller not in INVALID and wanted in (401, 404):
                    wanted = HIDDEN
                if _said(answer) != wanted:
                    wrong.append((caller, entity, project, answer.status, wanted, answer.body))
    assert wrong == []


def _decided(needs: str, caller: str, project: str) -> int:
    if caller in INVALID:
        return 401
    column = caller.replace(" ", "_").replace("-", "_")
    codes = [TABLE[(need, project)][column] for need in needs.split(" or ")]
    if caller == "nobody" and "WRITE_PROJECT" in needs:
        return 401
    return 200 if 200 in codes else codes[-1]


def _said(answer: Answer) -> int:
    """The status, or that of the one error in a list of answers."""
    if answer.status != 200 or answer.headers["content-type"].startswith("text/html"):
        return answer.status
    found: Any = answer.json.get("runs", [{}])[0]
    code = found.get("error", {}).get("code")
    return {None: 200, "not_allowed": 403, "not_found": 404, "entity_unknown": 404}[code]


def test_to_an_entity_that_is_not_there_nobody_writes(world: World, server: Asgi) -> None:
    for name, rule in DECIDES.items():
        if rule is not None and rule[0] == "WRITE_PROJECT":
            answer = rule[1](server, world.keys["member"], "nowhere", "p")
            assert (answer.status, answer.code) == (404, "entity_unknown"), name
            assert answer.json["error"]["writable"] == ["mia", "olga", "vision"]


@pytest.mark.parametrize("part", range(3))
def test_a_name_that_is_no_text_is_a_bad_request(world: World, server: Asgi, part: int) -> None:
    run = ["vision", "team", "r1"]
    run[part] = "\ud800"
    answer = server.ask("POST", "/api/v1/positions", world.keys["member"], {"runs": [run]})
    assert answer.json["runs"][0]["error"]["code"] == "bad_request"
    asked = {"run": run, "hashes": {SHA256: 3}}
    answer = server.ask("POST", "/api/v1/blobs/missing", world.keys["member"], asked)
    assert answer.code == "bad_request"

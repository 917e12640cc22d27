"""The document is of the table of routes and of what handlers take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from store.server.openapi import NO, OPERATIONS, make_document
from store.server.routes import ROUTES, Endpoint
from store.server.schemas import SCHEMAS
from tests.server.reader import Place, clean_folders, make_data, serving
from tests.stored_runs import absorb, rows_of

DOCUMENT = make_document(ROUTES)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("openapi")
    with clean_folders(base):
        folder = make_data(base / "data")
        absorb(folder.run("ann", "p", "r"), rows_of())
        with serving(base / "data") as found:
            yield found


def operation(endpoint: Endpoint) -> dict[str, Any]:
    path = re.sub(r":\w+\}", "}", endpoint.path)
    found: dict[str, Any] = DOCUMENT["paths"][path][endpoint.method.lower()]
    return found


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


@pytest.mark.parametrize("endpoint", ROUTES, ids=name_of)
def test_every_endpoint_is_described(endpoint: Endpoint) -> None:
    said = operation(endpoint)
    assert said["operationId"] in OPERATIONS
    assert said["summary"].endswith(".")
    named = {p["name"] for p in said["parameters"] if p["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)", endpoint.path))
    (status,) = set(said["responses"]) - set(NO)
    assert ("content" in said["responses"][status]) is (status != "204")
    if endpoint.method in ("POST", "PATCH", "PUT"):
        assert said["requestBody"]["content"]


def test_nothing_else_is_described() -> None:
    described = [one for methods in DOCUMENT["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in described]
    assert len(described) == len(ROUTES)
    assert len(set(names)) == len(names)
    assert set(OPERATIONS) == set(names)


def test_every_reference_leads_somewhere() -> None:
    found = set(re.findall(r"#/components/(\w+)/(\w+)", repr(DOCUMENT)))
    assert found
    for kind, name in found:
        assert name in DOCUMENT["components"][kind]
    assert {name for kind, name in found if kind == "schemas"} == set(SCHEMAS)


@pytest.mark.parametrize("endpoint", ROUTES, ids=name_of)
def test_the_parameters_are_those_that_the_handler_knows(place: Place, endpoint: Endpoint) -> None:
    """A handler that refuses what it does not know says what it knows."""
    known = {"entity": "ann", "project": "p", "run": "r", "name": "n", "sha256": "0"}
    path = re.sub(r"\{(\w+)[^}]*\}", lambda found: known.get(found[1], "x"), endpoint.path)
    said = place.owner.ask(
        endpoint.method, path.removeprefix("/api/v1"), [("no such parameter", 1)]
    )
    if said.status != 400 or "unknown parameter" not in said.json["error"]["message"]:
        assert endpoint.handler.__module__ in ACCOUNTS_AND_INGEST
        return
    told = said.json["error"]["hint"].removeprefix("known: ")
    parameters = operation(endpoint)["parameters"]
    described = [p["name"] for p in parameters if p["in"] == "query"]
    assert sorted(described) == sorted([] if told == "there are none here" else told.split(", "))


ACCOUNTS_AND_INGEST = {
    *("store.server.account_routes", "store.server.ingest"),
    "store.server.openapi",
}


def test_the_document_needs_no_key(place: Place) -> None:
    said = place.nobody.get("/openapi.json")
    assert said.status == 200
    assert said.json == DOCUMENT
    assert said.json["openapi"].startswith("3.1.")


def test_answers_are_as_described(place: Place) -> None:
    """Every field of the answers is in the schema of the answer."""
    for path, name in (
        ("/projects/ann/p", "Project"),
        ("/runs/ann/p/r", "Run"),
        ("/projects/ann/p/runs", "Run"),
    ):
        said = place.owner.get(path).json
        record = said["runs"][0] if "runs" in said and name == "Run" else said
        properties = set(SCHEMAS[name]["properties"])
        if path == "/runs/ann/p/r":
            parts = OPERATIONS["show_run"].gives["application/json"]["allOf"]
            properties |= set(parts[1]["properties"])
            assert set(said["sources"][0]) <= set(SCHEMAS["Source"]["properties"])
        assert set(record) <= properties, path

"""Projects, runs, console and files, as members, others and nobody get them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from store.row import Kind
from store.server.graves import Graves
from store.sync.blobs import Blobs, link_files
from tests.server.reader import Place, Said, clean_folders, make_data, new_run, serving
from tests.stored_runs import absorb, metric, rows_of

RUNS = "/projects/ann/p/runs"
NASTY = 'résumé "a"; <b>.html'
HTML = b"<script>alert(1)</script>"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("reading")
    with clean_folders(base):
        folder = make_data(base / "data")
        for index in range(12):
            described: dict[str, Any] = {"name": f"run {index}"}
            if index < 6:
                described |= {"group": "first", "job_type": "train", "tags": ["even", "six"]}
            absorb(
                folder.run("ann", "p", f"r{index:02}"),
                rows_of(
                    (Kind.CONFIG, 0, {"lr": 10.0**-index, "opt": "adam", "deep": {"n": index}}),
                    (Kind.CONFIG, 0, {"flag": index % 2 == 0, "mixed": index if index else "x"}),
                    (Kind.ATTRIBUTE, 0, described),
                    metric(1, {"loss": index / 10 if index else float("nan"), "up": float("inf")}),
                    state="failed" if index == 3 else "finished",
                    at=1_700_000_000.0 + index,
                ),
                f"{index:032x}",
            )
        save(base, "full")
        with serving(base / "data") as found:
            yield found


def save(base: Path, run_id: str) -> None:
    """A run with everything: provenance, console, files, code."""
    work = base / "work"
    work.mkdir()
    for name, content in ((NASTY, HTML), ("weights.bin", bytes(range(256)) * 100)):
        (work / name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        run = new_run(base / "data", run_id, name="full")
        run.save("*")
        for line in range(30):
            run._write(Kind.CONSOLE, {"stream": "stdout", "text": f"line {line}"})
        code = {"size": 4, "sha256": hashlib.sha256(b"code").hexdigest()}
        run._write(Kind.FILE, {"code/train.py": code, "lost.bin": {"size": 1, "sha256": "0" * 64}})
        (run.dir / "files" / "code").mkdir()
        (run.dir / "files" / "code" / "train.py").write_bytes(b"code")
        run.finish()


def ids(said: Said) -> list[str]:
    assert said.status == 200, said.body
    return [run["id"] for run in said.json["runs"]]


def few(*numbers: int) -> list[str]:
    return [f"r{number:02}" for number in numbers]


# -- projects ----------------------------------------------------------------------------------


def test_projects_are_those_that_one_may_see(place: Place) -> None:
    (mine,) = place.owner.get("/projects").json["projects"]
    assert (mine["entity"], mine["name"]) == ("ann", "p")
    assert (mine["visibility"], mine["runs"], mine["running"]) == ("private", 13, 0)
    assert place.other.get("/projects").json == {"projects": []}
    assert place.nobody.get("/projects").json == {"projects": []}
    assert place.owner.get("/projects", [("entity", "bob")]).json == {"projects": []}

    place.show("public")
    try:
        assert place.nobody.get("/projects").json == {
            "projects": [{**mine, "visibility": "public"}]
        }
        assert place.nobody.get("/projects/ann/p").json["member"] is False
        assert place.owner.get("/projects/ann/p").json["member"] is True
    finally:
        place.show("private")


def test_what_one_may_not_see_is_not_there(place: Place) -> None:
    there = [
        *("/projects/ann/p", RUNS, "/runs/ann/p/full", "/runs/ann/p/full/files/weights.bin"),
        *("/runs/ann/p/full/rows?seq_after=0", "/runs/ann/p/full/series?key=loss"),
        *("/runs/ann/p/full/console", "/runs/ann/p/full/events"),
    ]
    for path in there:
        said, absent = place.other.get(path), place.other.get(path.replace("ann/p", "ann/q"))
        assert (said.status, absent.status) == (404, 404), path
        assert said.json == json.loads(absent.body.replace(b"ann/q", b"ann/p")), path
        assert place.nobody.get(path).status == 401, path


# -- lists of runs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([("state", "failed")], few(3)),
        ([("state", "failed"), ("state", "running")], few(3)),
        ([("tag", "six"), ("filter", "config.deep.n>=4")], few(5, 4)),
        ([("tag", "six"), ("tag", "seven")], []),
        ([("group", "first"), ("job_type", "train"), ("filter", "config.deep.n<2")], few(1, 0)),
        ([("name", "RUN 1")], few(11, 10, 1)),
        ([("name", "%")], []),
        ([("filter", "config.lr<0.0000000011")], few(11, 10, 9)),
        ([("filter", "config.lr = 1e-3")], []),
        ([("filter", "config.lr=1e-3")], few(3)),
        ([("filter", "config.opt=adam"), ("filter", "config.deep.n==2")], few(2)),
        ([("filter", "config.opt!=adam")], []),
        ([("filter", "config.flag=true"), ("filter", "config.deep.n<=2")], few(2, 0)),
        ([("filter", "config.flag=1")], []),
        ([("filter", "config.mixed<2")], few(1)),
        ([("filter", "config.mixed=x")], few(0)),
        ([("filter", 'config.mixed="x"')], few(0)),
        ([("filter", "config.mixed!=x"), ("filter", "config.deep.n<2")], few(1)),
        ([("filter", "summary.loss>=1.05")], few(11)),
        ([("filter", "summary.loss<0.15")], few(1)),
        ([("filter", "summary.loss=null")], few(0)),
        ([("filter", "summary.up>1e300"), ("filter", "config.deep.n<2")], few(1, 0)),
        ([("filter", "config.lr<0.1' OR '1'='1")], []),
        ([("filter", "config.absent!=1")], []),
    ],
)
def test_filters(place: Place, query: list[tuple[str, str]], expected: list[str]) -> None:
    assert ids(place.owner.get(RUNS, query)) == expected


WRONG = {
    "filter": ["lr<0.1", "config.lr", "config.<1", "attributes.host=x", "config.flag<true"],
    "sort": ["host", "command; DROP TABLE run", "config."],
    "limit": ["0", "1001"],
    "after": ["nonsense", "W10"],
    "fitler": ["config.lr<0.1"],
}


@pytest.mark.parametrize(
    "query",
    [
        *([(name, text)] for name, texts in WRONG.items() for text in texts),
        [("filter", 'config.opt="adam')],
        [("group", "a"), ("group", "b")],
    ],
)
def test_what_cannot_be_meant_is_refused(place: Place, query: list[tuple[str, str]]) -> None:
    said = place.owner.get(RUNS, query)
    assert (said.status, said.json["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize("limit", [1, 4, 5, 13])
@pytest.mark.parametrize(
    "sort",
    [
        *("created", "-created", "name", "-state", "-config.lr", "config.mixed", "-config.mixed"),
        *("summary.loss", "-summary.loss", "group", "-summary.absent", "rows"),
    ],
)
def test_pages_make_up_the_list(place: Place, sort: str, limit: int) -> None:
    whole = ids(place.owner.get(RUNS, [("sort", sort), ("limit", 1000)]))
    assert len(set(whole)) == 13
    found: list[str] = []
    after: list[tuple[str, str]] = []
    for _ in range(14):
        said = place.owner.get(RUNS, [("sort", sort), ("limit", limit), *after])
        found += ids(said)
        assert said.json["total"] == 13
        if said.json["next"] is None:
            break
        after = [("after", said.json["next"])]
    assert found == whole


def test_order(place: Place) -> None:
    by_loss = ids(place.owner.get(RUNS, [("sort", "-summary.loss"), ("group", "first")]))
    assert by_loss == few(5, 4, 3, 2, 1, 0)
    by_mixed = ids(place.owner.get(RUNS, [("sort", "config.mixed"), ("group", "first")]))
    assert by_mixed == few(1, 2, 3, 4, 5, 0)
    page = place.owner.get(RUNS, [("sort", "name"), ("limit", 2)]).json
    other = place.owner.get(RUNS, [("sort", "-name"), ("after", page["next"])])
    assert other.status == 400


def test_special_numbers_are_json(place: Place) -> None:
    (run,) = place.owner.get(RUNS, [("name", "r00")]).json["runs"]
    assert run["summary"] == {"loss": None, "up": float("inf")}
    assert run["nan"] == ["loss"]


# -- one run -----------------------------------------------------------------------------------


def test_a_member_sees_all_of_a_run(place: Place) -> None:
    said = place.owner.get("/runs/ann/p/full").json
    assert (said["name"], said["state"], said["member"]) == ("full", "finished", True)
    assert {"command", "machine", "packages", "name"} <= set(said["attributes"])
    (source,) = said["sources"]
    assert None not in (source["host"], source["pid"], source["store"])
    assert source["state"] == "finished"
    assert source["position"] == said["rows"]
    metrics = place.owner.get("/runs/ann/p/r03").json["metrics"]
    numbers = {"points": 1, "min": 0.3, "max": 0.3, "last": 0.3}
    assert metrics[0] == {"key": "loss", "step_metric": None, **numbers}


@pytest.mark.parametrize("who", ["nobody", "other"])
@pytest.mark.parametrize("visibility", ["public", "open"])
def test_others_do_not_see_where_and_how_it_ran(place: Place, who: str, visibility: str) -> None:
    member = place.owner.get("/runs/ann/p/full").json
    attributes = member["attributes"]
    secrets = [
        *(member["sources"][0]["host"], attributes["command"]["cwd"]),
        *(attributes["machine"]["python"], "code/train.py", "command", "packages", "machine"),
    ]
    secrets = [text for text in secrets if isinstance(text, str)]
    reader = getattr(place, who)
    place.show(visibility)
    try:
        for path in ("", "/console", "/files", "/rows?seq_after=0"):
            said = reader.get(f"/runs/ann/p/full{path}")
            assert said.status == 200
            if not path.startswith("/rows"):
                shown = said.body.decode()
                assert [text for text in secrets if json.dumps(text) in shown] == [], path
        said = reader.get("/runs/ann/p/full").json
        listed = reader.get(RUNS).json["runs"]
    finally:
        place.show("private")
    assert said["member"] is False
    assert set(said["attributes"]) == {"name"}
    assert not {"host", "commit"} & {key for run in [said, *listed] for key in run}
    assert not {"host", "pid", "store"} & set(said["sources"][0])
    assert said["sources"][0]["digest"] == member["sources"][0]["digest"]


def test_a_run_that_is_not_there(place: Place) -> None:
    for name in ("absent", "%2e%2e", "x" * 300):
        said = place.owner.get(f"/runs/ann/p/{name}")
        assert (said.status, said.json["error"]["code"]) == (404, "not_found")


# -- console and files -------------------------------------------------------------------------


def test_the_console_by_pages_in_both_directions(place: Place) -> None:
    whole = place.owner.get("/runs/ann/p/full/console").json
    texts = [line["text"] for line in whole["lines"]]
    assert texts == [f"line {number}" for number in range(30)]
    assert whole["more"] is False
    assert whole["lines"][0]["writer"].count(":") == 1

    forwards, after = [], 0
    for more in (True, True, True, False):
        query = [("after", after), ("limit", 8)]
        page = place.owner.get("/runs/ann/p/full/console", query).json
        forwards += [line["text"] for line in page["lines"]]
        after = page["next"]
        assert page["more"] is more
    assert forwards == texts
    end = place.owner.get("/runs/ann/p/full/console", [("after", after)]).json
    assert (end["lines"], end["next"], end["more"]) == ([], after, False)

    tail = place.owner.get("/runs/ann/p/full/console", [("before", 10**9), ("limit", 5)]).json
    assert [line["text"] for line in tail["lines"]] == texts[-5:]
    query = [("before", tail["before"]), ("limit", 5)]
    tail = place.owner.get("/runs/ann/p/full/console", query).json
    assert [line["text"] for line in tail["lines"]] == texts[-10:-5]


def test_the_list_of_files(place: Place) -> None:
    files = place.owner.get("/runs/ann/p/full/files").json["files"]
    assert {file["name"]: file["here"] for file in files} == {
        NASTY: True,
        "weights.bin": True,
        "code/train.py": True,
        "lost.bin": False,
    }


def test_a_file_is_sent_to_be_saved_and_never_shown(place: Place) -> None:
    said = place.owner.get(f"/runs/ann/p/full/files/{quote(NASTY)}")
    assert said.body == HTML
    assert said.headers["Content-Type"] == "application/octet-stream"
    assert said.headers["X-Content-Type-Options"] == "nosniff"
    assert said.headers["Content-Disposition"].startswith("attachment;")
    assert "<" not in said.headers["Content-Disposition"]
    assert "sandbox" in said.headers["Content-Security-Policy"]


def test_a_part_of_a_file(place: Place) -> None:
    whole = bytes(range(256)) * 100
    path = "/runs/ann/p/full/files/weights.bin"
    said = place.owner.get(path, range="bytes=250-259")
    assert (said.status, said.body) == (206, whole[250:260])
    assert said.headers["Content-Range"] == f"bytes 250-259/{len(whole)}"
    sha256 = hashlib.sha256(whole).hexdigest()
    assert said.headers["ETag"] == f'"{sha256}"'


@pytest.mark.parametrize(
    "name",
    [
        *("absent", "lost.bin", "..%2frun.db", "%2e%2e%2frun.db", "..%2f..%2f..%2faccounts.db"),
        *("/etc/passwd", "code", "%00", "code%2f..%2fweights.bin", ".content", "weights.bin/"),
        *("weights.bin%2f..", "weights.bin%00", "WEIGHTS.BIN"),
    ],
)
def test_only_files_that_rows_tell_of_are_sent(place: Place, name: str) -> None:
    assert place.owner.get(f"/runs/ann/p/full/files/{name}").status == 404


def test_code_is_for_members(place: Place) -> None:
    path = "/runs/ann/p/full/files/code/train.py"
    place.show("public")
    try:
        assert place.owner.get(path).body == b"code"
        for reader in (place.other, place.nobody):
            assert reader.get(path).status == 404
            assert reader.get("/runs/ann/p/full/files/weights.bin").status == 200
    finally:
        place.show("private")


def test_a_content_that_came_by_its_hash_is_found(place: Place) -> None:
    content = b"came later"
    sha256 = hashlib.sha256(content).hexdigest()
    told = rows_of((Kind.FILE, 0, {"../../evil": {"size": len(content), "sha256": sha256}}))
    run = absorb(place.run("blobbed"), told)
    try:
        path = "/runs/ann/p/blobbed/files/..%2F..%2Fevil"
        assert place.owner.get(path).status == 404
        blobs = Blobs(place.store, "ann")
        blobs.add(sha256, 0, len(content), [content])
        assert place.owner.get(path).status == 404, "it is another run's"
        link_files(run, blobs)
        said = place.owner.get(path)
        assert (said.status, said.body) == (200, content)
        assert "evil" in said.headers["Content-Disposition"]
        assert "/" not in said.headers["Content-Disposition"]
    finally:
        assert place.owner.ask("DELETE", "/runs/ann/p/blobbed").status == 200


# -- deletion ----------------------------------------------------------------------------------


def test_a_deleted_run_leaves_a_grave(place: Place) -> None:
    absorb(place.run("doomed"), rows_of(metric(1, {"loss": 1})))
    assert len(ids(place.owner.get(RUNS, [("name", "doomed")]))) == 1
    place.show("open")
    try:
        assert place.nobody.ask("DELETE", "/runs/ann/p/doomed").status == 401
        assert place.other.ask("DELETE", "/runs/ann/p/doomed").status == 403
    finally:
        place.show("private")

    said = place.owner.ask("DELETE", "/runs/ann/p/doomed")

    assert said.status == 200
    assert said.json["by"] == "ann"
    assert not place.run("doomed").path.exists()
    grave = Graves(place.server.data).find("ann", "p", "doomed")
    assert grave is not None
    assert (grave.by, grave.at) == ("ann", said.json["at"])
    assert place.owner.get("/runs/ann/p/doomed").status == 404
    assert ids(place.owner.get(RUNS, [("name", "doomed")])) == []
    assert place.owner.ask("DELETE", "/runs/ann/p/doomed").status == 404


def test_a_run_that_is_being_written_here_is_not_removed(place: Place) -> None:
    run = new_run(place.server.data, "live")
    run.log({"loss": 1})
    try:
        said = place.owner.ask("DELETE", "/runs/ann/p/live")
        assert (said.status, said.json["error"]["code"]) == (503, "busy")
        assert Graves(place.server.data).find("ann", "p", "live") is None
        assert place.owner.get("/runs/ann/p/live").json["state"] == "running"
    finally:
        run.finish()
    assert place.owner.get("/runs/ann/p/live").json["state"] == "finished"
    assert place.owner.ask("DELETE", "/runs/ann/p/live").status == 200

"""Series over HTTP: equal to the points that were logged, in JSON and in the binary form."""

from __future__ import annotations

import json
import math
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.database import RunDatabase
from store.paths import create_store
from store.row import Row
from store.server.m4 import m4
from store.server.points import Points
from store.state import EDITOR
from tests.server.reader import Place, Said, clean_folders, make_data, serving
from tests.stored_runs import BEGAN, absorb, metric, rows_of

BINARY = "application/x-runstore-series"
COUNT = 4000


def value_at(step: int, run: int = 0) -> float:
    return math.nan if step % 1000 == 500 else math.sin(step / 50) * 1e3 + run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("series")
    with clean_folders(base):
        folder = make_data(base / "data")
        for run in (1, 2):
            said = [metric(step, {"loss": value_at(step, run), "n": step}) for step in range(COUNT)]
            absorb(folder.run("ann", "p", f"r{run}"), rows_of(*said))
        # Two writers at once: neither steps nor times lie in the order of arrival.
        two = folder.run("ann", "p", "two")
        absorb(two, rows_of(metric(5, {"x": 50}), metric(6, {"x": 60})), "a" * 32)
        absorb(two, rows_of(metric(1, {"x": 10}), metric(6, {"x": 61}), at=BEGAN - 9), "b" * 32)
        with serving(base / "data") as found:
            yield found


def binary(said: Said) -> dict[str, Any]:
    """The binary form read back, by its description."""
    assert said.headers["Content-Type"] == BINARY
    magic, version, length, zero = struct.unpack_from("<4sIII", said.body)
    assert (magic, version, zero, length % 8) == (b"RSER", 1, 0, 0)
    head: dict[str, Any] = json.loads(said.body[16 : 16 + length])
    body = said.body[16 + length :]
    size = {"float64": 8, "float32": 4}[head["type"]]
    for line in head["series"]:
        for axis, width in (("x", 8), ("y", size)):
            offset, count = line[axis]
            assert offset % 8 == 0
            code = "d" if width == 8 else "f"
            line[axis] = list(struct.unpack_from(f"<{count}{code}", body, offset))
    return head


def same(one: list[Any], other: list[Any]) -> bool:
    """Equal, with NaN (or null) equal to itself."""
    plain = [
        [None if value is None or math.isnan(value) else value for value in values]
        for values in (one, other)
    ]
    return plain[0] == plain[1]


def test_all_points_of_a_short_range(place: Place) -> None:
    query = [("key", "loss"), ("from", 450), ("to", 550), ("points", 500)]
    said = place.owner.get("/runs/ann/p/r1/series", query).json
    (line,) = said["series"]
    assert (said["from"], said["to"], said["x"], said["points"]) == (450, 550, "step", 500)
    assert (line["run"], line["key"], line["total"]) == ("r1", "loss", COUNT)
    assert line["x"] == list(range(449, 552))
    assert same(line["y"], [value_at(step, 1) for step in range(449, 552)])
    assert line["y"][500 - 449] is None


@pytest.mark.parametrize("width", [1, 7, 100])
def test_a_thinned_series_is_m4_of_all_points(place: Place, width: int) -> None:
    said = place.owner.get("/runs/ann/p/r1/series", [("key", "loss"), ("points", width)]).json
    values = array("d", [value_at(step, 1) for step in range(COUNT)])
    kept = m4(range(COUNT), values, width, 0, COUNT - 1)
    assert (said["from"], said["to"]) == (0, COUNT - 1)
    assert said["series"][0]["x"] == list(kept)
    assert same(said["series"][0]["y"], [values[step] for step in kept])


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_the_binary_form_says_the_same(place: Place, kind: str) -> None:
    query = [("key", "loss"), ("key", "n"), ("key", "absent"), ("points", 50)]
    told = place.owner.get("/runs/ann/p/r1/series", query).json
    said = place.owner.get("/runs/ann/p/r1/series", [*query, ("type", kind)], accept=BINARY)
    read = binary(said)
    assert [line["key"] for line in read["series"]] == ["loss", "n", "absent"]
    for line, expected in zip(read["series"], told["series"], strict=True):
        assert line["x"] == expected["x"]
        assert line["total"] == expected["total"]
        wanted = [math.nan if y is None else y for y in expected["y"]]
        if kind == "float32":
            wanted = list(struct.unpack(f"{len(wanted)}f", struct.pack(f"{len(wanted)}f", *wanted)))
        assert same(line["y"], wanted)
    assert read["series"][2]["x"] == []


def test_several_runs_share_their_columns(place: Place) -> None:
    query = [("run", "r1"), ("run", "gone"), ("run", "two"), ("run", "r2"), ("key", "loss")]
    said = place.owner.get("/projects/ann/p/series", [*query, ("points", 9)]).json
    assert said["missing"] == ["gone"]
    assert [line["run"] for line in said["series"]] == ["r1", "two", "r2"]
    assert [line["total"] for line in said["series"]] == [COUNT, 0, COUNT]
    one, _, two = said["series"]
    assert one["x"] == two["x"]
    assert same(
        [None if y is None else round(y + 1, 6) for y in one["y"]],
        [None if y is None else round(y, 6) for y in two["y"]],
    )
    read = binary(place.owner.get("/projects/ann/p/series", query, accept=BINARY))
    assert [line["run"] for line in read["series"]] == ["r1", "two", "r2"]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ("step", ([1, 5, 6, 6], [10, 50, 61, 60])),
        ("time", ([BEGAN - 7, BEGAN - 6, BEGAN + 2, BEGAN + 3], [10, 61, 50, 60])),
        ("relative", ([1, 2, 10, 11], [10, 61, 50, 60])),
    ],
)
def test_what_several_writers_logged_is_in_order(
    place: Place, x: str, expected: tuple[list[float], list[float]]
) -> None:
    said = place.owner.get("/runs/ann/p/two/series", [("key", "x"), ("x", x)]).json
    (line,) = said["series"]
    assert (line["x"], line["y"]) == expected
    assert (said["from"], said["to"]) == (expected[0][0], expected[0][-1])


def test_a_metric_is_the_x_of_another(place: Place) -> None:
    query = [("key", "loss"), ("x", "metric"), ("x_key", "n"), ("from", 20), ("to", 30)]
    (line,) = place.owner.get("/runs/ann/p/r1/series", query).json["series"]
    assert line["x"] == list(range(19, 32))
    assert same(line["y"], [value_at(step, 1) for step in range(19, 32)])
    query = [("key", "n"), ("x", "metric"), ("x_key", "loss")]
    (line,) = place.owner.get("/runs/ann/p/r2/series", [*query, ("points", 9999)]).json["series"]
    pairs = sorted((value_at(step, 2), step) for step in range(COUNT) if step % 1000 != 500)
    assert sorted(zip(line["x"], line["y"], strict=True)) == pairs
    query = [("key", "n"), ("x", "metric"), ("x_key", "absent")]
    assert place.owner.get("/runs/ann/p/r2/series", query).json["series"][0]["x"] == []


def test_the_means_of_columns_come_with_a_thinned_series(place: Place) -> None:
    query = [("key", "n"), ("mean", 1), ("points", 100)]
    (line,) = place.owner.get("/runs/ann/p/r1/series", query).json["series"]
    assert len(line["mean_y"]) == 100
    assert line["mean_x"] == line["mean_y"]
    assert sum(line["mean_y"]) / 100 == pytest.approx((COUNT - 1) / 2, rel=0.001)
    read = binary(place.owner.get("/runs/ann/p/r1/series", query, accept=BINARY))
    assert [list(line[name]) for name in ("x", "y")] == [read["series"][0][n] for n in ("x", "y")]
    short = [("key", "n"), ("mean", 1), ("points", COUNT)]
    (line,) = place.owner.get("/runs/ann/p/r1/series", short).json["series"]
    assert (line["mean_x"], len(line["x"])) == ([], COUNT)


def test_the_points_of_one_source(place: Place) -> None:
    query = [("key", "x"), ("source", "b" * 32)]
    (line,) = place.owner.get("/runs/ann/p/two/series", query).json["series"]
    assert line["y"] == [10, 61]
    query = [("key", "x"), ("source", "c" * 32)]
    assert place.owner.get("/runs/ann/p/two/series", query).json["series"][0]["y"] == []


@pytest.mark.parametrize(
    ("x", "of_a", "of_b"),
    [
        ([("x", "step")], [5, 6], [1, 6]),
        ([("x", "relative")], [10, 11], [1, 2]),
        ([("x", "metric"), ("x_key", "x")], [50, 60], [10, 61]),
    ],
    ids=["step", "relative", "metric"],
)
def test_each_source_by_itself(
    place: Place, x: list[tuple[str, str]], of_a: list[float], of_b: list[float]
) -> None:
    query = [("key", "x"), ("key", "absent"), ("by", "source"), *x]
    said = place.owner.get("/runs/ann/p/two/series", query).json["series"]
    found = {line["source"]: (line["key"], line["x"], line["y"]) for line in said}
    assert found == {"a" * 32: ("x", of_a, [50, 60]), "b" * 32: ("x", of_b, [10, 61])}
    read = binary(place.owner.get("/runs/ann/p/two/series", query, accept=BINARY))
    assert [line["source"] for line in read["series"]] == ["a" * 32, "b" * 32]


def test_who_edited_a_run_is_none_of_its_writers(place: Place) -> None:
    run = absorb(place.run("edited"), rows_of(metric(0, {"x": 1})))
    rows = rows_of(metric(0, {"x": 2}))
    rows[0].data["parent"] = EDITOR
    absorb(run, rows, "e" * 32)
    query = [("key", "x"), ("by", "source")]
    (line,) = place.owner.get("/runs/ann/p/edited/series", query).json["series"]
    assert line["source"] == "a" * 32


def test_the_sources_of_one_run_at_a_time(place: Place) -> None:
    query = [("run", "r1"), ("run", "two"), ("key", "x"), ("by", "source")]
    assert place.owner.get("/projects/ann/p/series", query).status == 400


def test_more_sources_than_an_answer_has_room_for(place: Place) -> None:
    query = [("by", "source"), ("points", 10_000), *(("key", f"k{n}") for n in range(51))]
    refused = place.owner.get("/runs/ann/p/two/series", query)
    assert refused.status == 400
    assert "2 sources of two are too much" in refused.json["error"]["message"]


def test_rows_that_come_later_are_seen(place: Place) -> None:
    run = place.run("growing")
    rows = rows_of(*[metric(step, {"x": step}) for step in range(10)], state=None)
    path, query = "/runs/ann/p/growing/series", [("key", "x")]
    for known in (4, 5, 11):
        absorb(run, rows[:known])
        (line,) = place.owner.get(path, query).json["series"]
        assert line["y"] == list(range(known - 1))


@pytest.mark.parametrize(
    "query",
    [
        [],
        [("key", "loss"), ("points", 0)],
        [("key", "loss"), ("points", 10_001)],
        [("key", "loss"), ("from", 5), ("to", 4)],
        [("key", "loss"), ("from", "nan")],
        [("key", "loss"), ("x", "wall")],
        [("key", "loss"), ("x", "metric")],
        [("key", "loss"), ("x_key", "n")],
        [("key", "loss"), ("x", "metric"), ("x_key", "n"), ("source", "a" * 32)],
        [("key", "loss"), ("by", "source"), ("source", "a" * 32)],
        [("key", "loss"), ("by", "writer")],
        [("key", "loss"), ("mean", "2")],
        [("key", "loss"), ("type", "int8")],
        [("keys", "loss")],
        [("key", f"{n}") for n in range(101)],
    ],
)
def test_what_cannot_be_asked_for(place: Place, query: list[tuple[str, object]]) -> None:
    assert place.owner.get("/runs/ann/p/r1/series", query).status == 400
    assert place.owner.get("/projects/ann/p/series", [("run", "r1"), *query]).status == 400


def test_too_much_at_once_is_refused(place: Place) -> None:
    query = [("run", "r1"), ("run", "r2"), ("points", 10_000)]
    query += [("key", f"{n}") for n in range(60)]
    assert place.owner.get("/projects/ann/p/series", query).status == 400


# -- points that are remembered ----------------------------------------------------------------


def test_remembered_points_are_those_in_the_database(tmp_path: Path) -> None:
    run = create_store(tmp_path / "s").run("e", "p", "r")
    rows = rows_of(*[metric(step, {"x": step}) for step in (3, 1, 2, 9, 8, 20)], state=None)
    points = Points()
    for known in range(2, 8):
        absorb(run, rows[:known])
        database = RunDatabase(run.database, write=False)
        try:
            found = points.read(database.connection, run, "x")
            assert points.read(database.connection, run, "x") is found
            fresh = Points().read(database.connection, run, "x")
        finally:
            database.close()
        assert found == fresh
        assert list(found.steps) == sorted(row.step for row in rows[1:known])
        assert list(found.values) == list(found.steps)


def test_a_row_that_replaces_a_stub_is_seen(tmp_path: Path) -> None:
    run = create_store(tmp_path / "s").run("e", "p", "r")
    rows = rows_of(metric(1, {"x": 1}), metric(2, {"x": 2}), metric(3, {"x": 3}), state=None)
    bad = Row(3, 3, 2, rows[2].time, {"x": {1: 2}})
    absorb(run, [*rows[:2], bad, rows[3]])
    points = Points()
    seen = []
    for _ in range(2):
        database = RunDatabase(run.database, write=False)
        seen.append(list(points.read(database.connection, run, "x").values))
        database.close()
        absorb(run, rows)
    assert seen == [[1, 3], [1, 2, 3]]


def test_no_more_is_remembered_than_may_be(tmp_path: Path) -> None:
    run = create_store(tmp_path / "s").run("e", "p", "r")
    keys = [f"k{n}" for n in range(10)]
    absorb(run, rows_of(*[metric(step, dict.fromkeys(keys, step)) for step in range(10)]))
    points = Points(35)
    database = RunDatabase(run.database, write=False)
    try:
        for key in keys:
            points.read(database.connection, run, key)
        assert points.held == 30
        points.read(database.connection, run, keys[-3])
        points.read(database.connection, run, keys[0])
        kept = points.read(database.connection, run, keys[-3])
        assert points.read(database.connection, run, keys[-3]) is kept
        assert points.held == 30
    finally:
        database.close()

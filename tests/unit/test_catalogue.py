"""The catalogue's lines: what they say, and when they are made anew."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import time

import pytest

from store.catalogue import Catalogue
from store.errors import RunNotFound
from store.paths import StoreFolder
from store.row import DELETED, Kind, Row
from tests.stored_runs import BEGAN, absorb, metric, only_line, rows_of


def test_a_line_says_what_the_database_holds(store: StoreFolder) -> None:
    run = store.run("Team A", "vision", "r1")
    attributes = {
        "name": "brave-sun-1",
        "tags": ["x", "y"],
        "notes": "good",
        "group": "g",
        "job_type": "train",
        "git": {"commit": "c0ffee"},
        "command": ["python", "train it.py"],
    }
    refused = {"type": "refused", "counts": {"sets": 2}}
    absorb(
        run,
        rows_of(
            (Kind.ATTRIBUTE, 0, attributes),
            (Kind.CONFIG, 0, {"lr": 0.1, "model": {"depth": 3, "wide": True}, "none": None}),
            (Kind.EVENT, 0, refused),
            (Kind.EVENT, 0, {"type": "refused", "counts": {"sets": 3, "functions": 1}}),
            metric(0, {"loss": 2.0}),
            metric(5, {"loss": 1.0, "acc": 3}),
            (Kind.CONSOLE, 0, {"stream": "stdout", "text": "hello"}),
        ),
    )
    catalogue = Catalogue(store)
    line = only_line(catalogue)
    assert (line.key, line.path) == (run.key, "Team A/vision/r1")
    assert (line.name, line.state, line.host) == ("brave-sun-1", "finished", "node")
    assert (line.created, line.updated, line.ended) == (BEGAN + 1, BEGAN + 9, BEGAN + 9)
    assert (line.rows, line.steps, line.points, line.writers, line.stubs) == (9, 5, 3, 1, 0)
    assert json.loads(line.refused) == {"sets": 3, "functions": 1}
    assert json.loads(line.config)["model"] == {"depth": 3, "wide": True}
    assert json.loads(line.summary) == {"acc": 3, "loss": 1.0}
    assert (line.group, line.job_type, line.notes) == ("g", "train", "good")
    assert json.loads(line.tags) == ["x", "y"]
    assert (line.commit, line.command) == ("c0ffee", "python 'train it.py'")
    assert (line.has_console, line.has_files) == (1, 0)
    assert line.size == run.database.stat().st_size
    keys = {found.key: found for found in catalogue.metric_keys(line)}
    assert (keys["loss"].least, keys["loss"].greatest, keys["loss"].points) == (1.0, 2.0, 2)
    flat = catalogue.connection.execute("SELECT key, value, type FROM config_key ORDER BY key")
    assert flat.fetchall() == [
        ("lr", 0.1, "float"),
        ("model.depth", 3, "int"),
        ("model.wide", 1, "bool"),
        ("none", None, "null"),
    ]
    (writer,) = catalogue.writers(line.n)
    assert (writer.writer, writer.state, writer.alive) == ("node:7", "finished", False)
    catalogue.close()


def test_refused_counts_of_several_writers_add_up(store: StoreFolder) -> None:
    run = store.run("local", "p", "r")
    for uuid, count in (("a" * 32, 2), ("b" * 32, 5)):
        said = {"type": "refused", "counts": {"sets": count}}
        absorb(run, rows_of((Kind.EVENT, 0, said)), uuid)
    assert json.loads(only_line(Catalogue(store)).refused) == {"sets": 7}


def test_definitions_decide_what_the_summary_shows(store: StoreFolder) -> None:
    definitions = {
        "define/min": {"step_metric": None, "summary": "min"},
        "define/max": {"step_metric": None, "summary": "max"},
        "define/mean": {"step_metric": None, "summary": "mean"},
        "define/first": {"step_metric": None, "summary": "first"},
        "define/hidden/*": {"step_metric": None, "summary": "none"},
        "define/hidden/seen": {"step_metric": None, "summary": "last"},
        "define/chosen": {"step_metric": None, "summary": "min"},
    }
    names = ("min", "max", "mean", "first", "hidden/a", "hidden/seen", "chosen", "gone", "plain")
    absorb(
        store.run("local", "p", "r"),
        rows_of(
            *(metric(step, dict.fromkeys(names, value)) for step, value in ((3, 0.1), (1, 0.2))),
            metric(2, dict.fromkeys(names, 0.3)),
            metric(4, {"mean": math.nan, "min": math.nan}),
            (Kind.ATTRIBUTE, 0, definitions),
            (Kind.SUMMARY, 0, {"chosen": 9, "gone": DELETED}),
        ),
    )
    catalogue = Catalogue(store)
    line = only_line(catalogue)
    assert json.loads(line.summary) == {
        "min": 0.1,
        "max": 0.3,
        "mean": math.fsum((0.1, 0.2, 0.3)) / 3,
        "first": 0.2,
        "hidden/seen": 0.3,
        "chosen": 9,
        "plain": 0.3,
    }
    logged = {found.key for found in catalogue.metric_keys(line)}
    assert logged == set(names)


def test_nan_in_the_summary_is_told_apart_from_none(store: StoreFolder) -> None:
    absorb(
        store.run("local", "p", "r"),
        rows_of(metric(0, {"loss": math.nan, "wide": math.inf}), (Kind.SUMMARY, 0, {"best": None})),
    )
    line = only_line(Catalogue(store))
    assert json.loads(line.nan) == ["loss"]
    assert json.loads(line.summary) == {"best": None, "loss": None, "wide": math.inf}


def test_unchanged_runs_are_not_opened_again(store: StoreFolder) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, {"loss": 1.0})))
    old = time.time() - 100
    os.utime(run.database, (old, old))
    catalogue = Catalogue(store)
    before = only_line(catalogue)
    # Only a run that is not opened can be listed without its database being one.
    stamp = run.database.stat()
    run.database.write_bytes(bytes(stamp.st_size))
    os.utime(run.database, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert only_line(catalogue) == before
    assert catalogue.is_current(before)


def test_a_stamp_of_this_very_moment_is_not_trusted(store: StoreFolder) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of(metric(0, {"loss": 1.0}), state=None))
    ahead = time.time() + 1000
    os.utime(run.database, (ahead, ahead))
    catalogue = Catalogue(store)
    first = only_line(catalogue)
    absorb(run, [Row(3, int(Kind.METRIC), 1, BEGAN + 3, {"loss": 0.5})])
    os.utime(run.database, (ahead, ahead))
    assert json.loads(only_line(catalogue).summary) == {"loss": 0.5}
    assert not catalogue.is_current(first)


def test_the_version_changes_with_the_rows_and_numbers_do_not(store: StoreFolder) -> None:
    run = absorb(
        store.run("local", "p", "r"), rows_of(metric(0, {"loss": 1.0, "x": 1}), state=None)
    )
    catalogue = Catalogue(store)
    slots = "SELECT key, slot FROM metric_key"
    first = only_line(catalogue)
    before = dict(catalogue.connection.execute(slots))
    os.utime(run.database, (1.5, 1.5))
    assert only_line(catalogue).version == first.version
    absorb(run, [Row(3, int(Kind.METRIC), 1, BEGAN + 3, {"loss": 0.5, "new": 1.0})])
    second = only_line(catalogue)
    assert (second.n, second.version) == (first.n, first.version + 1)
    assert [(key.key, key.points) for key in catalogue.metric_keys(second)] == [
        ("loss", 2),
        ("new", 1),
        ("x", 1),
    ]
    after = dict(catalogue.connection.execute(slots))
    assert {key: after[key] for key in before} == before


def test_a_run_that_was_made_anew_has_only_its_own_keys(store: StoreFolder) -> None:
    run = absorb(
        store.run("local", "p", "r"), rows_of((Kind.CONFIG, 0, {"a": 1}), metric(0, {"x": 1}))
    )
    catalogue = Catalogue(store)
    only_line(catalogue)
    shutil.rmtree(run.path)
    absorb(run, rows_of((Kind.CONFIG, 0, {"b": 1}), metric(0, {"y": 1})), "b" * 32)
    line = only_line(catalogue)
    assert [key.key for key in catalogue.metric_keys(line)] == ["y"]
    keys = catalogue.connection.execute("SELECT key FROM config_key").fetchall()
    assert keys == [("b",)]


def test_a_removed_run_leaves_nothing_behind(store: StoreFolder) -> None:
    for name in ("r1", "r2"):
        absorb(
            store.run("local", "p", name), rows_of((Kind.CONFIG, 0, {"a": 1}), metric(0, {"x": 1}))
        )
    catalogue = Catalogue(store)
    catalogue.refresh()
    shutil.rmtree(store.run("local", "p", "r1").path)
    assert only_line(catalogue).id == "r2"
    for table in ("metric_key", "config_key", "writer"):
        assert {run for (run,) in catalogue.connection.execute(f"SELECT run FROM {table}")} == {
            "r2"
        }
    shutil.rmtree(store.run("local", "p", "r2").path)
    catalogue.refresh(only=store.run("local", "p", "r2").key)
    assert catalogue.lines() == []


@pytest.mark.parametrize("content", [b"this is no database" * 500, None])
def test_a_damaged_run_is_listed_as_damaged(store: StoreFolder, content: bytes | None) -> None:
    absorb(store.run("local", "p", "good"), rows_of(metric(0, {"loss": 1.0})))
    bad = absorb(
        store.run("local", "p", "bad"), rows_of(*(metric(i, {"x": i}) for i in range(500)))
    )
    if content is None:
        whole = bad.database.read_bytes()
        content = whole[:4096] + b"\xff" * (len(whole) - 4096)
    bad.database.write_bytes(content)
    catalogue = Catalogue(store)
    assert catalogue.refresh() == []
    lines = {line.id: line for line in catalogue.lines()}
    assert lines["good"].state == "finished"
    assert lines["bad"].state == "damaged"
    assert lines["bad"].error


def test_a_run_of_a_later_version_is_listed_with_the_reason(store: StoreFolder) -> None:
    run = absorb(store.run("local", "p", "r"), rows_of())
    connection = sqlite3.connect(run.database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    line = only_line(Catalogue(store))
    assert line.state == "damaged"
    assert "99" in str(line.error)


def test_a_name_finds_a_run_by_id_then_name_then_the_beginning_of_an_id(store: StoreFolder) -> None:
    def run(project: str, run_id: str, name: str) -> None:
        absorb(store.run("local", project, run_id), rows_of((Kind.ATTRIBUTE, 0, {"name": name})))

    run("p", "abc", "first")
    run("p", "abcdef", "abc")
    run("q", "zyx", "twin")
    run("p", "xyz", "twin")
    run("q", "same", "one")
    run("p", "same", "two")
    catalogue = Catalogue(store)
    catalogue.refresh()
    assert catalogue.find("abc").id == "abc"
    assert catalogue.find("first").id == "abc"
    assert catalogue.find("abcd").id == "abcdef"
    assert catalogue.find("local/q/same").name == "one"
    assert catalogue.find("q/same").name == "one"
    assert catalogue.find("p/two").name == catalogue.find("local/p/two").name == "two"
    assert catalogue.find(str(store.run("local", "p", "same").path)).name == "two"
    assert catalogue.find(str(store.run("local", "p", "same").database)).name == "two"
    for ambiguous, candidates in (
        ("twin", {"local/q/zyx", "local/p/xyz"}),
        ("same", {"local/q/same", "local/p/same"}),
        ("a", {"local/p/abc", "local/p/abcdef"}),
    ):
        with pytest.raises(RunNotFound) as caught:
            catalogue.find(ambiguous)
        assert set(caught.value.candidates) == candidates
    for unknown in ("nothing", "", "%", "local/q/nothing", "/nowhere"):
        with pytest.raises(RunNotFound) as caught:
            catalogue.find(unknown)
        assert caught.value.candidates == ()

"""A pull: what a member and what a stranger get, and that both can verify it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.database import RunDatabase
from store.jsontext import from_json
from store.paths import StoreFolder, create_store
from store.row import Kind, Row, row_digest
from store.server.privacy import is_open_row, withhold
from store.sync.receive import positions_in, receive
from store.sync.wire import Section, decode_batch
from tests.helpers import problems
from tests.server.reader import Place, Reader, clean_folders, make_data, new_run, serving
from tests.stored_runs import absorb, metric, rows_of

SECRETS = ("very-secret-host", "secret-command", "secret-diff", "secret_code", "somebody")
RUN = "/runs/ann/p/r1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("rows")
    with clean_folders(base):
        folder = make_data(base / "data")
        run = new_run(base / "data", "r1", config={"lr": 0.1}, tags=["a"], notes="n")
        for step in range(5000):
            run.log({"loss": 1.0 / (step + 1), "acc": float("nan") if step % 7 else step})
        run.define_metric("loss", summary="min")
        run.finish()
        absorb(folder.run("ann", "p", "r1"), secret_rows(), "c" * 32)
        with serving(base / "data") as found:
            yield found


def secret_rows() -> list[Row]:
    """A second writer, all of whose provenance must stay with members."""
    rows = rows_of(
        (Kind.ATTRIBUTE, 0, {"command": {"command": ["secret-command"]}}),
        (Kind.ATTRIBUTE, 0, {"git": {"diff": "secret-diff", "commit": "f" * 40}}),
        (Kind.ATTRIBUTE, 0, {"user": "somebody", "name": "both in one row"}),
        (Kind.FILE, 0, {"code/secret_code.py": {"size": 1, "sha256": "0" * 64}}),
        (Kind.FILE, 0, {"plot.png": {"size": 1, "sha256": "1" * 64}}),
        (Kind.CONSOLE, 0, {"stream": "stdout", "text": "printed"}),
        (Kind.ATTRIBUTE, 0, {"name": "nice", "define/acc": {"summary": "max"}}),
        metric(1, {"loss": 2, "text": "a text", "inf": float("inf")}),
        (Kind.CONFIG, 0, {"seed": 7, "ratio": 1.0}),
        at=1_800_000_000.0,
        label="rank-1",
    )
    rows[0].data["host"] = "very-secret-host"
    return rows


def pull(place: Place, reader: Reader, into: Path) -> StoreFolder:
    """All rows of the run, source by source, into a store of one's own."""
    there = create_store(into)
    for source in reader.get(RUN).json["sources"]:
        at = 0
        while at < source["position"]:
            said = reader.get(f"{RUN}/rows", [("source", source["uuid"]), ("after", at)])
            batch = decode_batch(said.body)
            receive(there.run(*batch.run), batch)
            assert batch.sections[0].first == at + 1
            at = batch.sections[0].last
    return there


def digests(folder: StoreFolder) -> dict[str, tuple[int, bytes]]:
    return positions_in(folder, "ann", "p", "r1")


def kept_text(folder: StoreFolder) -> str:
    """Everything that a pulled run holds, as one text."""
    database = RunDatabase(folder.run("ann", "p", "r1").database, write=False)
    try:
        return "\n".join(database.connection.iterdump())
    finally:
        database.close()


def wrong_rows(folder: StoreFolder) -> list[str]:
    """What `check` finds; the contents of files were not pulled."""
    texts = [finding.text for finding in problems(folder)]
    return [text for text in texts if not text.startswith("the kept file")]


def table(folder: StoreFolder, name: str, key: str = "key") -> dict[str, Any]:
    database = RunDatabase(folder.run("ann", "p", "r1").database, write=False)
    try:
        return {
            row[0]: from_json(row[1])
            for row in database.execute(f"SELECT {key}, value FROM {name} WHERE value IS NOT NULL")
        }
    finally:
        database.close()


def test_a_members_pull_is_the_run(place: Place, tmp_path: Path) -> None:
    there = pull(place, place.owner, tmp_path / "pulled")

    assert digests(there) == digests(place.store)
    assert table(there, "attribute") == table(place.store, "attribute")
    text = kept_text(there)
    assert all(secret in text for secret in SECRETS)
    assert wrong_rows(there) == []


@pytest.mark.parametrize("who", ["nobody", "other"])
def test_a_strangers_pull_verifies_and_tells_nothing(
    place: Place, tmp_path: Path, who: str
) -> None:
    place.show("public")
    try:
        there = pull(place, getattr(place, who), tmp_path / "pulled")
    finally:
        place.show("private")

    assert digests(there) == digests(place.store)
    text = kept_text(there)
    assert [secret for secret in SECRETS if secret in text] == []
    assert "withheld" in text
    assert "printed" in text
    attributes = table(there, "attribute")
    assert attributes["name"] == "nice"
    assert set(attributes) == {"name", "tags", "notes", "define/acc", "define/loss"}
    assert table(there, "config") == table(place.store, "config")
    assert set(table(there, "file", "name")) == {"plot.png"}
    assert wrong_rows(there) == []


def test_a_member_who_pulls_later_fills_what_was_withheld(place: Place, tmp_path: Path) -> None:
    place.show("public")
    try:
        there = pull(place, place.nobody, tmp_path / "pulled")
    finally:
        place.show("private")
    pull(place, place.owner, tmp_path / "pulled")

    assert digests(there) == digests(place.store)
    assert table(there, "attribute") == table(place.store, "attribute")
    assert wrong_rows(there) == []


def test_rows_by_arrival_are_all_rows(place: Place, tmp_path: Path) -> None:
    there = create_store(tmp_path / "pulled")
    after = 0
    while True:
        said = place.owner.get(f"{RUN}/rows", [("seq_after", after), ("limit", 700)])
        batch = decode_batch(said.body)
        if not batch.sections:
            break
        assert batch.rows <= 700
        receive(there.run(*batch.run), batch)
        after = int(said.headers["Runstore-Seq"])
    assert int(said.headers["Runstore-Seq"]) == after
    assert digests(there) == digests(place.store)


def test_what_cannot_be_asked_for(place: Place) -> None:
    (source, *_) = place.owner.get(RUN).json["sources"]
    for query in (
        [],
        [("source", source["uuid"]), ("seq_after", 1)],
        [("source", source["uuid"]), ("after", -1)],
        [("source", source["uuid"]), ("limit", 0)],
        [("source", source["uuid"]), ("limit", "all")],
        [("sauce", source["uuid"])],
    ):
        assert place.owner.get(f"{RUN}/rows", query).status == 400, query
    assert place.owner.get(f"{RUN}/rows", [("source", "nobody")]).status == 404
    assert place.owner.get("/runs/ann/p/r2/rows", [("seq_after", 0)]).status == 404
    assert place.other.get(f"{RUN}/rows", [("seq_after", 0)]).status == 404


def test_behind_the_last_row_there_is_an_empty_batch(place: Place) -> None:
    (source, *_) = place.owner.get(RUN).json["sources"]
    said = place.owner.get(f"{RUN}/rows", [("source", source["uuid"]), ("after", 10**9)])
    assert decode_batch(said.body).sections == []


@pytest.mark.parametrize(
    ("kind", "data", "is_open"),
    [
        (Kind.OPEN, {}, False),
        (Kind.END, {"state": "finished"}, True),
        (Kind.ATTRIBUTE, {}, True),
        (Kind.ATTRIBUTE, {"name": "a", "job_type": "b", "define/x": {}}, True),
        (Kind.ATTRIBUTE, {"name": "a", "unheard of": 1}, False),
        (Kind.ATTRIBUTE, {"git": {"_deleted": True}}, False),
        (Kind.ATTRIBUTE, [], False),
        (Kind.FILE, {"a.txt": {}}, True),
        (Kind.FILE, {"a.txt": {}, "code/a.py": {}}, False),
        (Kind.CONSOLE, {"text": "host"}, True),
        (Kind.EVENT, {"type": "refused"}, True),
        (Kind.EVENT, {"type": "unheard of"}, False),
        (77, {}, False),
    ],
)
def test_what_is_open(kind: int, data: object, is_open: bool) -> None:
    assert is_open_row(kind, data) is is_open


def test_withholding_keeps_numbers_and_digests() -> None:
    data = {"host": "h", "pid": 1}
    section = Section(
        *("a" * 32, "journal", 5, [1, 3, 2], [0, 4, 4], [1.5, 2.5, 3.5]),
        *([], [], [], [(0, json.dumps(data)), (2, '{"state":"finished"}')], [], None),
    )

    said = withhold(section)

    assert said.kinds == [0, 3, 2]
    assert said.others == [(2, '{"state":"finished"}')]
    assert said.stubs == [(0, row_digest(Row(5, 1, 0, 1.5, data)), "withheld")]
    assert section.kinds == [1, 3, 2]

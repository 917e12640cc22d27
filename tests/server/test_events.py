"""Server-sent events from real servers: rows as they come, whoever takes them, and the end."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from store.database import RunDatabase
from store.row import Row
from store.sync.outgoing import Origin, Outgoing
from store.sync.wire import Batch, RunName, encode_batch
from tests.server.reader import Place, Reader, clean_folders, make_data, serving
from tests.servers import running_server
from tests.stored_runs import absorb, metric, rows_of

UUID = "a" * 32


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("events")
    with clean_folders(base):
        make_data(base / "data")
        with serving(base / "data") as found:
            yield found


class Stream:
    """The events of a run, read one by one."""

    def __init__(self, reader: Reader, run_id: str, query: str = "", **headers: str) -> None:
        address = urlsplit(reader.url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, 60)
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        if reader.key is not None:
            lines["Authorization"] = f"Bearer {reader.key}"
        path = f"/api/v1/runs/ann/p/{run_id}/events{query}"
        self._connection.request("GET", path, headers=lines)
        self.response = self._connection.getresponse()

    def next(self) -> tuple[str, Any] | None:
        """(event, data); None at the end."""
        fields: dict[str, str] = {}
        while line := self.response.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if not name and "event" in fields:
                if "id" in fields:
                    assert json.loads(fields["data"])["seq"] == int(fields["id"])
                return fields["event"], json.loads(fields["data"])
            fields[name] = value
        return None

    def until(self, condition: Callable[[Any], bool]) -> Any:
        """The data of the first event that is as wanted; positions must never go back."""
        at = 0
        while (event := self.next()) is not None:
            kind, data = event
            assert kind == "rows"
            assert data["rows"] >= at
            at = data["rows"]
            if condition(data):
                return data
        raise AssertionError("the events ended")

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@pytest.fixture
def watch(place: Place) -> Iterator[Callable[..., Stream]]:
    streams: list[Stream] = []

    def begin(run_id: str, query: str = "", reader: Reader | None = None, **h: str) -> Stream:
        streams.append(Stream(reader or place.owner, run_id, query, **h))
        return streams[-1]

    yield begin
    for stream in streams:
        stream.close()


def rows(state: str | None = None, count: int = 9) -> list[Row]:
    """Rows of a writer that was just here."""
    said = [metric(step, {"x": step}) for step in range(count)]
    return rows_of(*said, state=state, at=time.time() - 5)


Watch = Callable[..., Stream]


def test_rows_are_told_as_they_come_from_another_process(place: Place, watch: Watch) -> None:
    run, told = place.run("coming"), rows("finished")
    absorb(run, told[:3])
    stream = watch("coming")
    assert stream.response.status == 200
    assert stream.response.headers["Content-Type"].startswith("text/event-stream")
    first = stream.next()
    assert first == (
        "rows",
        {"seq": 3, "rows": 3, "state": "running", "sources": {UUID: [3, "running"]}},
    )
    for known in (4, 5, 8):
        absorb(run, told[:known])
        data = stream.until(lambda data, known=known: data["rows"] >= known)  # type: ignore[misc]
        assert data["sources"] == {UUID: [known, "running"]}
    absorb(run, told)
    data = stream.until(lambda data: data["rows"] == len(told))
    assert data["state"] == "finished"
    assert data["sources"] == {UUID: [len(told), "finished"]}


def test_rows_that_another_server_takes_are_told(place: Place, watch: Watch) -> None:
    told = rows("finished")
    absorb(place.run("shared"), told[:2])
    stream = watch("shared")
    stream.until(lambda data: data["rows"] == 2)
    with running_server(place.server.data) as other:
        reader = Reader(other.url, place.owner.key)
        try:
            body = batch_of(place, told)
            said = reader._pool.request(
                "POST",
                f"{other.url}/api/v1/batches",
                body=body,
                headers={
                    "Authorization": f"Bearer {reader.key}",
                    "Content-Type": "application/x-runstore-batch",
                },
            )
            assert said.status == 200, said.data
            assert stream.until(lambda data: data["rows"] == len(told))["state"] == "finished"
        finally:
            reader.close()


def batch_of(place: Place, told: list[Row]) -> bytes:
    """All rows as a batch for ann/p/shared."""
    whole = absorb(place.store.run("bob", "elsewhere", "shared"), told)
    database = RunDatabase(whole.database, write=False)
    try:
        section = Outgoing(database.connection).section(Origin(1, UUID, "journal"), 0)
    finally:
        database.close()
    assert section is not None
    return encode_batch(Batch(RunName("ann", "p", "shared"), "s" * 32, [section]))


@pytest.mark.parametrize("how", ["after", "last_event_id"])
def test_what_is_known_is_not_told_again(place: Place, watch: Watch, how: str) -> None:
    run, told = place.run(f"known-{how}"), rows()
    absorb(run, told[:4])
    stream = watch(run.id, "?after=4") if how == "after" else watch(run.id, last_event_id="4")
    assert stream.response.readline() == b": here\n"
    absorb(run, told[:6])
    event = stream.next()
    assert event is not None
    assert event[1]["rows"] == 6


def test_the_end_is_told_also_when_all_rows_are_known(place: Place, watch: Watch) -> None:
    told = rows("failed")
    run = absorb(place.run("over"), told)
    event = watch(run.id, f"?after={len(told)}").next()
    assert event is not None
    assert event[1]["state"] == "failed"


def test_a_deleted_run_is_gone(place: Place, watch: Watch) -> None:
    absorb(place.run("doomed"), rows())
    stream = watch("doomed")
    stream.until(lambda data: data["rows"] > 0)
    assert place.owner.ask("DELETE", "/runs/ann/p/doomed").status == 200
    assert stream.next() == ("gone", {})
    assert stream.next() is None
    assert watch("doomed").response.status == 404


def test_who_may_not_read_may_not_watch(place: Place, watch: Watch) -> None:
    absorb(place.run("hidden"), rows())
    assert watch("hidden", reader=place.other).response.status == 404
    assert watch("hidden", reader=place.nobody).response.status == 401
    assert watch("hidden", "?after=x").response.status == 400
    place.show("public")
    try:
        stream = watch("hidden", reader=place.nobody)
        assert set(stream.until(lambda _: True)) == {"seq", "rows", "state", "sources"}
    finally:
        place.show("private")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="not run: needs /proc")
def test_a_client_that_leaves_leaves_nothing_open(place: Place) -> None:
    run = absorb(place.run("left"), rows())
    streams = [Stream(place.owner, "left") for _ in range(5)]
    for stream in streams:
        stream.until(lambda data: data["rows"] > 0)
    assert open_files(place.server.process.pid, run.database) > 0
    for stream in streams:
        stream.close()
    deadline = time.monotonic() + 60
    while open_files(place.server.process.pid, run.database):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def open_files(pid: int, path: Path) -> int:
    """How many descriptors of a process are of that file."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(link) == os.fspath(path)
        except OSError:
            continue
    return found


@pytest.mark.long
def test_who_may_read_no_more_is_sent_away(place: Place) -> None:
    absorb(place.run("closing"), rows())
    place.show("public")
    stream = Stream(place.nobody, "closing")
    try:
        stream.until(lambda data: data["rows"] > 0)
        place.show("private")
        assert stream.next() == ("gone", {})
        assert stream.next() is None
    finally:
        place.show("private")
        stream.close()


def test_the_server_stops_while_somebody_watches(tmp_path: Path) -> None:
    folder = make_data(tmp_path / "data")
    absorb(folder.run("ann", "p", "r"), rows())
    with serving(tmp_path / "data") as place:
        stream = Stream(place.owner, "r")
        stream.until(lambda data: data["rows"] > 0)
        code = place.server.stop()
        stream.close()
        assert code == 0
        assert [line for line in place.server.told if "ERROR" in line or "Traceback" in line] == []

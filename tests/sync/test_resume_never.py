"""resume="never" and a server: an id that another store has is refused, and all is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.sync.receive import TakenError, receive
from store.sync.wire import Section
from tests.helpers import problems, rows_of, run_script
from tests.servers import RunningServer
from tests.stored_runs import metric
from tests.stored_runs import rows_of as rows_saying
from tests.sync.batches import batch_of, by_wire, new_run, put, stored, stretches_of
from tests.sync.clients import SYNCED, UNSENT, Client, client_of

SCRIPT = """
import sys, store
folder, project, resume, who = sys.argv[1:]
with store.init(id="r1", project=project, dir=folder, resume=resume or None) as run:
    run.log({"who": float(who)})
"""
ENOUGH = 12
"""Requests of one `store sync` of one run that does not go on for ever."""


@pytest.fixture
def first(server: RunningServer, tmp_path: Path) -> Iterator[Client]:
    """A client whose run r1, begun with resume="never", is on the server."""
    with client_of(server, tmp_path / "first", tmp_path.name) as client:
        log(client, "never", 1)
        done = client.sync()
        assert done.returncode == SYNCED, done.stderr
        yield client


@pytest.fixture
def second(server: RunningServer, tmp_path: Path, first: Client) -> Iterator[Client]:
    """A client with another store, which has begun a run r1 as well."""
    with client_of(server, tmp_path / "second", first.project, first.key) as client:
        log(client, "never", 2)
        yield client


def log(client: Client, resume: str, who: int) -> None:
    """A process of its own opens the run and logs a row."""
    # Not beside a folder that is called store, which would be taken for the package.
    cwd, arguments = client.store.parents[1], (str(client.store), client.project, resume, str(who))
    run_script(SCRIPT, cwd, *arguments, STORE_AGENT="off", STORE_SILENT="1")


def who_is_there(client: Client) -> set[float]:
    return {row.data["who"] for row in rows_of(client.there())}


def test_an_id_that_another_store_has_is_refused_and_said_so(first: Client, second: Client) -> None:
    for _ in range(2):
        done = second.sync()
        assert done.returncode == UNSENT, done.stderr
        assert 'resume="allow"' in done.stderr
        assert len(second.requests()) < ENOUGH
        place = second.place()
        assert place["unsent"] == place["rows"] > 0
        assert place["synced"] is False
        assert "another store has a run r1" in place["error"]
        assert "another store has a run r1" in second.shown()
        assert who_is_there(first) == {1.0}
    assert {row.data["who"] for row in rows_of(second.run)} == {2.0}
    assert first.sync().returncode == SYNCED
    assert problems(second.store) == []


def test_a_watch_of_a_refused_run_comes_to_its_end(second: Client) -> None:
    done = second.sync("--watch", "--until-idle")
    assert done.returncode == 0, done.stderr
    assert len(second.requests()) < ENOUGH
    assert second.place()["synced"] is False


def test_elsewhere_the_run_is_as_new_as_it_wants_to_be(first: Client, second: Client) -> None:
    done = second.sync("--project", f"{second.project}-2")
    assert done.returncode == SYNCED, done.stderr
    assert who_is_there(first) == {1.0}


def test_resume_allow_lets_the_two_be_one(first: Client, second: Client) -> None:
    assert second.sync().returncode == UNSENT
    log(second, "allow", 3)
    done = second.sync()
    assert done.returncode == SYNCED, done.stderr
    assert who_is_there(first) == {1.0, 2.0, 3.0}
    assert second.place()["synced"] is True
    assert problems(first.server.data) == []


def test_more_writers_of_the_store_and_a_copy_of_it_go_on(first: Client, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy = Client(tmp_path / "copy" / "store", first.proxy, first.server, first.key, first.project)
    assert first.call("copy", first.store, copy.store).returncode == 0
    for client, who in ((first, 2), (copy, 3), (first, 4)):
        log(client, "", who)
        done = client.sync()
        assert done.returncode == SYNCED, done.stderr
    assert who_is_there(first) == {1.0, 2.0, 3.0, 4.0}


def test_a_lost_answer_and_a_second_sender_are_no_other_store(tmp_path: Path) -> None:
    """What is sent again as new, by two senders whose first batches differ, is taken once."""
    run, there = new_run(tmp_path / "here"), new_run(tmp_path / "there")
    sections: list[Section] = []
    for uuid in ("a" * 32, "b" * 32):
        opened = rows_saying(metric(1, {"loss": 1.0}))
        opened[0].data["store"] = run.store_id
        put(run, uuid, opened)
        sections += stretches_of(run, uuid)
    batches = [batch_of(section)._replace(store=run.store_id, is_new=True) for section in sections]
    for batch in (*batches, *batches):
        receive(there, by_wire(batch))
    assert stored(there) == stored(run)
    stranger = batch_of(sections[0]._replace(uuid="c" * 32))._replace(is_new=True)
    with pytest.raises(TakenError):
        receive(there, by_wire(stranger))
    assert stored(there) == stored(run)

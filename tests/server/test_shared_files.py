"""Files of an entity are sent once by its members, and by others only if they have them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.paths import StoreFolder
from store.row import Kind
from store.sync.wire import Batch, RunName, encode_batch
from tests.asgi import Answer, Asgi
from tests.server.world import TEAM, World, make_world
from tests.stored_runs import rows_of
from tests.sync.batches import new_run, put, stretches_of

SECRET = b"weights that only members may have"
SHA256 = hashlib.sha256(SECRET).hexdigest()
SIZE = len(SECRET)
MEMBER, STRANGER = "member", "stranger"


class Place:
    """A server on which a member has sent SECRET in a private project of the team."""

    def __init__(self, world: World, server: Asgi, scratch: Path) -> None:
        self._world = world
        self._server = server
        self._scratch = scratch
        self._writers = 0
        self.store = StoreFolder(world.data)

    def tell(self, who: str, run: RunName, name: str = "model.bin") -> None:
        """Send a row that says that the run has SECRET as the file `name`."""
        self._writers += 1
        uuid = f"{self._writers:032x}"
        told = new_run(self._scratch / uuid)
        put(told, uuid, rows_of((Kind.FILE, 0, {name: {"sha256": SHA256, "size": SIZE}})))
        batch = encode_batch(Batch(run, told.store_id, list(stretches_of(told, uuid))))
        kind = {"content_type": "application/x-runstore-batch"}
        assert self.ask(who, "POST", "batches", batch, **kind).status == 200

    def missing(self, who: str, run: RunName, *, held: bool = True) -> dict[str, int]:
        asked = {"run": list(run), "hashes": {SHA256: SIZE}, "held": [SHA256] if held else []}
        answer = self.ask(who, "POST", "blobs/missing", asked)
        assert answer.status == 200, answer.body
        found: dict[str, int] = answer.json["missing"]
        return found

    def send(self, who: str, run: RunName, part: bytes, offset: int = 0) -> Answer:
        query = f"entity={run.entity}&project={run.project}&run={run.run}"
        path = f"blobs/{SHA256}?{query}&offset={offset}&size={SIZE}"
        return self.ask(who, "PUT", path, part)

    def may_read(self, who: str, run: RunName, name: str = "model.bin") -> bool:
        """Whether the content of a file is to be had."""
        answer = self.ask(who, "GET", f"runs/{'/'.join(run)}/files/{name}")
        assert answer.status in (200, 404), answer.body
        return answer.status == 200

    def ask(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self._server.ask(method, f"/api/v1/{path}", self._world.keys[who], body, **headers)


PRIVATE = RunName(TEAM, "private", "r1")
OPEN = RunName(TEAM, "open", "r1")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    world = make_world(tmp_path / "data")
    with world.serve() as server:
        place = Place(world, server, tmp_path)
        place.tell(MEMBER, PRIVATE)
        assert place.missing(MEMBER, PRIVATE) == {SHA256: 0}
        assert place.send(MEMBER, PRIVATE, SECRET).json == {"offset": SIZE, "complete": True}
        assert place.may_read(MEMBER, PRIVATE)
        yield place
    world.accounts.close()


def test_members_send_a_content_once(place: Place) -> None:
    for run in (PRIVATE._replace(run="r2"), OPEN, RunName(TEAM, "new", "r1")):
        place.tell("team admin", run)
        assert place.missing("team admin", run) == {}
        assert place.may_read(MEMBER, run)


@pytest.mark.parametrize("who", [STRANGER, "viewer"])
def test_who_knows_a_hash_only_gets_nothing(place: Place, who: str) -> None:
    place.tell(who, OPEN)
    assert place.missing(who, OPEN) == {SHA256: 0}
    assert not place.may_read(who, OPEN)
    # Neither an empty part nor the end of what others have sent makes it theirs.
    assert place.send(who, OPEN, b"").json == {"offset": 0, "complete": False}
    assert place.send(who, OPEN, SECRET[-1:], SIZE - 1).code == "gap"
    assert place.send(who, OPEN, bytes(SIZE)).code == "bad_blob"
    assert not place.may_read(who, OPEN)
    assert place.missing(who, OPEN) == {SHA256: 0}


def test_a_part_of_a_member_is_not_for_others_to_complete(place: Place) -> None:
    place.store.path.joinpath(TEAM, ".blobs", SHA256[:2], SHA256).unlink()
    assert place.send(MEMBER, PRIVATE, SECRET[:-1]).json["complete"] is False
    place.tell(STRANGER, OPEN)
    assert place.missing(STRANGER, OPEN) == {SHA256: 0}
    assert place.send(STRANGER, OPEN, SECRET[-1:], SIZE - 1).code == "gap"
    assert not place.may_read(STRANGER, OPEN)


def test_a_member_who_sends_other_rows_of_a_run_does_not_give_it_away(place: Place) -> None:
    place.tell(STRANGER, OPEN)
    content = b"something else"
    sha256, size = hashlib.sha256(content).hexdigest(), len(content)
    query = f"entity={TEAM}&project=open&run=r1&offset=0&size={size}"
    assert place.ask(MEMBER, "PUT", f"blobs/{sha256}?{query}", content).json["complete"] is True
    asked = {"run": list(OPEN), "hashes": {sha256: size}}
    assert place.ask(MEMBER, "POST", "blobs/missing", asked).json == {"missing": {}}
    assert not place.may_read(STRANGER, OPEN)


def test_who_has_the_content_sends_it_once(place: Place) -> None:
    place.tell(STRANGER, OPEN)
    assert place.send(STRANGER, OPEN, SECRET[:9]).json == {"offset": 9, "complete": False}
    assert place.missing(STRANGER, OPEN) == {SHA256: 9}
    assert place.send(STRANGER, OPEN, SECRET[9:], 9).json["complete"] is True
    assert place.missing(STRANGER, OPEN) == {}
    assert place.may_read(STRANGER, OPEN)
    again = OPEN._replace(run="r2")
    place.tell(STRANGER, again)
    assert place.missing(STRANGER, again) == {}
    assert place.may_read(STRANGER, again)


def test_what_the_run_has_already_need_not_be_sent_again(place: Place) -> None:
    place.tell(MEMBER, OPEN)
    assert place.missing(MEMBER, OPEN) == {}
    place.tell(STRANGER, OPEN)
    assert place.missing(STRANGER, OPEN) == {}
    # Another name in the same run is not given to it for that.
    place.tell(STRANGER, OPEN, "other.bin")
    assert not place.may_read(STRANGER, OPEN, "other.bin")


def test_a_member_who_does_not_have_it_does_not_give_it_away(place: Place) -> None:
    """As when a member sends back a run that it has pulled, with a row of a stranger in it."""
    place.tell(STRANGER, OPEN)
    assert place.missing(MEMBER, OPEN, held=False) == {SHA256: 0}
    assert not place.may_read(STRANGER, OPEN)
    assert place.missing(MEMBER, PRIVATE, held=False) == {}
    assert place.missing(MEMBER, OPEN, held=True) == {}
    assert place.may_read(STRANGER, OPEN)
    assert place.missing(MEMBER, OPEN, held=False) == {}


@pytest.mark.parametrize("held", ["all", 1, ["0" * 64], [SHA256, None]])
def test_only_what_is_asked_for_can_be_held(place: Place, held: object) -> None:
    asked = {"run": list(OPEN), "hashes": {SHA256: SIZE}, "held": held}
    assert place.ask(MEMBER, "POST", "blobs/missing", asked).status == 400


def test_under_a_name_that_no_disk_takes_members_only_find_it(place: Place) -> None:
    place.tell(MEMBER, OPEN, "a:b")
    assert place.missing(MEMBER, OPEN) == {}
    assert place.may_read(MEMBER, OPEN, "a:b")
    place.tell(STRANGER, OPEN, "mine.bin")
    assert not place.may_read(STRANGER, OPEN, "mine.bin")

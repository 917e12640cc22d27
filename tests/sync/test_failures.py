"""What goes wrong for good ends in a true `store status`: no loop, no loss, no false "synced"."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from store.paths import StoreFolder
from store.row import Kind
from store.server.graves import Graves
from store.sync.blobs import Blobs
from store.sync.http import Connection
from store.transfer import hash_file
from tests.helpers import counts_by_writer, rows_of
from tests.programs import start_command
from tests.servers import accounts_of, make_key, running_server
from tests.stored_runs import absorb, metric
from tests.stored_runs import rows_of as rows_saying
from tests.sync.clients import (
    DIFFERS,
    NOT_ALLOWED,
    SYNCED,
    UNSENT,
    Client,
    client_of,
    copy_folder,
    server_again,
    wait_until,
)

ENOUGH = 12
"""Requests of one `store sync` of one run that does not go on for ever."""


# -- rows --------------------------------------------------------------------------------------


def test_a_poison_row_goes_as_a_stub_and_holds_up_nobody(client: Client) -> None:
    client.log(20)
    spoil_config(client)
    client.log(20)
    done = client.sync()
    assert done.returncode == UNSENT, done.stderr
    assert len(client.requests()) < ENOUGH
    place = client.place()
    assert (place["unsent"], place["refused"], place["synced"]) == (0, 1, False)
    assert "1 row refused" in client.shown() or "differ" in client.shown()
    assert counts_by_writer(rows_of(client.there())) == {
        0.0: list(range(20)),
        1.0: list(range(20)),
    }
    assert client.sync().returncode == UNSENT
    assert len(client.requests()) < ENOUGH
    assert client.call("verify").returncode == DIFFERS


def spoil_config(client: Client) -> None:
    """Make the first row that sets a config value one that no server can read."""
    with closing(sqlite3.connect(client.run.database)) as database, database:
        changed = database.execute(
            "UPDATE event SET data = '{\"seen0\": nonsense' WHERE data LIKE '%seen0%'"
        )
        assert changed.rowcount == 1


def test_a_server_restored_from_an_older_copy_gets_the_rest_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server, client_of(server, tmp_path, "restored") as client:
        client.log(50)
        assert client.sync().returncode == SYNCED
        server.stop()
        copy_folder(data, tmp_path / "copy")
        with server_again(client):
            client.log(50)
            assert client.sync().returncode == SYNCED
            client.assert_synced()
        copy_folder(tmp_path / "copy", data)
        with server_again(client):
            client.requests()
            done = client.sync()
            assert done.returncode == SYNCED, done.stderr
            assert "53 rows sent" in done.stderr
            assert len(client.requests()) < ENOUGH
            client.assert_synced()


def test_a_run_that_was_deleted_there_is_sent_again_only_when_asked(client: Client) -> None:
    client.log(20)
    assert client.sync().returncode == SYNCED
    with Connection(client.server.url, client.key) as connection:
        connection.request("DELETE", f"/api/v1/runs/ann/{client.project}/r1")
    assert Graves(client.server.data).find("ann", client.project, "r1") is not None
    client.log(20)
    for _ in range(2):
        client.requests()
        done = client.sync()
        assert done.returncode == UNSENT, done.stderr
        assert len(client.requests()) < ENOUGH
        place = client.place()
        assert place["synced"] is False
        assert "deleted" in place["error"]
        assert "ann" in place["error"]
        assert not client.there().exists()
    assert "deleted" in client.shown()
    assert client.sync("--restore").returncode == SYNCED
    client.assert_synced()
    client.log(5)
    assert client.sync().returncode == SYNCED, "it is there again, like any other"
    client.assert_synced()


def test_a_client_restored_from_an_older_copy_goes_on_and_loses_nothing_there(
    client: Client, tmp_path: Path
) -> None:
    client.entity = "ann"
    client.log(50)
    copy_folder(client.store, tmp_path / "copy")
    client.log(30)
    assert client.sync().returncode == SYNCED
    copy_folder(tmp_path / "copy", client.store)
    client.logged.pop()
    client.writers = 7  # the new one is somebody else
    client.log(40)
    assert client.sync().returncode == SYNCED
    assert len(client.requests()) < 2 * ENOUGH
    place = client.place()
    assert place["unsent"] == 0
    expected = {0.0: list(range(50)), 1.0: list(range(30)), 7.0: list(range(40))}
    assert counts_by_writer(rows_of(client.there())) == expected
    done = client.call("pull", f"ann/{client.project}/r1")
    assert done.returncode == 0, done.stderr
    assert counts_by_writer(rows_of(client.run)) == expected
    assert client.call("verify", "--deep").returncode == 0


def test_a_source_of_which_more_is_there_is_not_said_to_be_equal(
    client: Client, tmp_path: Path
) -> None:
    client.entity = "ann"
    rows = rows_saying(*(metric(k, {"w": 0.0, "k": float(k)}) for k in range(50)), state=None)
    client.log(1)
    absorb(client.run, rows[:20], "f" * 32)
    copy_folder(client.store, tmp_path / "copy")
    absorb(client.run, rows[20:], "f" * 32)
    assert client.sync().returncode == SYNCED
    copy_folder(tmp_path / "copy", client.store)
    client.requests()
    client.sync()
    assert len(client.requests()) < ENOUGH
    assert client.place()["unsent"] == 0
    done = client.call("verify")
    assert done.returncode == DIFFERS
    assert "store pull" in done.stderr
    assert client.call("pull", f"ann/{client.project}/r1").returncode == 0
    assert client.sync().returncode == SYNCED
    assert client.place()["synced"] is True
    assert client.call("verify", "--deep").returncode == 0


def test_two_entities_have_cursors_of_their_own(client: Client) -> None:
    with accounts_of(client.server) as accounts:
        accounts.create_team("lab", admin="ann")
    client.log(20)
    assert client.sync().returncode == SYNCED
    assert client.sync("--entity", "lab").returncode == SYNCED
    client.log(10)
    assert client.sync("--entity", "lab").returncode == SYNCED
    places = client.places()
    assert (places["lab"]["synced"], places["lab"]["unsent"]) == (True, 0)
    assert (places["ann"]["synced"], places["ann"]["unsent"]) == (False, 13)
    assert client.sync().returncode == SYNCED
    client.assert_synced("ann", "lab")


# -- files -------------------------------------------------------------------------------------


def log_file(client: Client, size: int = 300_000) -> str:
    """A further writer saves the file model.bin; gives its SHA-256."""
    client.log(5)
    file = client.run.path / "files" / "model.bin"
    file.parent.mkdir()
    file.write_bytes(bytes(size))
    sha256 = hash_file(file)
    facts = {"model.bin": {"sha256": sha256, "size": size}}
    absorb(client.run, rows_saying((Kind.FILE, 0, facts)), "e" * 32)
    return sha256


def test_a_file_that_got_lost_there_is_sent_again(client: Client) -> None:
    sha256 = log_file(client)
    assert client.sync().returncode == SYNCED
    client.assert_synced()
    lose_file(client, sha256)
    done = client.call("verify")
    assert done.returncode == DIFFERS
    assert "1 file" in done.stderr
    client.requests()
    assert client.sync().returncode == SYNCED
    assert len(client.requests()) < ENOUGH
    client.assert_synced()


def test_a_file_that_is_lost_on_both_sides_is_said_to_be(client: Client) -> None:
    sha256 = log_file(client)
    assert client.sync().returncode == SYNCED
    lose_file(client, sha256)
    (client.run.path / "files" / "model.bin").unlink()
    client.requests()
    done = client.sync()
    assert done.returncode == UNSENT
    assert len(client.requests()) < ENOUGH
    place = client.place()
    assert (place["unsent"], place["files_missing"], place["synced"]) == (0, 1, False)
    assert "model.bin" in place["error"]
    assert "model.bin" in client.shown()


def lose_file(client: Client, sha256: str) -> None:
    Blobs(StoreFolder(client.server.data), "ann").path(sha256).unlink()
    (client.there().path / "files" / "model.bin").unlink()


# -- keys and rights ---------------------------------------------------------------------------


def test_a_key_that_is_revoked_in_mid_sync_ends_it(client: Client) -> None:
    client.key = make_key(client.server, "ann")
    client.log(20)
    watch = start_command(client.store, "sync", "--watch", environment=client.environment)
    try:
        wait_until(lambda: client.places().get("ann", {}).get("synced"))
        with accounts_of(client.server) as accounts:
            prefix = client.key[: len(accounts.keys("ann")[0].prefix)]
            (known,) = [key for key in accounts.keys("ann") if key.prefix == prefix]
            accounts.revoke_key(known.id)
        client.log(20)
        assert watch.wait(60) == NOT_ALLOWED
    finally:
        watch.kill()
        watch.wait(60)
    assert_key_does_not_count(client)
    client.key = make_key(client.server, "ann")
    assert client.sync().returncode == SYNCED
    client.assert_synced()


def test_a_key_that_has_expired_says_so(client: Client) -> None:
    end = time.time() + 1.0
    client.key = make_key(client.server, "ann", expires=end)
    client.log(20)
    wait_until(lambda: time.time() > end)
    done = client.sync()
    assert done.returncode == NOT_ALLOWED, done.stderr
    assert_key_does_not_count(client)


def assert_key_does_not_count(client: Client) -> None:
    client.requests()
    assert client.sync().returncode == NOT_ALLOWED
    assert len(client.requests()) <= 2
    (place,) = client.places().values()
    assert place["unsent"] > 0
    assert place["synced"] is False
    assert "key" in place["error"]


def test_without_the_right_to_write_there_it_says_who_may_not(client: Client) -> None:
    with accounts_of(client.server) as accounts:
        if accounts.entity("closed") is None:
            accounts.create_team("closed", admin="admin")
    client.log(20)
    done = client.sync("--entity", "closed")
    assert done.returncode == NOT_ALLOWED, done.stderr
    assert len(client.requests()) < ENOUGH
    place = client.places()["closed"]
    assert (place["unsent"], place["synced"]) == (22 + 1, False)
    assert "closed" in place["error"]
    assert "ann" in place["error"]


def test_a_key_that_may_only_read_says_so(client: Client) -> None:
    client.log(20)
    assert client.sync().returncode == SYNCED
    client.key = make_key(client.server, "ann", ["read"])
    client.log(20)
    client.requests()
    done = client.sync()
    assert done.returncode == NOT_ALLOWED, done.stderr
    assert len(client.requests()) < ENOUGH
    place = client.place()
    assert (place["unsent"], place["synced"]) == (23, False)
    assert "write" in place["error"]


def test_a_key_that_may_only_read_is_told_so_also_of_a_project_that_is_not_there(
    client: Client,
) -> None:
    client.key = make_key(client.server, "ann", ["read"])
    client.log(20)
    done = client.sync()
    assert done.returncode == NOT_ALLOWED, done.stderr
    assert "this key of ann has not the scope write" in done.stderr
    assert len(client.requests()) < ENOUGH
    (place,) = client.places().values()
    assert (place["unsent"], place["synced"]) == (23, False)
    assert "write" in place["error"]


def test_an_entity_that_is_not_there_is_named(client: Client) -> None:
    client.log(20)
    done = client.sync("--entity", "nobody")
    assert done.returncode == UNSENT, done.stderr
    assert len(client.requests()) < ENOUGH
    place = client.places()["nobody"]
    assert (place["unsent"], place["synced"]) == (23, False)
    assert "nobody" in place["error"]

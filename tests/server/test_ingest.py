"""Batches that the server turns away, and what is left of them."""

from __future__ import annotations

from pathlib import Path

from store.sync.wire import Batch, RunName, encode_batch
from tests.server.world import TEAM, make_world
from tests.stored_runs import metric, rows_of
from tests.sync.batches import new_run, put, stretches_of

A = "a" * 32


def test_a_gap_of_a_run_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path / "data")
    origin = new_run(tmp_path / "origin")
    put(origin, A, rows_of(*(metric(n, {"loss": 0.5}) for n in range(9))))
    batch = Batch(RunName(TEAM, "new", "r1"), origin.store_id, list(stretches_of(origin, A, 4)))
    with world.serve() as server:
        key = world.keys["member"]
        for _ in range(2):
            answer = server.ask("POST", "/api/v1/batches", key, encode_batch(batch))
            assert (answer.status, answer.code) == (409, "gap")
            assert answer.json["error"]["sources"] == {A: [0, "0" * 32]}
        projects = server.ask("GET", "/api/v1/projects", key).json["projects"]
        assert "new" not in [project["name"] for project in projects]
        assert not (world.data / TEAM).exists()
    world.accounts.close()

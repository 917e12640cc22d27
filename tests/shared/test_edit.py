"""Changes that people make to a run of a shared store, as its hosts see them."""

from __future__ import annotations

from pathlib import Path

import pytest

import store
from store.locks import run_lock
from store.paths import StoreFolder
from store.server import editing
from store.server.app import make_local_app
from store.server.context import ServerOptions
from tests.asgi import Asgi
from tests.helpers import only_run
from tests.hosts import Host
from tests.shared.parts import counts, log_some


def test_an_edit_is_there_for_all_hosts_and_no_life(hosts: tuple[Host, Host], folder: Path) -> None:
    a, b = hosts
    log_some(a, folder, 3)
    with a.here(), Asgi(make_local_app(StoreFolder(folder), ServerOptions(folder))) as app:
        said = app.ask("PATCH", "/api/v1/runs/local/p/r1", body={"notes": "from a"})
        assert said.status == 200, said.body
    assert only_run(folder).segments() == {}
    assert counts(b, folder) == [0, 1, 2]
    with b.here(), store.open(folder) as opened:
        (run,) = opened.runs
        assert (run.attributes["notes"], run.state) == ("from a", "finished")
    assert b.check(folder) == ""


def test_an_edit_that_is_not_published_yet_is_no_life_either(
    hosts: tuple[Host, Host], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = hosts
    log_some(a, folder, 3)
    monkeypatch.setattr(editing, "FOLD_SECONDS", 0.1)
    with (
        a.here(),
        Asgi(make_local_app(StoreFolder(folder), ServerOptions(folder))) as app,
        run_lock(only_run(folder).lock).hold(60),
    ):
        app.ask("PATCH", "/api/v1/runs/local/p/r1", body={"notes": "from a"})
        assert len(only_run(folder).segments()) == 1
        with b.here(), store.open(folder) as opened:
            (run,) = opened.runs
            assert (run.attributes["notes"], run.state) == ("from a", "finished")

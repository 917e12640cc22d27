"""Names become paths that no disk confuses, and stores are found where people expect them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import RunNotFound, SchemaTooNew, StoreCorrupt, StoreNotFound, UsageError
from store.names import decode_name, encode_name
from store.paths import (
    StoreFolder,
    create_store,
    locate_store,
    open_store,
)


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("digits", "digits"),
        ("MNIST", "%4D%4E%49%53%54"),
        ("a/b", "a%2Fb"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("con", "%63on"),
        ("nul.txt", "%6Eul.txt"),
        ("ends.", "ends%2E"),
        ("ü", "%C3%BC"),
        ("50%", "50%25"),
    ],
)
def test_names_become_one_safe_component(name: str, component: str) -> None:
    assert encode_name(name) == component
    assert decode_name(component) == name


@pytest.mark.parametrize(
    "component", ["%41%2f", "%2f", "a%2", "%+1", "%", "%zz", "%FF", "%20", "%61", "Caps%2F", "%2F."]
)
def test_a_component_that_was_never_made_is_left_alone(component: str) -> None:
    """Else the name would lead to another folder than the one that it was read from."""
    assert decode_name(component) == component


@given(st.text(min_size=1, max_size=30))
def test_any_name_comes_back_and_no_two_meet(name: str) -> None:
    try:
        component = encode_name(name)
    except UsageError:
        return
    assert decode_name(component) == name
    assert component == component.lower() or "%" in component
    assert "/" not in component
    assert component not in (".", "..")


@pytest.mark.parametrize("name", ["", "  ", "\ud800", "x" * 129, "Ü" * 60])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="project"):
        encode_name(name, "project")


def test_a_store_is_found_upwards_and_made_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert locate_store() == inner / ".store"
    create_store(tmp_path / ".store")
    assert locate_store() == tmp_path / ".store"
    assert open_store().path == tmp_path / ".store"


def test_a_given_folder_is_the_store_or_holds_it(tmp_path: Path) -> None:
    assert locate_store(given=tmp_path / "new") == tmp_path / "new"
    create_store(tmp_path / "new")
    assert locate_store(given=tmp_path / "new") == tmp_path / "new"
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text("")
    assert locate_store(given=tmp_path / "project") == tmp_path / "project" / ".store"


def test_store_json_is_written_once(tmp_path: Path) -> None:
    first = create_store(tmp_path / "s")
    assert create_store(tmp_path / "s").id == first.id
    assert (tmp_path / "s" / ".gitignore").read_text() == "*\n"


def test_what_is_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        StoreFolder(tmp_path)
    (tmp_path / "store.json").write_text("not json")
    with pytest.raises(StoreCorrupt):
        StoreFolder(tmp_path)
    (tmp_path / "store.json").write_text('{"id": "x", "format": 99, "mode": "local"}')
    with pytest.raises(SchemaTooNew):
        StoreFolder(tmp_path)


def test_a_run_is_known_by_any_path_inside_it(tmp_path: Path) -> None:
    store = create_store(tmp_path / "s")
    run = store.run("local", "p", "r")
    run.journals.mkdir(parents=True)
    assert store.run_at(run.path).key == "local/p/r"
    assert store.run_at(run.journals).id == "r"
    with pytest.raises(RunNotFound):
        store.run_at(tmp_path)

"""`store remote`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import ask, call, make_run

URL = "https://runs.example.org"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / ".store", "r1")
    return tmp_path / ".store"


def test_remotes_are_added_listed_and_removed(store: Path, tmp_path: Path) -> None:
    assert "this store has no remotes" in call("remote", "list").stderr
    assert ask("remote", "list") == []
    result = call("remote", "add", "main", f"{URL}/")
    assert result.stderr == f"added main ({URL}), the default remote\n"
    assert call("remote", "add", "disk", "disk").stderr == f"added disk ({tmp_path / 'disk'})\n"
    assert call("remote", "default", "disk").stderr.endswith("is the default remote\n")
    assert ask("remote", "list") == [
        {"name": "disk", "kind": "folder", "address": str(tmp_path / "disk"), "default": True},
        {"name": "main", "kind": "server", "address": URL, "default": False},
    ]
    assert call("remote", "remove", "disk").exit_code == 0
    assert [row["default"] for row in ask("remote", "list")] == [True]


def test_a_setting_that_goes_before_is_told(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_URL", "https://other.example.org")
    call("remote", "add", "main", URL)
    for arguments in (("list",), ("default", "main")):
        said = call("remote", *arguments).stderr
        assert "note: https://other.example.org" in said
        assert "environment STORE_URL" in said


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("add", "main"), 2),
        (("add", "a b", URL), 2),
        (("add", "main", "https://ann:secret@runs.example.org"), 2),
        (("add", "main", "."), 2),
        (("remove", "main"), 2),
        (("default", "main"), 2),
        (("nope",), 2),
    ],
)
def test_what_cannot_be_is_an_error_of_usage(
    store: Path, arguments: tuple[str, ...], code: int
) -> None:
    result = call("remote", *arguments)
    assert result.exit_code == code
    assert "secret" not in result.stderr
    assert ask("remote", "list") == []


def test_the_store_may_be_named_behind_the_command(store: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "other", "r1")
    assert call("remote", "add", "main", URL, "--store", tmp_path / "other").exit_code == 0
    assert ask("remote", "list") == []
    assert ask("--store", tmp_path / "other", "remote", "list")[0]["name"] == "main"


def test_without_a_store_there_are_no_remotes(tmp_path: Path) -> None:
    result = call("--store", tmp_path / "none", "remote", "add", "main", URL)
    assert result.exit_code == 1
    assert "no store" in result.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["add", "list", "remove", "default"])
def test_each_command_has_a_help_with_an_example(name: str) -> None:
    for option in ("-h", "--help"):
        result = call("remote", name, option)
        assert result.exit_code == 0
        assert f"    store remote {name} " in result.stdout.replace("list --json", "list  ")

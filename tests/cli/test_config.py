"""`store config`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from store.settings import FIELDS, project_settings_file, user_settings_file
from tests.cli.program import ask, call, make_run

KEY = "st-" + "0123456789" * 4


def test_every_setting_is_listed_with_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_GROUP", "night")
    rows = ask("--store", tmp_path, "config", "--where")
    assert [row["setting"] for row in rows] == list(FIELDS)
    facts = {row["setting"]: (row["value"], row["from"]) for row in rows}
    assert facts["group"] == ("night", "environment STORE_GROUP")
    assert facts["project"] == ("uncategorized", "default")


def test_a_setting_is_set_shown_and_unset(tmp_path: Path) -> None:
    assert call("config", "project", "digits").exit_code == 0
    file = user_settings_file(os.environ)
    assert call("config", "project").stdout == "digits\n"
    assert call("config", "project", "--where").stdout == f"digits\tuser file {file}\n"
    assert call("config", "--unset", "project").exit_code == 0
    assert call("config", "project").stdout == "uncategorized\n"


def test_the_store_has_a_file_of_its_own_which_goes_before_the_users(tmp_path: Path) -> None:
    make_run(tmp_path, "r")
    call("config", "project", "mine")
    result = call("--store", tmp_path, "config", "project", "ours", "--project")
    assert result.stderr == f"set project = ours in {tmp_path / 'settings.toml'}\n"
    assert call("--store", tmp_path, "config", "project").stdout == "ours\n"
    again = call("--store", tmp_path, "config", "project", "others")
    assert f"note: the value in force comes from project file {tmp_path}" in again.stderr


def test_the_users_dir_is_where_commands_look(tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere", "r1")
    assert call("config", "dir", tmp_path / "elsewhere").exit_code == 0
    assert ask("ls")[0]["id"] == "r1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mdoe",), "did you mean mode?"),
        (("mdoe", "x"), "did you mean mode?"),
        (("mode", "sideways"), "expected"),
        (("dir", "x", "--project"), "store's own file cannot set it"),
        (("--unset",), "needs the name"),
        (("--unset", "mode", "x"), "takes no value"),
        (("mode", "--user"), "give KEY and VALUE"),
    ],
)
def test_what_cannot_be_set_is_an_error_of_usage(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    make_run(tmp_path, "r")
    result = call("--store", tmp_path, "config", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not project_settings_file(tmp_path).exists()


def test_a_store_file_needs_a_store(tmp_path: Path) -> None:
    result = call("--store", tmp_path / "none", "config", "mode", "offline", "--project")
    assert result.exit_code == 1
    assert not (tmp_path / "none").exists()


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    said = call("config", "api_key", "-", input=f"{KEY}\n")
    shown = [call("config", *words) for words in ((), ("--where",), ("api_key",), ("--json",))]
    for result in (said, *shown):
        assert result.exit_code == 0
        assert KEY not in result.output
    file = user_settings_file(os.environ)
    assert KEY in file.read_text()
    assert file.stat().st_mode & 0o077 == 0

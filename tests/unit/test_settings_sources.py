"""Settings files: their problems in words, their places, and edits that keep what stands beside."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tomllib
from pathlib import Path

import pytest

from store.errors import UsageError
from store.settings import (
    FIELDS,
    Settings,
    describe,
    project_settings_file,
    resolve,
    user_settings_file,
    write_setting,
)

KEY = "st-0123456789abcdef0123456789abcdef01234567"

posix = pytest.mark.skipif(os.name != "posix", reason="file modes and links of POSIX: not run")


def settings_file(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text, encoding="utf-8", newline="")
    return file


def test_problems_of_a_file_name_file_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    file = settings_file(
        tmp_path, 'mod = "auto"\nstrict = "yes"\ntags = ["ok"]\n[notes]\nx = 1\n[zzzz]\n'
    )
    resolved = resolve({}, environ={}, user_file=file)
    assert resolved.problems == (
        f"{file}: unknown key 'mod', did you mean mode?",
        f"{file}, key strict: expected true or false, not 'yes' (ignored)",
        f"{file}, key notes: expected text, not {{'x': 1}} (ignored)",
        f"{file}: unknown key 'zzzz'",
    )
    assert resolved.settings == Settings(tags=("ok",))


@pytest.mark.parametrize("data", [b"mode = offline\n", b"\xff\xfe", b"a = 1\na = 2\n", b"mode\0"])
def test_an_unparsable_file_is_one_problem(data: bytes, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_bytes(data)
    good = settings_file(tmp_path, 'mode = "offline"\n')
    resolved = resolve({}, environ={}, project_file=broken, user_file=good)
    assert resolved.settings.mode == "offline"
    (problem,) = resolved.problems
    assert problem.startswith(f"{broken} is not valid TOML: ")
    with pytest.raises(UsageError, match="is not valid TOML"):
        write_setting(broken, "mode", "offline")
    assert broken.read_bytes() == data


@posix
def test_an_unreadable_file_is_one_problem(tmp_path: Path) -> None:
    resolved = resolve({}, environ={}, project_file=tmp_path)
    assert resolved.problems == (
        f"{tmp_path} cannot be read: {os.strerror(errno.EISDIR)} (ignored)",
    )


def test_relative_paths_in_a_file_count_from_its_folder(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'dir = "runs"\nspool = "spill"\n')
    settings = resolve({}, environ={}, user_file=file).settings
    assert (settings.dir, settings.spool) == (tmp_path / "runs", tmp_path / "spill")


def test_the_store_s_own_file_cannot_say_where_the_store_is(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'dir = "/elsewhere"\n')
    resolved = resolve({}, environ={}, project_file=file)
    assert resolved.settings.dir is None
    assert resolved.problems == (f"{file}: dir has no effect in a store's own settings file",)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(b'\xef\xbb\xbfmode = "offline"\r\n')
    assert resolve({}, environ={}, user_file=file).settings.mode == "offline"


def test_places_of_the_files(tmp_path: Path) -> None:
    assert project_settings_file(tmp_path) == tmp_path / "settings.toml"
    expected = tmp_path / "runstore" / "settings.toml"
    assert user_settings_file({"XDG_CONFIG_HOME": str(tmp_path)}) == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only: not run")
def test_without_an_absolute_xdg_folder_the_user_s_file_is_in_the_home() -> None:
    home = {"HOME": "/home/me"}
    expected = Path("/home/me/.config/runstore/settings.toml")
    assert user_settings_file(home) == expected
    assert user_settings_file({**home, "XDG_CONFIG_HOME": "relative"}) == expected
    assert user_settings_file({}) == Path.home() / ".config" / "runstore" / "settings.toml"


# ---------------------------------------------------------------------------- writing


WRITTEN: dict[str, tuple[str, object]] = {
    "project": ("p", "p"),
    "tags": (" a, b,,a ", ("a", "b")),
    "notes": ("long\nnote", "long\nnote"),
    "spool": ("/spool", Path("/spool").absolute()),
    "mode": ("dryrun", "offline"),
    "git": ("off", False),
    "strict": ("YES", True),
    "url": ("http://host", "http://host"),
    "api_key": (KEY, KEY),
    "finish_timeout": ("2.5", 2.5),
    "fold_interval": ("1e9", 1e9),
    "queue_bytes": ("1_000", 1000),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_what_is_read(name: str, tmp_path: Path) -> None:
    text, value = WRITTEN[name]
    file = tmp_path / "new" / "settings.toml"
    write_setting(file, name, text)
    resolved = resolve({}, environ={}, user_file=file)
    assert getattr(resolved.settings, name) == value
    assert resolved.origins[name] == f"user file {file}"
    write_setting(file, name, None)
    assert file.read_bytes() == b""


@pytest.mark.parametrize("text", ['q"uote\\', "tab\there", "ünï 😀 \u2028 \x7f", "''' \"\"\" #"])
def test_any_text_survives_writing(text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    write_setting(file, "notes", text)
    assert resolve({}, environ={}, user_file=file).settings.notes == text


EDITS = [
    ("", 'mode = "auto"\n', ""),
    ("# only this", '# only this\nmode = "auto"\n', "# only this"),
    (
        '# top\n\nmode = "offline"   # why # so\nsilent = true # loud\n',
        '# top\n\nmode = "auto"   # why # so\nsilent = true # loud\n',
        "# top\n\nsilent = true # loud\n",
    ),
    (
        "strict = true\n\n# about x\n[x]\nmode = 1\n",
        'strict = true\nmode = "auto"\n\n# about x\n[x]\nmode = 1\n',
        "strict = true\n\n# about x\n[x]\nmode = 1\n",
    ),
    ("strict = true", 'strict = true\nmode = "auto"\n', "strict = true"),
    (
        "strict = true\r\n'mode' = 'run#1' # c\r\n",
        'strict = true\r\nmode = "auto" # c\r\n',
        "strict = true\r\n",
    ),
    (
        'notes = """\nmode = "x"\n[y]\n"""\ntags = [ # one\n"a", # two\n]\n',
        'notes = """\nmode = "x"\n[y]\n"""\ntags = [ # one\n"a", # two\n]\nmode = "auto"\n',
        'notes = """\nmode = "x"\n[y]\n"""\ntags = [ # one\n"a", # two\n]\n',
    ),
    (
        'mode = [\n"x", # in\n] # out\nstrict = true # \u2028mode = 3\n',
        'mode = "auto" # out\nstrict = true # \u2028mode = 3\n',
        "strict = true # \u2028mode = 3\n",
    ),
    ("mode.a = 1\nx = 1\nmode.b = 2\n", 'mode = "auto"\nx = 1\n', "x = 1\n"),
]


@pytest.mark.parametrize(("before", "with_key", "without_key"), EDITS)
def test_other_lines_and_comments_stay(
    before: str, with_key: str, without_key: str, tmp_path: Path
) -> None:
    file = settings_file(tmp_path, before)
    write_setting(file, "mode", "auto")
    assert file.read_bytes().decode() == with_key
    assert tomllib.loads(with_key)["mode"] == "auto"
    settings_file(tmp_path, before)
    write_setting(file, "mode", None)
    assert file.read_bytes().decode() == without_key
    assert sorted(tmp_path.iterdir()) == [file]


def test_a_key_in_an_unforeseen_shape_is_left_for_the_hand(tmp_path: Path) -> None:
    text = "strict = true\n[mode]\nx = 1\n"
    file = settings_file(tmp_path, text)
    for value in ("auto", None):
        with pytest.raises(UsageError, match="edit it by hand"):
            write_setting(file, "mode", value)
    assert file.read_text() == text


def test_removing_what_is_not_there_makes_no_file(tmp_path: Path) -> None:
    write_setting(tmp_path / "none" / "settings.toml", "mode", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("key", "value"), [("mood", "auto"), ("mood", None), ("mode", "x")])
def test_a_bad_key_or_value_is_not_written(key: str, value: str | None, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_setting(tmp_path / "settings.toml", key, value)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_is_written_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "conf" / "settings.toml"
    write_setting(file, "spool", "spill")
    assert resolve({}, environ={}, user_file=file).settings.spool == Path.cwd() / "spill"


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@posix
def test_a_file_with_a_key_is_private_and_stays_so(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "strict = true\n")
    file.chmod(0o640)
    write_setting(file, "mode", "offline")
    assert mode_of(file) == 0o640
    write_setting(file, "api_key", KEY)
    assert mode_of(file) == 0o600
    file.chmod(0o644)
    write_setting(file, "mode", "auto")
    assert mode_of(file) == 0o600
    write_setting(file, "api_key", None)
    assert mode_of(file) == 0o600
    assert KEY not in file.read_text()


@posix
def test_a_linked_file_is_changed_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    real = settings_file(tmp_path / "dotfiles", "strict = true\n")
    link = tmp_path / "settings.toml"
    link.symlink_to(real)
    write_setting(link, "mode", "offline")
    assert link.is_symlink()
    assert real.read_text() == 'strict = true\nmode = "offline"\n'


@posix
def test_a_failed_write_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "settings.toml" / "below"
    (tmp_path / "settings.toml").write_text("")
    with pytest.raises(UsageError, match="cannot be read"):
        write_setting(folder / "settings.toml", "mode", "offline")
    assert [file.name for file in tmp_path.iterdir()] == ["settings.toml"]


# ---------------------------------------------------------------------------- listing


def test_describe_lists_every_field_and_masks_the_key() -> None:
    environ = {"STORE_API_KEY": KEY, "STORE_TAGS": "a,b", "STORE_GIT": "no"}
    resolved = resolve({"dir": "/x"}, environ=environ)
    rows = {name: (value, origin) for name, value, origin in describe(resolved)}
    assert list(rows) == list(FIELDS)
    assert rows["api_key"] == ("st-…4567", "environment STORE_API_KEY")
    assert rows["tags"] == ("a,b", "environment STORE_TAGS")
    assert rows["git"] == ("false", "environment STORE_GIT")
    assert rows["dir"] == (str(Path("/x")), "argument")
    assert rows["name"] == ("", "default")


@pytest.mark.parametrize(("key", "shown"), [("short", "…"), ("k" * 36 + "wxyz", "…wxyz")])
def test_other_keys_are_masked_too(key: str, shown: str) -> None:
    rows = describe(resolve({"api_key": key}, environ={}))
    assert ("api_key", shown, "argument") in rows

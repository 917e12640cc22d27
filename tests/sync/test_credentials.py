"""Which key goes to which server, and how keys lie on the disk."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import pytest

from store.errors import NotAllowed, UsageError
from store.settings import Resolved, resolve, user_settings_file, write_setting
from store.sync.credentials import (
    connect,
    credentials_file,
    forget_key,
    is_insecure_allowed,
    is_key,
    key_for,
    known_servers,
    no_key,
    save_key,
)

SERVER = "https://runs.example.org"
OTHER = "https://other.example.org"
KEPT, GIVEN, SET = (f"st-{digit * 40}" for digit in "abc")


def settings(
    arguments: dict[str, object] | None = None, file: Path | None = None, **environ: str
) -> Resolved:
    return resolve(arguments or {}, environ=environ, user_file=file)


def found(url: str, resolved: Resolved, *, named: bool = False) -> str | None:
    key = key_for(url, resolved, named=named)
    return key.key if key else None


# -- which key ---------------------------------------------------------------------------------


def test_a_kept_key_is_for_its_scheme_host_and_port_alone() -> None:
    save_key("https://Runs.Example.org:443/base/", KEPT)
    assert found(SERVER, settings()) == KEPT
    assert found(f"{SERVER}/other/path", settings()) == KEPT
    for url in (
        "http://runs.example.org",
        f"{SERVER}:8443",
        "https://runs.example.org.evil.net",
        "https://example.org",
        OTHER,
    ):
        assert found(url, settings()) is None
        assert found(url, settings(), named=True) is None


@pytest.mark.parametrize("url", [SERVER, f"{SERVER}/", "HTTPS://runs.example.org:443/base"])
def test_a_key_of_the_environment_goes_to_the_server_of_the_settings(url: str) -> None:
    save_key(SERVER, KEPT)
    resolved = settings(STORE_API_KEY=GIVEN, STORE_URL=url)
    key = key_for(SERVER, resolved)
    assert key is not None
    assert (key.key, key.origin) == (GIVEN, "environment STORE_API_KEY")


def test_a_key_of_the_environment_goes_nowhere_else_unless_the_address_was_typed() -> None:
    for resolved in (
        settings(STORE_API_KEY=GIVEN),
        settings(STORE_API_KEY=GIVEN, STORE_URL=OTHER),
        settings(STORE_API_KEY=GIVEN, STORE_URL="/some/folder"),
        settings({"api_key": GIVEN}),
    ):
        assert found(SERVER, resolved) is None
        assert found(SERVER, resolved, named=True) == GIVEN
    save_key(SERVER, KEPT)
    assert found(SERVER, settings(STORE_API_KEY=GIVEN, STORE_URL=OTHER)) == KEPT


def test_a_key_of_a_settings_file_comes_last_and_goes_to_that_url_alone(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    write_setting(file, "api_key", SET)
    write_setting(file, "url", SERVER)
    resolved = settings(file=file)
    assert found(SERVER, resolved) == SET
    assert found(OTHER, resolved) is None
    assert found(OTHER, resolved, named=True) is None
    save_key(SERVER, KEPT)
    assert found(SERVER, resolved) == KEPT


def test_a_key_for_wandb_goes_to_its_own_host_alone() -> None:
    both = settings(WANDB_API_KEY=GIVEN, WANDB_BASE_URL=SERVER)
    assert found(SERVER, both) == GIVEN
    assert found(OTHER, both, named=True) is None
    assert found(SERVER, settings(WANDB_API_KEY=GIVEN), named=True) is None
    assert found(SERVER, settings(WANDB_API_KEY=GIVEN, STORE_URL=SERVER), named=True) is None


def test_without_settings_those_of_the_process_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_API_KEY", GIVEN)
    write_setting(user_settings_file(os.environ), "url", SERVER)
    key = key_for(SERVER)
    assert key is not None
    assert key.key == GIVEN


def test_who_has_no_key_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_key(f"{SERVER}/").hint == f"`store login {SERVER}`"
    monkeypatch.setenv("STORE_API_KEY", GIVEN)
    error = no_key(SERVER)
    assert f"STORE_URL={SERVER}" in str(error)
    assert GIVEN not in str(error)


def test_a_connection_has_the_key_and_what_was_allowed() -> None:
    plain = "http://runs.example.org"
    save_key(SERVER, KEPT)
    save_key(plain, KEPT)
    assert not is_insecure_allowed(plain)
    with pytest.raises(NotAllowed):
        connect(plain, settings())
    save_key(plain, KEPT, insecure=True)
    assert is_insecure_allowed(f"{plain}/base")
    assert not is_insecure_allowed(f"{plain}:8080")
    for url in (plain, SERVER, OTHER):
        connect(url, settings()).close()
    save_key(plain, KEPT)
    assert not is_insecure_allowed(plain)


def test_plain_http_may_be_allowed_without_a_kept_key() -> None:
    credentials_file().parent.mkdir(parents=True)
    credentials_file().write_text('["http://runs"]\ninsecure = true\n')
    assert key_for("http://runs", settings()) is None
    connect("http://runs", settings(STORE_API_KEY=GIVEN, STORE_URL="http://runs")).close()


# -- the file ----------------------------------------------------------------------------------


def test_keys_are_kept_changed_and_forgotten() -> None:
    assert known_servers() == []
    assert not forget_key(SERVER)
    assert not credentials_file().exists()
    save_key(SERVER, GIVEN, user="ann")
    save_key(OTHER, SET)
    assert save_key(SERVER, KEPT) == credentials_file()
    assert known_servers() == [SERVER, OTHER]
    assert found(SERVER, settings()) == KEPT
    assert GIVEN not in credentials_file().read_text()
    assert forget_key(SERVER)
    assert known_servers() == [OTHER]
    assert found(SERVER, settings()) is None
    assert found(OTHER, settings()) == SET


@pytest.mark.skipif(os.name != "posix", reason="not run: needs POSIX modes")
def test_only_the_owner_can_read_the_file() -> None:
    file = save_key(SERVER, KEPT)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) & 0o077 == 0
    key = key_for(SERVER, settings())
    assert key is not None
    assert key.note == ""
    file.chmod(0o640)
    key = key_for(SERVER, settings())
    assert key is not None
    assert key.key == KEPT
    assert f"others can read {file}" in key.note
    save_key(OTHER, SET)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [name for name in os.listdir(file.parent) if name != file.name] == [f".{file.name}.lock"]


def test_what_a_newer_version_has_written_stays() -> None:
    save_key(SERVER, KEPT)
    with credentials_file().open("a") as file:
        file.write('\n["https://new.example.org"]\nkey = "x"\nsso = "y \\" \\\\"\n')
    save_key(OTHER, SET)
    assert 'sso = "y \\" \\\\"' in credentials_file().read_text()


@pytest.mark.parametrize(
    "text", [f'["{SERVER}"]\nkey = 5\n', f'"{SERVER}" = "{KEPT}"\n', "[", "\xff", f"{KEPT}\n"]
)
def test_a_file_with_nonsense_is_told_without_what_is_in_it(text: str) -> None:
    credentials_file().parent.mkdir(parents=True)
    credentials_file().write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"credentials\.toml") as caught:
        key_for(SERVER, settings())
    assert KEPT not in str(caught.value)


def test_a_file_that_cannot_be_rewritten_is_left_alone() -> None:
    save_key(SERVER, KEPT)
    text = credentials_file().read_text() + "since = 2026-01-01\n"
    credentials_file().write_text(text)
    with pytest.raises(UsageError, match="since"):
        save_key(OTHER, SET)
    assert credentials_file().read_text() == text


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "schlüssel"])
def test_what_is_no_key_is_not_kept(key: str) -> None:
    with pytest.raises(UsageError):
        save_key(SERVER, key)
    assert not credentials_file().exists()


@pytest.mark.parametrize(
    "text", ["", "st-", "st-" + "g" * 40, KEPT + "a", KEPT.upper(), KEPT + "\n"]
)
def test_the_form_of_a_key(text: str) -> None:
    assert is_key(KEPT)
    assert not is_key(text)


def test_a_key_is_shown_by_its_beginning() -> None:
    save_key(SERVER, KEPT)
    key = key_for(SERVER, settings())
    assert key is not None
    assert key.shown == "st-aaaaaaaa…"
    assert KEPT not in repr(key)
    assert pickle.loads(pickle.dumps(key)) == key

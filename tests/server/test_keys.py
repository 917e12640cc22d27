"""API keys: their form, their checksum, and that nothing keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from store.errors import UsageError
from store.server.access import Access
from store.server.accounts import Accounts
from store.server.keys import check_scopes, hash_key, is_key, make_key, shown_of
from store.server.problems import Problem


def test_a_key_is_st_and_forty_hex_digits_that_differ_each_time() -> None:
    made = {make_key() for _ in range(1000)}
    assert len(made) == 1000
    for key in made:
        assert is_key(key)
        assert len(key) == 43
        assert key.startswith("st-")
        assert int(key[3:], 16) >= 0


def test_the_checksum_finds_every_wrong_digit() -> None:
    key = make_key()
    for place in range(3, 43):
        for digit in "0123456789abcdef":
            other = key[:place] + digit + key[place + 1 :]
            assert is_key(other) == (other == key)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key.upper(),
        lambda key: key + "\n",
        lambda key: " " + key,
        lambda key: key[:-1],
        lambda key: key + "0",
        lambda key: key.replace("st-", "sk-"),
        lambda key: key[:3] + "\u0660" + key[4:],
        lambda key: key[3:],
        lambda _: "",
    ],
)
def test_what_has_not_the_form_is_no_key(spoil: Callable[[str], str]) -> None:
    assert not is_key(spoil(make_key()))


def test_what_is_kept_and_shown_of_a_key() -> None:
    key = make_key()
    assert hash_key(key) == hashlib.sha256(key.encode()).digest()
    assert shown_of(key) == key[:11]


def test_no_file_of_the_server_holds_a_key(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path, create=True)
    accounts.create_user("ann")
    key, _ = accounts.create_key("ann", ("read",))
    Access(accounts).identify(f"Bearer {key}")
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert tmp_path / "accounts.db-wal" in files
    for path in files:
        assert key[11:].encode() not in path.read_bytes()
    accounts.close()


@pytest.mark.parametrize("spoil", [str.upper, str.lower, lambda key: key[:-1] + "x"])
def test_no_error_shows_a_key(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    accounts = Accounts(tmp_path, create=True)
    accounts.create_user("ann")
    key, record = accounts.create_key("ann", ("read",))
    accounts.revoke_key(record.id)
    with pytest.raises(Problem) as caught:
        Access(accounts).identify(f"Bearer {spoil(key)}")
    said = repr(caught.value.record()).lower()
    assert caught.value.code == "bad_key"
    assert key[11:] not in said
    accounts.close()


@pytest.mark.parametrize("scopes", [(), ("read", "all"), "everything", None, [["read"]]])
def test_scopes_that_there_are_not(scopes: object) -> None:
    with pytest.raises(UsageError, match="read, write, admin"):
        check_scopes(scopes)


def test_scopes_are_a_set() -> None:
    assert check_scopes(["read", "read", "write"]) == {"read", "write"}
    assert check_scopes("write") == {"write"}

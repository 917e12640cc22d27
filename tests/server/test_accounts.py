"""Users, keys, entities, members and projects: what is kept, by many processes at once."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from store.errors import SchemaTooNew, StoreCorrupt, StoreNotFound, UsageError
from store.server.access import Access
from store.server.accounts import Accounts
from store.server.problems import Problem
from tests.helpers import open_gates, start_gated

NOW: Final = 1_800_000_000.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    made = Accounts(tmp_path, create=True, clock=clock)
    yield made
    made.close()


def code_of(caught: pytest.ExceptionInfo[Problem]) -> tuple[int, str]:
    return caught.value.status, caught.value.code


# -- the database ------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_nobody_else_on_the_machine_may_read_the_accounts(
    tmp_path: Path, accounts: Accounts
) -> None:
    accounts.create_user("ann")
    for name in ("accounts.db", "accounts.db-wal", "accounts.db-shm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


def test_accounts_are_not_made_where_nobody_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        Accounts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database_of_accounts_is_told(tmp_path: Path) -> None:
    (tmp_path / "accounts.db").write_bytes(b"x" * 5000)
    with pytest.raises(StoreCorrupt):
        Accounts(tmp_path, create=True)
    (tmp_path / "accounts.db").unlink()
    with sqlite3.connect(tmp_path / "accounts.db") as connection:
        connection.execute("CREATE TABLE t(a)")
    connection.close()
    with pytest.raises(StoreCorrupt, match="accounts"):
        Accounts(tmp_path, create=True)


def test_a_later_format_is_left_alone(tmp_path: Path) -> None:
    Accounts(tmp_path, create=True).close()
    with sqlite3.connect(tmp_path / "accounts.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaTooNew):
        Accounts(tmp_path)


def test_commits_are_on_the_disk(accounts: Accounts) -> None:
    with accounts._database.reading() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_many_processes_make_accounts_at_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    processes = [start_gated("make_accounts", data, number, 5) for number in range(4)]
    open_gates(processes)
    told = [process.communicate(timeout=60)[0].decode().split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(words[0] for words in told) == ["first", "later", "later", "later"]
    assert sorted(words[1] for words in told) == ["exists", "exists", "exists", "made"]
    accounts = Accounts(data)
    names = {f"u{number}-{index}" for number in range(4) for index in range(5)}
    assert {user.name for user in accounts.users()} == names | {"admin"}
    assert {key.user for key in accounts.keys()} == names | {"admin"}  # noqa: SIM118
    assert {project.entity for project in accounts.projects()} == names
    assert [user.name for user in accounts.users() if user.admin] == ["admin"]
    assert len(accounts.members("everybody")) == 1
    assert accounts._rows("PRAGMA integrity_check") == [("ok",)]
    accounts.close()


# -- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "ann", "0x", "ann-b_c.d", "n" * 64, "con"])
def test_names_of_users_and_teams(accounts: Accounts, name: str) -> None:
    assert accounts.create_user(name).name == name
    assert accounts.entity(name) is not None


@pytest.mark.parametrize(
    "name",
    ["", "Ann", "-a", ".a", "_a", "a/b", "a b", "n" * 65, "\u00e9", "a\n", "a\x00", "../x", "*"],
)
def test_names_that_cannot_be_say_why(accounts: Accounts, name: str) -> None:
    for make in (accounts.create_user, accounts.create_team):
        with pytest.raises(UsageError, match="lower-case letters"):
            make(name)
    assert accounts.entities() == []


@pytest.mark.parametrize(
    "name", ["local", "api", "login", "store.json", "accounts.db", "accounts.db-wal"]
)
def test_names_that_mean_something_else_are_kept(accounts: Accounts, name: str) -> None:
    with pytest.raises(UsageError, match="is kept for"):
        accounts.create_user(name)


def test_users_and_teams_share_their_names(accounts: Accounts) -> None:
    accounts.create_user("ann")
    accounts.create_team("vision")
    for make in (accounts.create_user, accounts.create_team):
        for name in ("ann", "vision"):
            with pytest.raises(Problem) as caught:
                make(name)
            assert code_of(caught) == (409, "exists")
    assert [user.name for user in accounts.users()] == ["ann"]


# -- users and keys ----------------------------------------------------------------------------


def test_the_first_administrator_is_made_once(accounts: Accounts) -> None:
    made = accounts.first_admin()
    assert made is not None
    name, key = made
    assert name == "admin"
    assert accounts.first_admin() is None
    caller = Access(accounts, clock=lambda: NOW).identify(f"Bearer {key}")
    assert caller.is_admin
    assert caller.user == "admin"


def test_the_first_administrator_takes_nobodys_name(accounts: Accounts) -> None:
    accounts.create_user("admin")
    made = accounts.first_admin()
    assert made is not None
    assert made[0] == "admin2"
    assert not accounts.user("admin").admin


def test_a_key_is_found_by_its_text_alone(accounts: Accounts) -> None:
    accounts.create_user("ann")
    text, record = accounts.create_key("ann", ("write", "read"), label="laptop")
    held = accounts.find_key(text)
    assert held is not None
    assert held.key == record == accounts.key(record.id) == accounts.keys("ann")[0]
    assert (record.user, record.scopes, record.label) == ("ann", ("read", "write"), "laptop")
    assert text.startswith(record.prefix)
    assert accounts.find_key(text[:-1]) is None
    assert accounts.keys("nobody") == []
    plan = accounts._rows("EXPLAIN QUERY PLAN SELECT 1 FROM keys WHERE hash = ?", b"")
    assert "(hash=?)" in plan[0][-1]


@pytest.mark.parametrize(("moved", "reason"), [(59.0, None), (60.0, "expired"), (1e9, "expired")])
def test_a_key_counts_until_it_expires(
    accounts: Accounts, clock: Clock, moved: float, reason: str | None
) -> None:
    accounts.create_user("ann")
    text, _ = accounts.create_key("ann", ("read",), expires=NOW + 60)
    clock.now = NOW + moved
    access = Access(accounts, clock=clock)
    if reason is None:
        assert access.identify(f"Bearer {text}").user == "ann"
        return
    with pytest.raises(Problem) as caught:
        access.identify(f"Bearer {text}")
    assert code_of(caught) == (401, "bad_key")
    assert caught.value.facts["reason"] == reason


@pytest.mark.parametrize("expires", [NOW, NOW - 1, float("nan"), float("inf"), 1e12])
def test_a_key_cannot_expire_in_the_past_or_never(accounts: Accounts, expires: float) -> None:
    accounts.create_user("ann")
    with pytest.raises(UsageError, match="cannot expire"):
        accounts.create_key("ann", ("read",), expires=expires)
    assert accounts.keys() == []


@pytest.mark.parametrize("end", ["revoke", "disable", "delete"])
def test_a_key_that_was_ended_elsewhere_counts_no_more_at_once(
    tmp_path: Path, accounts: Accounts, end: str
) -> None:
    accounts.create_user("ann")
    text, record = accounts.create_key("ann", ("read",))
    access = Access(accounts, clock=lambda: NOW)
    assert access.identify(f"Bearer {text}").user == "ann"
    other = Accounts(tmp_path)
    if end == "revoke":
        other.revoke_key(record.id)
    elif end == "disable":
        other.change_user("ann", disabled=True)
    else:
        other.delete_user("ann")
    other.close()
    with pytest.raises(Problem) as caught:
        access.identify(f"Bearer {text}")
    assert code_of(caught) == (401, "bad_key")
    if end == "disable":
        accounts.change_user("ann", disabled=False)
        assert access.identify(f"Bearer {text}").user == "ann"


def test_the_use_of_a_key_is_written_down_once_a_minute(accounts: Accounts, clock: Clock) -> None:
    accounts.create_user("ann")
    text, record = accounts.create_key("ann", ("read",))
    access = Access(accounts, clock=clock)
    for moved, told in ((0.0, 0.0), (59.0, 0.0), (60.0, 60.0), (90.0, 60.0), (200.0, 200.0)):
        clock.now = NOW + moved
        access.identify(f"Bearer {text}")
        assert accounts.key(record.id).last_used == NOW + told


def test_a_key_counts_while_somebody_else_writes(accounts: Accounts) -> None:
    accounts.create_user("ann")
    text, record = accounts.create_key("ann", ("read",))
    with ThreadPoolExecutor(1) as pool, accounts._database.writing():
        asked = pool.submit(Access(accounts, clock=lambda: NOW).identify, f"Bearer {text}")
        assert asked.result(timeout=60).user == "ann"
    assert accounts.key(record.id).last_used is None


def test_the_name_of_a_deleted_user_stays_taken_while_its_runs_are_there(
    accounts: Accounts,
) -> None:
    for name in ("ann", "bob"):
        accounts.create_user(name)
    accounts.create_team("vision", admin="ann")
    accounts.ensure_project("ann", "digits")
    for name in ("ann", "bob"):
        accounts.delete_user(name)
    assert accounts.users() == []
    assert accounts.members("vision") == []
    with pytest.raises(Problem) as caught:
        accounts.create_user("ann")
    assert code_of(caught) == (409, "exists")
    assert accounts.create_user("bob").name == "bob"


def test_somebody_can_always_administer_the_server(accounts: Accounts) -> None:
    accounts.create_user("ann", admin=True)
    accounts.create_user("bob")
    for take in (
        lambda: accounts.change_user("ann", admin=False),
        lambda: accounts.change_user("ann", disabled=True),
        lambda: accounts.delete_user("ann"),
    ):
        with pytest.raises(Problem) as caught:
            take()
        assert caught.value.status == 409
    assert accounts.user("ann") == accounts.users()[0]
    assert accounts.user("ann").admin
    accounts.change_user("bob", admin=True)
    accounts.delete_user("ann")
    assert [user.name for user in accounts.users()] == ["bob"]


@pytest.mark.parametrize("what", ["user", "key", "change", "delete", "revoke", "create_key"])
def test_what_is_not_there_is_told(accounts: Accounts, what: str) -> None:
    asked: dict[str, Callable[[], object]] = {
        "user": lambda: accounts.user("ann"),
        "key": lambda: accounts.key("0"),
        "change": lambda: accounts.change_user("ann", disabled=True),
        "delete": lambda: accounts.delete_user("ann"),
        "revoke": lambda: accounts.revoke_key("0"),
        "create_key": lambda: accounts.create_key("ann", ("read",)),
    }
    with pytest.raises(Problem) as caught:
        asked[what]()
    assert code_of(caught) == (404, "not_found")


# -- members and projects ----------------------------------------------------------------------


def test_members_and_their_roles(accounts: Accounts) -> None:
    for name in ("ann", "bob"):
        accounts.create_user(name)
    accounts.create_team("vision", admin="ann")
    accounts.set_member("vision", "bob", "viewer")
    accounts.set_member("vision", "bob", "member")
    accounts.set_member("vision", "bob", "viewer", "secret")
    told = [(member.user, member.role, member.project) for member in accounts.members("vision")]
    assert told == [("ann", "admin", None), ("bob", "member", None), ("bob", "viewer", "secret")]
    assert [entity.name for entity in accounts.entities("bob")] == ["bob", "vision"]
    accounts.remove_member("vision", "bob")
    assert [entity.name for entity in accounts.entities("bob")] == ["bob"]
    assert accounts.standing("bob", "vision", "secret").project_role == "viewer"
    with pytest.raises(Problem):
        accounts.remove_member("vision", "bob")


def test_members_that_cannot_be(accounts: Accounts) -> None:
    accounts.create_user("ann")
    accounts.create_team("vision")
    with pytest.raises(UsageError, match="roles: admin, member, viewer"):
        accounts.set_member("vision", "ann", "owner")
    for entity, user, code in (
        ("nowhere", "ann", "entity_unknown"),
        ("vision", "nobody", "not_found"),
        ("ann", "ann", "exists"),
    ):
        with pytest.raises(Problem) as caught:
            accounts.set_member(entity, user, "member")
        assert caught.value.code == code
    assert accounts.members("vision") == accounts.members("ann") == []


def test_a_project_is_private_below_a_user_and_the_teams_below_a_team(accounts: Accounts) -> None:
    accounts.create_user("ann")
    accounts.create_team("vision")
    assert accounts.ensure_project("ann", "p").visibility == "private"
    assert accounts.ensure_project("vision", "p").visibility == "team"
    assert accounts.set_visibility("vision", "p", "open").visibility == "open"
    assert accounts.ensure_project("vision", "p").visibility == "open"
    assert accounts.set_visibility("vision", "later", "private").visibility == "private"
    with pytest.raises(UsageError, match="there is no visibility"):
        accounts.set_visibility("vision", "p", "secret")
    with pytest.raises(UsageError):
        accounts.ensure_project("vision", "x" * 129)
    with pytest.raises(Problem) as caught:
        accounts.ensure_project("nowhere", "p")
    assert code_of(caught) == (404, "entity_unknown")
    assert len(accounts.projects()) == 3


def test_a_team_with_projects_stays(accounts: Accounts) -> None:
    accounts.create_user("ann")
    for name in ("vision", "audio"):
        accounts.create_team(name, admin="ann")
    accounts.ensure_project("vision", "p")
    with pytest.raises(Problem) as caught:
        accounts.delete_team("vision")
    assert caught.value.status == 409
    accounts.delete_team("audio")
    assert [entity.name for entity in accounts.entities("ann")] == ["ann", "vision"]
    with pytest.raises(Problem) as caught:
        accounts.delete_team("ann")
    assert caught.value.code == "entity_unknown"

"""`store login`, `logout` and `whoami`, against a server that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.sync.credentials import credentials_file, key_for, known_servers, save_key
from tests.cli.program import call, environment, make_run, program
from tests.servers import RunningServer, accounts_of, make_key, running_server
from tests.sync.loopback import answering, header, http, serving

KEY = "st-" + "0123456789" * 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def key(server: RunningServer) -> str:
    return make_key(server, "ann")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def whoami(*arguments: object) -> Any:
    result = call("whoami", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# -- login -------------------------------------------------------------------------------------


def test_a_key_is_read_from_stdin_tried_and_kept(server: RunningServer, key: str) -> None:
    result = call("login", f"{server.url}/", input=f"{key}\nmore\n")
    assert result.exit_code == 0, result.output
    assert f"signed in at {server.url} as ann (entities ann);" in result.stderr
    assert str(credentials_file()) in result.stderr
    assert result.stdout == ""
    assert key not in result.output
    kept = key_for(server.url)
    assert kept is not None
    assert kept.key == key


def test_the_teams_of_a_user_are_told(server: RunningServer, key: str) -> None:
    with accounts_of(server) as accounts:
        accounts.create_team("vision")
        accounts.set_member("vision", "ann", "viewer")
    result = call("login", server.url, input=key)
    assert "as ann (entities ann, vision: viewer);" in result.stderr
    with accounts_of(server) as accounts:
        accounts.delete_team("vision")


def test_a_key_that_the_server_does_not_know_is_not_kept(server: RunningServer) -> None:
    save_key(server.url, KEY)
    other = KEY.replace("0", "f")
    result = call("login", server.url, input=f"{other}\n")
    assert result.exit_code == 5
    assert "Traceback" not in result.output
    assert other not in result.output
    kept = key_for(server.url)
    assert kept is not None
    assert kept.key == KEY


@pytest.mark.parametrize("text", ["", "\n", "hunter2-is-no-key\n", "st-123\n"])
def test_what_is_no_key_is_not_even_sent(server: RunningServer, text: str) -> None:
    result = call("login", server.url, input=text)
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert known_servers() == []


def test_a_key_cannot_be_an_argument(server: RunningServer, key: str) -> None:
    for arguments in ((server.url, key), (server.url, "--key", key), (server.url, f"--key={key}")):
        assert call("login", *arguments).exit_code == 2
    assert known_servers() == []


def test_a_key_is_not_shown_to_what_is_no_runstore_server() -> None:
    page = http(200, b"<html>Hello</html>", Content_Type="text/html")
    with serving(answering(page)) as other:
        result = call("login", other.url, input=f"{KEY}\n")
        assert result.exit_code == 1
        assert "not as a Runstore server does" in result.stderr
        assert [header(head, "Authorization") for head in other.heads] == [None]
    assert known_servers() == []


def test_plain_http_to_another_machine_is_refused_unless_it_is_allowed() -> None:
    url = "http://no-such-host.invalid"
    refused = call("login", url, input=f"{KEY}\n")
    assert refused.exit_code == 5
    assert "--insecure" in refused.stderr
    assert "resolved" in call("login", url, "--insecure", input=f"{KEY}\n").stderr
    assert known_servers() == []


def test_a_server_that_is_down(tmp_path: Path) -> None:
    with serving(answering(b"")) as gone:
        url = gone.url
    result = call("login", url, input=f"{KEY}\n")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {url}: connection refused\n"


def test_on_a_terminal_the_key_is_not_echoed(server: RunningServer, key: str) -> None:
    spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    with subprocess.Popen(
        [sys.executable, "-c", spawn, *program("login", server.url)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(TERM="dumb"),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown = b""
        while not shown.endswith(b": "):
            piece = os.read(process.stdout.fileno(), 1000)
            assert piece, shown
            shown += piece
        process.stdin.write(key.encode() + b"\n")
        process.stdin.flush()
        shown += process.stdout.read()
        process.stdin.close()
        assert process.wait(timeout=60) == 0, shown
    assert f"Key for {server.url}: ".encode() in shown
    assert b"signed in" in shown
    assert key.encode() not in shown
    assert known_servers() == [server.url]


# -- which server, which key -------------------------------------------------------------------


def test_the_server_of_the_settings_is_meant(
    server: RunningServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_URL", server.url)
    assert call("login", input=key).exit_code == 0
    assert whoami()["server"] == server.url


def test_the_default_remote_of_the_store_is_meant(
    server: RunningServer, key: str, tmp_path: Path
) -> None:
    make_run(tmp_path / ".store", "r1")
    save_key("https://other.example.org", KEY)
    assert call("remote", "add", "main", server.url).exit_code == 0
    assert call("login", input=key).exit_code == 0
    assert whoami()["server"] == server.url


def test_the_only_server_with_a_key_is_meant_and_of_several_none(
    server: RunningServer, key: str
) -> None:
    for command in ("login", "logout", "whoami"):
        assert "not said which server" in call(command).stderr
        assert call(command).exit_code == 2
    said = call("login", server.url, input=key).stderr
    assert f"`store config url {server.url}`" in said
    assert whoami()["server"] == server.url
    save_key("https://other.example.org", KEY)
    result = call("whoami")
    assert result.exit_code == 2
    assert f"Hint: {server.url}, https://other.example.org" in result.stderr


def test_a_key_of_the_environment_goes_before_the_kept_one(
    server: RunningServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_API_KEY", server.admin_key)
    monkeypatch.setenv("STORE_URL", server.url)
    result = call("login", input=key)
    assert "environment STORE_API_KEY has another key, which goes before this one" in result.stderr
    facts = whoami("--verify")
    assert (facts["user"], facts["from"]) == ("admin", "environment STORE_API_KEY")
    result = call("logout")
    assert "note: environment STORE_API_KEY still has a key for it" in result.stderr
    assert known_servers() == []


def test_whoami_tells_where_the_key_comes_from(server: RunningServer, key: str) -> None:
    call("login", server.url, input=key)
    origin = f"credentials file {credentials_file()}"
    assert whoami() == {"server": server.url, "key": f"{key[:11]}…", "from": origin}
    shown = call("whoami").stdout
    assert shown == f"server  {server.url}\nkey     {key[:11]}…\nfrom    {origin}\n"
    credentials_file().chmod(0o644)
    assert "others can read" in call("whoami").stderr


def test_whoami_asks_the_server(server: RunningServer, key: str) -> None:
    call("login", server.url, input=key)
    facts = whoami("--verify")
    assert (facts["user"], facts["default_entity"]) == ("ann", "ann")
    assert facts["entities"] == [{"name": "ann", "role": "owner"}]
    assert facts["scopes"] == ["read", "write"]
    assert facts["expires"] is None
    lines = call("whoami", "--verify").stdout.splitlines()
    assert "entities        ann (owner)" in lines
    assert "expires         never" in lines


def test_whoami_of_a_key_that_is_good_no_more(server: RunningServer) -> None:
    save_key(server.url, make_key(server, "bob"))
    with accounts_of(server) as accounts:
        for made in accounts.keys("bob"):
            accounts.revoke_key(made.id)
    assert call("whoami").exit_code == 0
    result = call("whoami", "--verify")
    assert result.exit_code == 5
    assert f"Hint: `store login {server.url}`" in result.stderr


def test_who_is_not_signed_in(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call("whoami", server.url)
    assert result.exit_code == 5
    assert result.stderr == (
        f"Error: not signed in at {server.url}\nHint: `store login {server.url}`\n"
    )
    monkeypatch.setenv("STORE_API_KEY", server.admin_key)
    assert whoami(server.url)["from"] == "environment STORE_API_KEY"


def test_logout_forgets_one_key(server: RunningServer) -> None:
    save_key(server.url, KEY)
    save_key("https://other.example.org", KEY)
    result = call("logout", server.url)
    assert (result.exit_code, result.stderr) == (0, f"forgot the key for {server.url}\n")
    assert known_servers() == ["https://other.example.org"]
    again = call("logout", server.url)
    assert (again.exit_code, again.stderr) == (0, f"there was no key for {server.url}\n")

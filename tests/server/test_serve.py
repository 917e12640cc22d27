"""`store serve` as a process, and `store admin` beside it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from store.errors import UsageError
from store.server.context import ServerOptions
from store.server.folder import check_disk
from store.server.keys import is_key
from tests.cli.program import call, run_program
from tests.servers import RunningServer, make_key, running_server, start_server

ME: Final = "/api/v1/me"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(data: Path) -> Iterator[RunningServer]:
    with running_server(data) as running:
        yield running


def ask(
    server: RunningServer | str,
    path: str,
    key: str | None = None,
    *,
    method: str = "GET",
    body: Any = None,
    context: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, Any]:
    """(status, JSON) of one request on a connection of its own."""
    address = urlsplit(server if isinstance(server, str) else server.url)
    assert address.hostname is not None
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        connection = http.client.HTTPSConnection(
            address.hostname, address.port, timeout=60, context=context
        )
    else:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        lines["Authorization"] = f"Bearer {key}"
    try:
        connection.request(method, path, body=body, headers=lines)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def admin(data: Path, *words: object) -> Any:
    return call("admin", *words, "--data", data)


# -- start and end -----------------------------------------------------------------------------


def test_the_first_start_makes_an_administrator_and_tells_its_key_once(data: Path) -> None:
    first = start_server(data)
    assert first.stop() == 0
    (key,) = [line.strip() for line in first.told if is_key(line.strip())]
    assert first.url in "".join(first.told)
    second = start_server(data)
    told = ask(second, ME, key)
    assert (told[0], told[1]["user"], told[1]["admin"]) == (200, "admin", True)
    assert second.stop() == 0
    assert second.told == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_ends_the_server_cleanly(
    data: Path, number: signal.Signals, processes: int
) -> None:
    server = start_server(data, "--processes", processes)
    assert ask(server, "/api/v1")[0] == 200
    assert server._end(number) == 0
    assert "Traceback" not in "".join(server.told)
    assert not (data / "accounts.db-wal").exists()


def test_a_connection_that_is_kept_open_does_not_keep_the_server(server: RunningServer) -> None:
    address = urlsplit(server.url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    connection.request("GET", "/api/v1")
    connection.getresponse().read()
    assert server.stop() == 0
    connection.close()


def test_a_server_that_was_killed_starts_again(data: Path) -> None:
    first = start_server(data)
    key = make_key(first, "ann")
    assert first.kill() == -signal.SIGKILL
    with running_server(data) as second:
        assert ask(second, ME, key)[1]["user"] == "ann"


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_the_folder_is_the_servers_own(server: RunningServer) -> None:
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.data / "accounts.db").stat().st_mode) == 0o600


def refused(*options: object, code: int = 2) -> str:
    """What `store serve` says when it does not start."""
    done = run_program("serve", *options, cwd=Path.cwd(), check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_keys_do_not_travel_unencrypted_unless_told(data: Path) -> None:
    for host in ("0.0.0.0", "::", ""):
        assert "--insecure" in refused("--data", data, "--host", host, "--port", 0)
    assert not data.exists()
    with running_server(data, "--host", "0.0.0.0", "--insecure") as server:
        port = urlsplit(server.url).port
        assert ask(f"http://127.0.0.1:{port}", ME, server.admin_key)[0] == 200


def test_where_a_server_cannot_be_is_told(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert "thesis.tex" in refused("--data", tmp_path / "mine", "--port", 0)
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]
    (tmp_path / "file").write_text("")
    assert "is not a folder" in refused("--data", tmp_path / "file" / "x", "--port", 0)
    with running_server(data) as server:
        port = urlsplit(server.url).port
        assert "--port 0" in refused("--data", tmp_path / "other", "--port", port)
    assert "no address" in refused("--data", data, "--host", "no-such-host.invalid")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a disk is")
def test_a_folder_on_no_local_disk_is_refused() -> None:
    with pytest.raises(UsageError, match="disk of the type proc"):
        check_disk(Path("/proc"))


def test_without_the_extra_it_is_told_how_to_get_it(data: Path) -> None:
    code = (
        "import sys\nsys.modules['uvicorn'] = None\nfrom store.api.cli import main\n"
        f"sys.argv = ['store', 'serve', '--data', {str(data)!r}]\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "pip install 'runstore[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_accounts_need_no_server_package() -> None:
    code = (
        "import sys\nsys.modules['uvicorn'] = sys.modules['starlette'] = None\n"
        "import store.server.access, store.server.folder, store.api.cli_admin, store.api.cli_serve"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


# -- several processes -------------------------------------------------------------------------


def test_what_one_server_is_told_counts_at_the_other(data: Path) -> None:
    with running_server(data) as one, running_server(data, "--processes", 2) as two:
        made = ask(
            *(one, "/api/v1/users", one.admin_key), method="POST", body=json.dumps({"name": "ann"})
        )
        assert made[0] == 201
        key = make_key(data, "ann")
        for _ in range(8):
            assert ask(two, ME, key)[1]["user"] == "ann"
        off = json.dumps({"disabled": True})
        ask(two, "/api/v1/users/ann", two.admin_key, method="PATCH", body=off)
        for _ in range(8):
            assert ask(two, ME, key)[0] == ask(one, ME, key)[0] == 401


def test_one_first_administrator_for_two_first_servers(data: Path) -> None:
    command = [sys.executable, "-m", "store", "serve", "--data", str(data), "--port", "0"]
    told: list[str] = []
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
            for _ in range(3)
        ]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"serving {data} at http://127.0.0.1:")
            process.send_signal(signal.SIGTERM)
            told += process.communicate(timeout=60)[1].splitlines()
            assert process.returncode == 0
    assert len([line for line in told if is_key(line)]) == 1


# -- sizes and names ---------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_and_not_kept_in_memory(server: RunningServer) -> None:
    limit = ServerOptions(server.data).max_json
    key = server.admin_key
    for body in (b"x" * (limit + 1), (b"x" * 65536 for _ in range(limit // 65536 + 1))):
        status, told = ask(server, "/api/v1/users", key, method="POST", body=body)
        assert (status, told["error"]["code"], told["error"]["limit"]) == (413, "too_large", limit)
    status, told = ask(server, "/api/v1/users", key, method="POST", body=b" " * limit)
    assert (status, told["error"]["code"]) == (400, "bad_request")


def test_a_body_that_says_itself_that_it_is_too_large_need_not_come(server: RunningServer) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=60) as sent:
        line = f"Authorization: Bearer {server.admin_key}\r\nContent-Length: {10**12}"
        sent.sendall(f"POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n".encode())
        assert sent.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_only_its_own_names_reach_the_server(data: Path) -> None:
    with running_server(data, "--allow-host", "runs.example") as server:
        assert ask(server, "/api/v1", Host="runs.example")[0] == 200
        status, told = ask(server, "/api/v1", Host="evil.example")
        assert (status, "--allow-host" in told["error"]["hint"]) == (400, True)


def test_a_forwarded_address_is_not_believed(server: RunningServer) -> None:
    wrong = "st-" + "0" * 40
    codes = {ask(server, ME, wrong, X_Forwarded_For=f"10.0.0.{number}")[0] for number in range(100)}
    assert codes == {401, 429}


# -- TLS ---------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_tls(data: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
        " -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        ["openssl", *request.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    context = ssl.create_default_context(cafile=str(certificate))
    options = ("--tls-cert", certificate, "--tls-key", key)
    with running_server(data, "--host", "0.0.0.0", *options) as server:
        assert server.url.startswith("https://")
        url = f"https://127.0.0.1:{urlsplit(server.url).port}"
        assert ask(url, ME, server.admin_key, context=context)[1]["user"] == "admin"
    assert "belong together" in refused("--data", data, "--tls-cert", certificate)
    swapped = ("--tls-cert", key, "--tls-key", certificate)
    assert "cannot be used" in refused("--data", data, *swapped)


# -- administration beside it ------------------------------------------------------------------


def test_a_key_that_is_made_beside_the_server_counts_at_once(server: RunningServer) -> None:
    words = ("key", "create", "--user", "ann", "--scope", "read", "--scope", "write")
    made = json.loads(admin(server.data, *words, "--expires", "30d", "--json").stdout)
    assert made["user"] == "ann"
    assert made["scopes"] == ["read", "write"]
    assert made["expires"].endswith("Z")
    assert ask(server, ME, made["key"])[1]["key"]["id"] == made["id"]
    assert admin(server.data, "key", "revoke", made["prefix"]).exit_code == 0
    assert ask(server, ME, made["key"])[1]["error"]["reason"] == "revoked"


def test_keys_are_made_and_listed_while_no_server_runs(data: Path) -> None:
    start_server(data).stop()
    assert admin(data, "user", "create", "ann").exit_code == 0
    done = admin(data, "key", "create", "--user", "ann", "--write-only", "--label", "cluster")
    assert is_key(done.stdout.strip())
    (listed,) = json.loads(admin(data, "key", "list", "--user", "ann", "--json").stdout)
    assert (listed["scopes"], listed["label"]) == (["write"], "cluster")
    assert listed["prefix"] == done.stdout.strip()[:11]
    assert done.stdout.strip() not in admin(data, "key", "list").stdout
    both = admin(data, "key", "create", "--user", "ann", "--write-only", "--scope", "read")
    assert both.exit_code == 2
    for wrong in ("soon", "30", "0d", "2001-01-01"):
        assert admin(data, "key", "create", "--user", "ann", "--expires", wrong).exit_code == 2


def test_a_user_is_disabled_and_enabled_beside_the_server(server: RunningServer) -> None:
    key = make_key(server, "ann")
    assert ask(server, ME, key)[0] == 200
    assert admin(server.data, "user", "disable", "ann").exit_code == 0
    assert ask(server, ME, key)[1]["error"]["reason"] == "disabled"
    assert admin(server.data, "user", "enable", "ann").exit_code == 0
    assert ask(server, ME, key)[0] == 200
    assert admin(server.data, "user", "disable", "admin").exit_code == 1
    listed = json.loads(admin(server.data, "user", "list", "--json").stdout)
    assert [(user["name"], user["admin"]) for user in listed] == [("admin", True), ("ann", False)]


def test_teams_members_and_projects_are_managed_beside_the_server(server: RunningServer) -> None:
    data = server.data
    key = make_key(data, "ann")
    assert admin(data, "team", "create", "vision", "--admin", "admin").exit_code == 0
    assert admin(data, "member", "add", "vision", "ann", "--role", "viewer").exit_code == 0
    roles = {entity["name"]: entity["role"] for entity in ask(server, ME, key)[1]["entities"]}
    assert roles == {"ann": "owner", "vision": "viewer"}
    assert admin(data, "member", "add", "vision/secret", "ann").exit_code == 0
    members = json.loads(admin(data, "member", "list", "vision", "--json").stdout)
    assert [(item["user"], item["role"], item["project"]) for item in members] == [
        ("admin", "admin", None),
        ("ann", "viewer", None),
        ("ann", "member", "secret"),
    ]
    assert admin(data, "member", "remove", "vision", "ann").exit_code == 0
    assert admin(data, "member", "remove", "vision", "ann").exit_code == 1
    assert admin(data, "project", "visibility", "vision/digits", "public").exit_code == 0
    (project,) = json.loads(admin(data, "project", "list", "--json").stdout)
    assert (project["entity"], project["name"], project["visibility"]) == (
        "vision",
        "digits",
        "public",
    )
    (team,) = json.loads(admin(data, "team", "list", "--json").stdout)
    assert (team["name"], team["members"]) == ("vision", 2)
    assert admin(data, "project", "visibility", "vision", "public").exit_code == 2


def test_administration_of_no_server_is_told(tmp_path: Path) -> None:
    done = admin(tmp_path / "nowhere", "user", "list")
    assert done.exit_code == 2
    assert "store serve --data" in done.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("words", [(), ("user",), ("key", "create"), ("project", "visibility")])
def test_every_group_and_command_helps(words: tuple[str, ...]) -> None:
    done = call("admin", *words, "--help")
    assert done.exit_code == 0
    assert ("--data DIR" in done.stdout) == (len(words) == 2)

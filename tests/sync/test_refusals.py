"""Answers that say no, or that somebody else gives: each is one error that says what it was."""

from __future__ import annotations

import pickle
import threading
from email.utils import formatdate

import pytest

from store.errors import (
    EntityUnknown,
    NotAllowed,
    NotSignedIn,
    RemoteRefused,
    RemoteUnavailable,
    StoreError,
)
from store.sync.failures import MAX_WAIT
from store.sync.http import Connection
from tests.sync.loopback import (
    CHUNKED,
    KEY,
    OK,
    Caller,
    answering,
    ask,
    error,
    fails,
    http,
    serving,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RemoteRefused),
        (401, NotSignedIn),
        (403, NotAllowed),
        (404, RemoteRefused),
        (405, RemoteRefused),
        (408, RemoteUnavailable),
        (409, RemoteRefused),
        (410, RemoteRefused),
        (413, RemoteRefused),
        (415, RemoteRefused),
        (422, RemoteRefused),
        (425, RemoteUnavailable),
        (429, RemoteUnavailable),
        (500, RemoteUnavailable),
        (502, RemoteUnavailable),
        (503, RemoteUnavailable),
        (599, RemoteUnavailable),
    ],
)
@pytest.mark.parametrize("is_ours", [True, False])
def test_each_status_becomes_its_error(status: int, kind: type[StoreError], is_ours: bool) -> None:
    page = http(status, b"<html>no</html>", Content_Type="text/html")
    found = fails(error(status, "some_code", "words of the server") if is_ours else page)
    assert type(found) is kind
    assert ("words of the server" if is_ours else str(status)) in found.message
    assert ("not as a Runstore server does" in found.message) is not is_ours
    if isinstance(found, RemoteRefused):
        assert (found.status, found.code) == (status, "some_code" if is_ours else "not_runstore")


def test_a_refusal_keeps_the_facts() -> None:
    gap = error(409, "gap", "row 7 must come next", source="ab", expected=7)
    found = fails(gap)
    assert isinstance(found, RemoteRefused)
    assert found.facts == {"source": "ab", "expected": 7}
    again = pickle.loads(pickle.dumps(found))
    assert (again.status, again.code, again.facts, again.hint) == (409, "gap", found.facts, None)


def test_who_is_not_signed_in_is_told_how() -> None:
    with serving(answering(error(401, "bad_key", "this key was revoked"))) as server:
        found = ask(server.url, KEY)
        assert found.message == "this key was revoked"
        assert found.hint == f"`store login {server.url}`"


def test_not_allowed_has_the_servers_words() -> None:
    found = fails(error(403, "not_allowed", "ann may not write to vision", hint="ask bob"))
    assert (found.message, found.hint) == ("ann may not write to vision", "ask bob")


def test_an_unknown_entity_is_named() -> None:
    found = fails(error(404, "entity_unknown", entity="visoin", hint="did you mean vision?"))
    assert isinstance(found, EntityUnknown)
    assert (found.entity, found.hint) == ("visoin", "did you mean vision?")


@pytest.mark.parametrize(
    "said",
    [
        b"[" * 10**5,
        b'{"error": 1}',
        b'{"error": {"code": 5}}',
        b'{"error": {"code": "a", "message": {"b": 1}, "hint": 7}}',
        b"\xff\xfe",
        b"null",
    ],
)
def test_an_error_of_a_strange_form_is_still_an_error(said: bytes) -> None:
    found = fails(http(409, said))
    assert isinstance(found, RemoteRefused)
    assert "409 Conflict" in found.message


def test_words_of_a_server_are_one_line_of_bounded_length() -> None:
    found = fails(error(409, "gap", "a\nb\r\n" * 10**5, hint="c\n" * 10**5))
    assert "\n" not in str(found)
    assert len(str(found)) < 1100


def test_a_refusal_that_is_cut_short_is_known_by_its_status() -> None:
    def talk(caller: Caller) -> None:
        caller.receive()
        caller.send(error(410, "gone")[:-20])

    with serving(talk) as server:
        found = ask(server.url)
    assert isinstance(found, RemoteRefused)
    assert found.status == 410


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("-4", 0.0),
        ("1e99", MAX_WAIT),
        ("inf", MAX_WAIT),
        ("nan", None),
        ("soon", None),
        ("", None),
        (formatdate(1_000_000_090, usegmt=True), 90.0),
        (formatdate(1, usegmt=True), 0.0),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_seconds_or_a_moment_by_the_servers_clock(
    status: int, text: str, seconds: float | None
) -> None:
    now = formatdate(1_000_000_000, usegmt=True)
    found = fails(http(status, b"", Retry_After=text, Date=now))
    assert isinstance(found, RemoteUnavailable)
    assert found.retry_after == seconds


def test_a_refusal_before_the_body_was_taken_is_heard() -> None:
    def talk(caller: Caller) -> None:
        caller.receive_head()
        caller.send(error(413, "too_large"))
        while caller.socket.recv(65536):
            pass

    with serving(talk) as server, Connection(server.url) as it, pytest.raises(RemoteRefused) as no:
        it.request("PUT", "/x", body=bytes(8 * 2**20))
    assert no.value.status == 413


# -- somebody else answers ---------------------------------------------------------------------


def test_a_sign_in_page_of_a_network_is_not_taken_for_the_server() -> None:
    page = http(200, b"<html>Welcome to the hotel</html>", Content_Type="text/html; charset=x")
    found = fails(page)
    assert isinstance(found, RemoteUnavailable)
    assert "answers with a web page, not as a Runstore server does" in found.message


@pytest.mark.parametrize("body", [b"hello", b"", b"{", b"\xff", b"[" * 10**5])
def test_what_is_no_json_is_told(body: bytes) -> None:
    with serving(answering(http(200, body))) as server, Connection(server.url) as connection:
        answer = connection.request("GET", "/x")
        assert answer.body == body
        with pytest.raises(RemoteUnavailable, match="something that is no JSON"):
            answer.json()


def test_an_encoding_that_was_not_asked_for_is_not_decoded() -> None:
    found = fails(http(200, b"\x1f\x8b", Content_Encoding="gzip"))
    assert isinstance(found, RemoteUnavailable)
    assert "encoding" in found.message


def test_redirects_are_not_followed() -> None:
    with (
        serving(answering(OK)) as other,
        serving(answering(http(302, Location=f"{other.url}/login?key=1"))) as server,
    ):
        found = ask(server.url, KEY)
        assert isinstance(found, RemoteUnavailable)
        assert found.message == f"{server.url} sends elsewhere, to {other.url}"
        assert other.heads == []


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (301, "http://new.example.org/x"),
        (308, "https://new.example.org"),
        (302, "https://127.0.0.1"),
    ],
)
def test_a_server_that_has_moved_is_told(status: int, location: str) -> None:
    found = fails(http(status, Location=location))
    assert isinstance(found, RemoteRefused)
    assert (found.status, found.code) == (status, "moved")
    assert location.removesuffix("/x") in found.message


@pytest.mark.parametrize("location", ["", "https://u:secret@x.org/", "ftp://x", "http://[::", "/"])
def test_redirects_to_nowhere(location: str) -> None:
    found = fails(http(302, Location=location))
    assert isinstance(found, RemoteUnavailable)
    assert "sends elsewhere" in found.message
    assert "secret" not in str(found)


def test_answers_are_bounded() -> None:
    endless = threading.Event()

    def talk(caller: Caller) -> None:
        caller.receive()
        caller.send(CHUNKED)
        while not endless.is_set():
            caller.send(b"10000\r\n" + bytes(65536) + b"\r\n")

    with serving(talk) as server, Connection(server.url) as it:
        with pytest.raises(RemoteRefused, match="more than 1,000,000 bytes") as caught:
            it.request("GET", "/x", limit=10**6)
        endless.set()
    assert caught.value.code == "answer_too_large"
    with serving(answering(http(200, b"12345"))) as server, Connection(server.url) as it:
        with pytest.raises(RemoteRefused):
            it.request("GET", "/x", limit=4)
        assert it.request("GET", "/x", limit=5).body == b"12345"

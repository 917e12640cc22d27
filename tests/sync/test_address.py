"""Addresses of servers: one form, and nothing in them that must not be there."""

from __future__ import annotations

import pytest

from store.errors import UsageError
from store.sync.address import normal_url, parse_address, path_of


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://runs.example.org", "https://runs.example.org"),
        (" HTTPS://Runs.Example.ORG:443// ", "https://runs.example.org"),
        ("http://h:80/", "http://h"),
        ("http://h:443", "http://h:443"),
        ("https://h.:8443/Base//x/", "https://h:8443/Base/x"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[0:0::1]/a b".replace(" ", "%20"), "http://[::1]/a%20b"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("http://my_host:5", "http://my_host:5"),
        ("https://h/@x", "https://h/@x"),
    ],
)
def test_equal_servers_are_equal_texts(text: str, normal: str) -> None:
    assert normal_url(text) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        *("", "runs.example.org", "ftp://x", "https://", "https:///x", "http://:80", "file:///x"),
        *("https://h:0", "https://h:99999", "https://h:x", "https://[::", "https://a b"),
        *(
            "https://h/?a=1",
            "https://h/#a",
            "https://h\\@evil.org",
            "https://h\n/x",
            "https://h/../x",
        ),
        *("https://exa$mple.org", "https://" + "ü" * 70 + ".org", "https://[::1%eth0]x"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        normal_url(text)


def test_an_address_without_a_scheme_is_told_how_it_is_written() -> None:
    with pytest.raises(UsageError) as caught:
        normal_url("runs.example.org:8080/x")
    assert caught.value.hint == "write https://runs.example.org:8080/x"


@pytest.mark.parametrize("text", ["https://ann:secret@h", "https://secret@h/x", "secret@h"])
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        normal_url(text)
    assert "secret" not in str(caught.value)


def test_the_origin_has_no_path() -> None:
    assert parse_address("https://h:443/x").origin == "https://h"
    assert parse_address("http://[::1]:5/x").origin == "http://[::1]:5"


def test_parts_of_a_path_stay_parts() -> None:
    assert path_of("api", "a/b c", "é?#%", "..", ".") == "/api/a%2Fb%20c/%C3%A9%3F%23%25/%2E%2E/%2E"

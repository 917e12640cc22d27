"""A server's pages: who is let in, what strangers see, and keys made in the browser."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
import urllib3
from playwright.sync_api import BrowserContext, expect

from tests.pages.conftest import Screen
from tests.pages.places import Served
from tests.servers import accounts_of, make_key

PRIVATE = "/ann/private"
SECRETS = ("secret-branch", "secret.py", "secret-host", "0123456789abcdef")


def sign_in(screen: Screen, server: Served, key: str, path: str = "/login") -> None:
    """Fill in the form of the page that is shown, or of the one at `path`."""
    if screen.page.url == "about:blank":
        screen.open(server.url + path)
    screen.page.get_by_label("API key").fill(key)
    screen.page.get_by_role("button", name="Sign in").click()


def cookies(context: BrowserContext) -> dict[str, str]:
    return {one.get("name", ""): one.get("value", "") for one in context.cookies()}


def test_nobody_is_asked_to_sign_in_and_comes_to_where_they_wanted(
    server: Served, screen: Screen
) -> None:
    page = screen.page
    answer = screen.open(f"{server.url}{PRIVATE}?sort=name")
    assert answer.status == 401
    screen.picture("sign in")
    sign_in(screen, server, "st-" + "0" * 40)
    expect(page.get_by_role("alert")).to_contain_text("not a key")
    sign_in(screen, server, server.keys["ann"])
    page.wait_for_url(f"{server.url}{PRIVATE}?sort=name")
    expect(page.locator("tr[data-run=r1]")).to_be_visible()
    (cookie,) = page.context.cookies()
    assert cookie.get("httpOnly")
    assert cookie.get("sameSite") == "Lax"
    assert server.keys["ann"] not in page.content()
    page.goto(f"{server.url}/account")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{server.url}/")
    assert page.context.cookies() == []
    assert screen.open(f"{server.url}{PRIVATE}").status == 401
    screen.said.clear()  # the browser reports each status


@pytest.mark.parametrize("tab", ["overview", "charts", "diff", "console"])
def test_a_private_project_is_not_there_for_strangers(
    server: Served, screen: Screen, tab: str
) -> None:
    sign_in(screen, server, server.keys["sam"])
    screen.page.wait_for_url(f"{server.url}/")
    expect(screen.page.locator("main")).not_to_contain_text("private")
    for path in (PRIVATE, f"{PRIVATE}/runs/r1?tab={tab}", f"{PRIVATE}/compare", f"{PRIVATE}/rows"):
        answer = screen.open(server.url + path)
        assert answer.status == 404, path
        assert "first try" not in answer.text()
    screen.said.clear()  # the browser reports each status


def test_a_public_run_withholds_where_it_ran(server: Served, screen: Screen) -> None:
    page = screen.page
    for path in ("", "/runs/r1", "/runs/r1?tab=overview", "/runs/r1?tab=diff"):
        answer = screen.open(f"{server.url}/ann/public{path}")
        assert answer.status == 200
        assert not [secret for secret in SECRETS if secret in answer.text()], path
    screen.open(f"{server.url}/ann/public/runs/r1?tab=overview")
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    page.goto(f"{server.url}/login")
    sign_in(screen, server, server.keys["ann"])
    page.wait_for_url(f"{server.url}/")
    text = screen.open(f"{server.url}/ann/public/runs/r1?tab=overview").text()
    assert [secret for secret in SECRETS if secret in text] == list(SECRETS)
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    screen.picture("public run of a member")


def test_a_key_is_made_shown_once_and_revoked(server: Served, screen: Screen) -> None:
    page = screen.page
    sign_in(screen, server, server.keys["ann"], "/login?next=/account")
    page.wait_for_url(f"{server.url}/account")
    page.get_by_label("Label").fill("<b>cluster</b>")
    page.get_by_label("Days").fill("30")
    page.get_by_role("checkbox", name="read").uncheck()
    page.get_by_role("button", name="Make the key").click()
    key = page.locator(".key").inner_text()
    screen.picture("account")
    headers = {"authorization": f"Bearer {key}"}
    me = urllib3.request("GET", f"{server.url}/api/v1/me", headers=headers)
    assert me.json()["key"]["scopes"] == ["write"]
    screen.open(f"{server.url}/account")
    assert key not in page.content()
    row = page.locator("tr", has_text="<b>cluster</b>")
    row.get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    assert urllib3.request("GET", f"{server.url}/api/v1/me", headers=headers).status == 401


def test_a_session_ends_with_its_key(server: Served, screen: Screen) -> None:
    key = make_key(server.server, "ann", ("read",))
    sign_in(screen, server, key)
    screen.page.wait_for_url(f"{server.url}/")
    assert screen.open(server.url + PRIVATE).status == 200
    with accounts_of(server.server) as accounts:
        found = accounts.find_key(key)
        assert found is not None
        accounts.revoke_key(found.key.id)
    assert screen.open(server.url + PRIVATE).status == 401
    screen.said.clear()  # the browser reports the status


def test_pages_from_elsewhere_change_nothing(server: Served, screen: Screen) -> None:
    sign_in(screen, server, server.keys["ann"])
    screen.page.wait_for_url(f"{server.url}/")
    ((name, value),) = cookies(screen.page.context).items()
    for path, method in (
        ("/logout", "POST"),
        ("/login", "POST"),
        ("/account/keys", "POST"),
        ("/api/v1/keys", "POST"),
        ("/api/v1/runs/ann/private/r1", "PATCH"),
        ("/api/v1/runs/ann/private/r1", "DELETE"),
    ):
        answer = urllib3.request(
            method,
            server.url + path,
            body=b"{}",
            headers={"cookie": f"{name}={value}", "origin": "http://evil.example"},
        )
        assert answer.status == 403, path
    assert screen.open(server.url + PRIVATE).status == 200


@pytest.mark.parametrize("next_", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_signing_in_leads_nowhere_else(server: Served, next_: str) -> None:
    form = urlencode({"key": server.keys["ann"], "next": next_})
    answer = urllib3.request("POST", f"{server.url}/login", body=form, redirect=False)
    assert (answer.status, answer.headers["location"]) == (303, "/")

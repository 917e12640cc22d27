"""The pages of one's own store, in a real browser."""

from __future__ import annotations

import re
from typing import Final

import pytest
import urllib3
from playwright.sync_api import Page, expect

from tests.pages.conftest import LAPTOP, PHONE, Screen
from tests.pages.places import Demo
from tests.programs import store_command

DIGITS: Final = "/local/digits"
RICH: Final = f"{DIGITS}/runs/everything"
PAGES: Final = {
    "projects": "/",
    "runs": DIGITS,
    "groups": f"{DIGITS}?by=config.model&sort=summary.val/loss",
    "nothing found": f"{DIGITS}?q=zzz",
    "bad search": f"{DIGITS}?q=loss>1",
    "charts": RICH,
    **{tab: f"{RICH}?tab={tab}" for tab in ("overview", "console", "files", "media", "diff")},
    "sql": "/sql?q=select+name,+state+from+runs+order+by+name",
    "licenses": "/licenses",
    "hostile names": "/local/hostile",
    "hostile run": "/local/hostile/runs/h0?tab=overview",
    "long name": "/local/hostile/runs/h2?tab=overview",
}
SHOWS: Final = {
    "media": ".media .card img",
    "console": ".line",
    "sql": "[data-answer] td",
    "runs": "tr[data-run]",
}
"""What a script or the store has to bring first."""


def names(page: Page) -> list[str]:
    """The runs in the table, as they stand there."""
    return page.locator("tr[data-run] th.name a").all_inner_texts()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_drawn_on_a_laptop_and_on_a_phone(
    demo: Demo, screen: Screen, name: str
) -> None:
    answer = screen.open(demo.url + PAGES[name])
    assert answer.status == 200
    page = screen.page
    expect(page.locator(SHOWS.get(name, "main > *")).last).to_be_visible()
    for place, (width, height), scheme in (("laptop", LAPTOP, "light"), ("phone", PHONE, "dark")):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        # Nothing is wider than the screen; what is, scrolls within itself.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        screen.picture(f"{name} {place}")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script:not([type='application/json'])").count() == 0


def test_a_page_that_is_not_there_says_so(demo: Demo, screen: Screen) -> None:
    answer = screen.open(f"{demo.url}/local/nothing")
    assert answer.status == 404
    expect(screen.page.get_by_role("alert")).to_contain_text("Not found")
    screen.said.clear()  # the browser reports the status


# -- the table of runs -------------------------------------------------------------------------


def test_searching_sorting_and_grouping_stay_in_the_address(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(demo.url + DIGITS)
    assert len(names(page)) == 28
    page.get_by_role("searchbox", name="Search runs").fill("config.model = cnn state=finished")
    expect(page.locator("tr[data-run]")).to_have_count(8)
    page.get_by_role("link", name="val/loss").click()
    expect(page.locator("[aria-sort]")).to_contain_text("val/loss")
    found = names(page)
    values = [float(text) for text in page.locator("tr[data-run] td:last-child").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.get_by_label("Group by").select_option("config.lr")
    expect(page.locator("[data-group]")).not_to_have_count(0)
    page.reload()
    assert sorted(names(page)) == sorted(found)
    assert page.get_by_label("Group by").input_value() == "config.lr"
    before = len(names(page))
    page.locator("[data-group]").first.click()
    assert page.locator("tr[data-run]:visible").count() < before
    page.go_back()
    expect(page.locator("[data-group]")).to_have_count(0)
    assert names(page) == found


def test_chosen_columns_are_remembered(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(demo.url + DIGITS)
    page.locator("[data-columns] summary").click()
    page.get_by_role("searchbox", name="Find a column").fill("optim")
    page.get_by_role("checkbox", name="optimizer.name").check()
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page).to_have_url(re.compile("column=config.optimizer.name"))
    screen.open(demo.url + DIGITS)
    expect(page.get_by_role("columnheader", name="optimizer.name")).to_be_visible()


def test_selected_runs_are_compared(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(demo.url + DIGITS)
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    page.get_by_role("checkbox", name="Select everything").check()
    page.get_by_role("checkbox", name="Select failed").check()
    page.reload()
    expect(page.get_by_role("checkbox", name="Select failed")).to_be_checked()
    compare.click()
    page.wait_for_url("**/compare?runs=everything,failed")


def test_the_table_follows_what_happens(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(f"{demo.url}{DIGITS}?column=state&column=steps&column=summary.loss")
    program = demo.start(
        "run = store.init(project='digits', id='fresh', name='fresh one')\n"
        "run.log({'loss': 0.25}, step=1)\nprint('here', flush=True)\nwait()\n"
        "run.log({'loss': 0.125}, step=2)\nrun.finish()\n"
    )
    row = page.locator("tr[data-run=fresh]")
    expect(row).to_contain_text("running")
    expect(row).to_contain_text("0.25")
    program.communicate("\n", timeout=60)
    expect(row).to_contain_text("finished")
    expect(row).to_contain_text("0.125")
    assert store_command(demo.folder, "rm", "fresh", "--yes", environment={}).returncode == 0
    expect(row).to_have_count(0)


# -- a run -------------------------------------------------------------------------------------


def test_notes_are_edited_in_place_and_leave_the_run_as_it_was(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(f"{demo.url}{DIGITS}/runs/failed?tab=overview")
    duration = page.locator("[data-facts-line] .number").inner_text()
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("textbox", name="Notes").fill("Too <b>fast</b>\nsecond line")
    page.get_by_label("Tags").fill("lost, best")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-text]")).to_have_text("Too <b>fast</b>\nsecond line")
    expect(page.locator(".run-head .tag")).to_have_text(["lost", "best"])
    expect(page.locator("[data-facts-line]")).to_contain_text("failed")
    assert page.locator("[data-facts-line] .number").inner_text() == duration
    done = store_command(demo.folder, "show", "failed", environment=dict(demo.environment))
    assert "Too <b>fast</b>" in done.stdout
    assert store_command(demo.folder, "check", environment={}).returncode == 0


def test_the_commit_leads_to_its_page(demo: Demo, screen: Screen) -> None:
    screen.open(f"{demo.url}{RICH}?tab=overview")
    link = screen.page.get_by_role("link", name="0123456789")
    assert link.get_attribute("href") == (
        "https://github.com/example/digits/commit/0123456789abcdef0123456789abcdef01234567"
    )


def test_a_tree_is_searched(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(f"{demo.url}{RICH}?tab=overview")
    page.get_by_role("searchbox", name="Find in Config").fill("betas")
    leaves = page.locator("[data-tree]").first.locator(".leaf:visible")
    expect(leaves).to_have_count(1)
    expect(leaves).to_contain_text("0.999")


def test_the_console_fetches_what_is_looked_at(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(f"{demo.url}{RICH}?tab=console")
    lines = page.locator(".line")
    expect(lines.last).to_contain_text("Warning: <img")
    assert lines.count() < 1000
    expect(page.locator(".line .ansi-2").last).to_have_text("epoch 2999")
    page.get_by_role("button", name="First lines").click()
    expect(lines.first).to_contain_text("epoch 0 loss=1")
    page.locator("[data-lines]").evaluate("box => { box.scrollTop = box.scrollHeight }")
    expect(page.get_by_text("epoch 500", exact=True)).to_have_count(1)
    page.get_by_role("searchbox", name="Search the console").fill("EPOCH 1234")
    expect(lines).to_have_count(1)
    expect(page.locator("mark")).to_have_text("epoch 1234")


def test_the_console_follows_a_live_run(demo: Demo, screen: Screen) -> None:
    program = demo.start(
        "run = store.init(project='talk', id='talk')\nprint('first line', flush=True)\n"
        "run.log({'a': 1})\nwait()\nprint('second line', flush=True)\nrun.log({'a': 2})\nwait()\n"
    )
    assert program.stdout is not None
    assert program.stdin is not None
    while program.stdout.readline() != "first line\n":
        pass
    page = screen.page
    screen.open(f"{demo.url}/local/talk")
    expect(page.locator("tr[data-run=talk]")).to_contain_text("running")
    screen.open(f"{demo.url}/local/talk/runs/talk?tab=console")
    expect(page.locator(".line")).to_have_count(1)
    program.stdin.write("\n")
    program.stdin.flush()
    expect(page.locator(".line").last).to_contain_text("second line")
    program.communicate("\n", timeout=60)
    expect(page.locator("[data-facts-line]")).to_contain_text("finished")


def test_files_are_shown_as_pictures_or_text_and_never_run(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(f"{demo.url}{RICH}?tab=files")
    view = page.locator("[data-dialog]")
    for name in ("page.html", "drawing.svg", "model.txt"):
        page.locator("tr", has_text=name).get_by_role("button", name="View").click()
        expect(view.locator("pre")).to_contain_text("<script>")
        view.get_by_role("button", name="Close").click()
    page.locator("tr", has_text="sample0.png").get_by_role("button", name="View").click()
    expect(view.locator("img")).to_have_js_property("naturalWidth", 64)
    path = "/api/v1/runs/local/digits/everything/files/page.html?view=inline"
    answer = urllib3.request("GET", demo.url + path)
    assert answer.headers["content-type"].startswith("text/plain")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert page.evaluate("window.hacked") is None


def test_media_are_browsed_by_step(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(f"{demo.url}{RICH}?tab=media")
    card = page.locator("[data-key=answer]")
    expect(card.locator("pre")).to_contain_text("step 4: <img")
    card.get_by_role("slider").press("Home")
    expect(card.locator("pre")).to_contain_text("step 0: <img")
    expect(page.locator("[data-key=confusion] tr")).to_have_count(11)
    expect(page.locator("[data-key=weights] rect")).to_have_count(16)


# -- SQL, keyboard, theme ----------------------------------------------------------------------


def test_sql_is_asked_and_what_is_wrong_is_said(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(f"{demo.url}/sql")
    query = page.get_by_role("textbox", name="Query")
    query.fill("select id, state from runs where id = 'failed';")
    query.press("Control+Enter")
    expect(page.locator("[data-answer] td")).to_have_text(["failed", "failed"])
    query.fill("select name from runs where id = 'h1'")
    query.press("Control+Enter")
    expect(page.locator("[data-answer] td")).to_contain_text(["abc\\u202egnp.exe\\u202c"])
    query.fill("delete from runs")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("[data-error]")).to_be_visible()
    screen.said.clear()  # the browser reports the status


def test_the_theme_is_remembered(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(demo.url)
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.get_by_role("button", name="Dark or light").click()
    screen.open(demo.url + DIGITS)
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_table_is_reached_by_keyboard(demo: Demo, screen: Screen) -> None:
    page = screen.page
    screen.open(demo.url + DIGITS)
    page.keyboard.press("/")
    page.keyboard.type("crashed")
    expect(page.locator("tr[data-run]")).to_have_count(1)
    page.keyboard.press("Escape")
    page.locator("tr[data-run] th a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/runs/crashed"))


# -- who may ask -------------------------------------------------------------------------------


def test_other_names_and_other_pages_are_turned_away(demo: Demo) -> None:
    path = f"{demo.url}/api/v1/runs/local/digits/failed"
    assert urllib3.request("GET", path, headers={"host": "evil.example"}).status == 400
    body = b'{"notes": "from elsewhere"}'
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        answer = urllib3.request("PATCH", path, body=body, headers=headers)
        assert answer.status == 403, headers
    assert urllib3.request("DELETE", path).status == 405

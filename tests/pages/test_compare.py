"""The compare page in a real browser: what differs, what is hidden, brushed, plotted and shared."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.pages.chart_runs import ODD, Charts
from tests.pages.conftest import LAPTOP, PHONE, Screen

ALL: Final = tuple(f"r{n}" for n in range(6))
VIEWS: Final = ("Charts", "Differences", "Parallel coordinates", "Scatter")


def look(page: Page, view: str) -> None:
    page.get_by_role("link", name=view, exact=True).click()


def said_of_loss(page: Page, pattern: str) -> None:
    chart = page.locator("figure[data-key=loss]")
    expect(chart).to_have_attribute("aria-label", re.compile(pattern, re.DOTALL))


@pytest.mark.parametrize(
    "screen", [(LAPTOP, "dark"), (PHONE, "light")], ids=["laptop", "phone"], indirect=True
)
def test_every_view_is_drawn(
    charts: Charts, screen: Screen, request: pytest.FixtureRequest
) -> None:
    page = screen.page
    screen.open(charts.compare(*ALL))
    for view in VIEWS:
        look(page, view)
        panel = page.locator("[data-panel]:visible")
        expect(panel).to_have_count(1)
        expect(panel.locator("svg, table, .uplot").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        screen.picture(f"compare {view.lower()} {request.node.callspec.id}")


def test_ids_may_have_any_letters(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(f"{charts.url}/ann/odd")
    for box in page.locator("tbody input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Compare").click()
    shown = page.locator("input[type=checkbox][value]")
    expect(shown).to_have_count(2)
    assert {box.get_attribute("value") for box in shown.all()} == set(ODD)


def test_runs_that_are_compared_have_a_colour_each(charts: Charts, screen: Screen) -> None:
    screen.open(charts.compare(*ALL))
    colours = screen.page.evaluate(
        "[...document.querySelectorAll('[data-legend] .swatch')]"
        ".map(mark => getComputedStyle(mark).backgroundColor)"
    )
    assert len(set(colours)) == len(ALL)


def test_runs_that_are_hidden_stay_hidden(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.compare("r0", "r1", "r2"))
    said_of_loss(page, r"run 0: .* run 1: .* run 2: ")
    page.get_by_role("checkbox", name="run 1").uncheck()
    said_of_loss(page, r"by step\. run 0: (?!.*run 1).* run 2: ")
    page.reload()
    said_of_loss(page, r"by step\. run 0: (?!.*run 1).* run 2: ")
    expect(page.get_by_role("checkbox", name="run 1")).not_to_be_checked()
    look(page, "Differences")
    expect(page.locator("thead th:visible")).to_have_text(["Key", "run 0", "run 2"] * 2)


def test_runs_of_a_group_are_drawn_as_their_mean(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.compare(*ALL))
    page.get_by_label("Mean by").select_option("model")
    # r0 and r3 are one model: the mean of 0 and 3, and 1/50 at the last step.
    said_of_loss(page, r'model = "cnn" \(mean of 2\): last 1\.52,')
    page.get_by_label("Mean by").select_option("*")
    said_of_loss(page, r"all runs \(mean of 6\): last 2\.52,")
    expect(page).to_have_url(re.compile(r"group=\*|group=%2A"))


def test_equal_rows_are_folded(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.compare("r0", "r1"))
    look(page, "Differences")
    config = page.locator(".differences").first
    expect(config.locator("tbody tr:visible th")).to_have_text(["lr", "model"])
    expect(config.locator("tbody tr:visible td")).to_have_text(["1", "0.1", "cnn", "mlp"])
    config.get_by_role("checkbox").check()
    expect(config.locator("tbody tr:visible th")).to_have_text(["epochs", "lr", "model"])


def test_a_brush_chooses_runs_and_is_in_the_address(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.compare(*ALL))
    look(page, "Parallel coordinates")
    expect(page.locator(".run-line")).to_have_count(6)
    area = page.locator(".axis", has_text="lr").locator(".axis-area").bounding_box()
    assert area is not None
    # lr has a logarithmic axis; its lower half has three of the six.
    x = area["x"] + area["width"] / 2
    page.mouse.move(x, area["y"] + area["height"])
    page.mouse.down()
    page.mouse.move(x, area["y"] + area["height"] / 2, steps=4)
    page.mouse.up()
    told = page.get_by_role("status")
    expect(told).to_contain_text("3 of 6 runs chosen")
    expect(told.locator("bdi")).to_have_text(["run 3", "run 4", "run 5"])
    expect(page.locator(".run-line.out")).to_have_count(3)
    expect(page).to_have_url(re.compile("brush="))
    page.reload()
    expect(told).to_contain_text("3 of 6 runs chosen")


def test_a_scatter_of_any_two_columns_leads_to_the_runs(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.compare(*ALL))
    look(page, "Scatter")
    expect(page.locator(".run-point")).to_have_count(6)
    page.get_by_label("X axis", exact=True).last.select_option("config.model")
    expect(page.locator(".axis-tick", has_text="vit")).to_be_visible()
    page.reload()
    expect(page.locator(".axis-tick", has_text="vit")).to_be_visible()
    page.get_by_role("link", name=re.compile("^run 4: model mlp")).click()
    expect(page).to_have_url(charts.run("r4"))


def test_what_is_not_there_is_said(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.compare("r0", "gone"))
    expect(page.get_by_text("1 run of this address is not here")).to_be_visible()
    screen.open(charts.compare("gone"))
    expect(page.get_by_text("No runs to compare")).to_be_visible()
    screen.open(f"{charts.url}/ann/charts/compare")
    expect(page.get_by_role("heading", name="10 latest runs compared")).to_be_visible()
    answer = screen.open(charts.compare(*(f"x{n}" for n in range(201))))
    assert answer.status == 400
    screen.said.clear()  # the browser reports the status

"""Charts in a real browser: what is drawn, fetched, said and remembered."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.pages.chart_runs import HOSTILE, LONG, Charts, gappy, grow, loss_at
from tests.pages.conftest import LAPTOP, PHONE, Screen

SERIES = re.compile(r"/series\?")


def card(page: Page, key: str) -> Locator:
    """The chart of a metric, once its data is drawn."""
    found = page.locator(f"figure[data-key={key!r}]")
    expect(found).to_have_class(re.compile("drawn"))
    return found


def drag(page: Page, chart: Locator, start: float, end: float) -> None:
    """Select from one part of the width to another."""
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=3)
    page.mouse.up()


def asked(request: Request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.url).query)


def shown_range(page: Page) -> tuple[float, float]:
    """What the address says is zoomed into."""
    expect(page).to_have_url(re.compile("#.*range=step"))
    low, high = parse_qs(urlsplit(page.url).fragment)["range"][0].split(":")[1:]
    return float(low), float(high)


# -- looking -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "screen", [(LAPTOP, "light"), (PHONE, "dark")], ids=["laptop", "phone"], indirect=True
)
def test_charts_are_drawn_and_put_into_words(
    charts: Charts, screen: Screen, request: pytest.FixtureRequest
) -> None:
    screen.open(charts.run("long"))
    said = card(screen.page, "train/loss").get_attribute("aria-label") or ""
    assert said.startswith("train/loss by step.")
    assert "12,000 points" in said
    greatest = max(map(loss_at, range(LONG)))
    assert f"greatest {greatest:.5g}" in said
    screen.picture(f"charts {request.node.callspec.id}")


def test_nothing_moves_when_data_comes(charts: Charts, screen: Screen) -> None:
    page = screen.page
    held: list[Route] = []
    page.route(SERIES, lambda route: held.append(route))  # noqa: PLW0108  built-ins are refused
    screen.open(charts.run("long"))
    places = page.locator("figure.chart-card")
    expect(places).to_have_count(2)
    before = [places.nth(n).bounding_box() for n in range(2)]
    expect(page.locator(".uplot").first).to_be_visible()
    for route in held:
        route.continue_()
    card(page, "train/loss")
    assert [places.nth(n).bounding_box() for n in range(2)] == before


def test_names_are_texts(charts: Charts, screen: Screen) -> None:
    screen.open(charts.run("gaps"))
    expect(screen.page.locator("figcaption").get_by_text(HOSTILE, exact=True)).to_be_visible()
    assert screen.page.title() != "hacked"


def test_sections_are_found_folded_and_remembered(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("wide"))
    sections = page.locator("details.section")
    expect(sections).to_have_count(4)
    page.locator("[data-section=section1] > summary").click()
    page.get_by_role("searchbox").fill("m(5|2)$")
    expect(page.locator("figure.chart-card:not([hidden])")).to_have_count(2)
    expect(page).to_have_url(re.compile("#find=m"))
    page.reload()
    expect(page.locator("figure.chart-card:not([hidden])")).to_have_count(2)
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No metric has such a name")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(page.locator("[data-section=section1]")).not_to_have_attribute("open", "")
    expect(page.locator("[data-section=section2]")).to_have_attribute("open", "")


def test_only_what_is_near_is_fetched(charts: Charts, screen: Screen) -> None:
    page = screen.page
    keys: set[str] = set()
    page.on("request", lambda request: keys.update(asked(request).get("key", [])))
    screen.open(charts.run("wide"))
    card(page, "section0/m0")
    assert len(keys) < 40
    page.locator("figure[data-key='section3/m79']").scroll_into_view_if_needed()
    card(page, "section3/m79")
    assert "section3/m79" in keys


def test_a_defined_step_metric_is_the_x_axis(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("epochs"))
    found = card(page, "val/loss")
    expect(found).to_have_attribute("aria-label", re.compile(r"^val/loss by epoch\. .* 9 points"))
    page.get_by_label("X axis").select_option("relative")
    expect(found).to_have_attribute("aria-label", re.compile("^val/loss by running time"))
    expect(page).to_have_url(re.compile("#x=relative"))


# -- hands and keys ----------------------------------------------------------------------------


def test_a_zoom_fetches_finer_points_and_stays_in_the_address(
    charts: Charts, screen: Screen
) -> None:
    page = screen.page
    screen.open(charts.run("long"))
    found = card(page, "train/loss")
    with page.expect_response(lambda said: "from=" in said.url) as finer:
        drag(page, found, 0.25, 0.5)
    low, high = shown_range(page)
    assert low == pytest.approx(LONG * 0.25, rel=0.02)
    assert high == pytest.approx(LONG * 0.5, rel=0.02)
    query = asked(finer.value.request)
    assert sorted(query["key"]) == ["train/acc", "train/loss"]
    assert (float(query["from"][0]), float(query["to"][0])) == pytest.approx((low, high))
    page.reload()
    card(page, "train/loss")
    assert shown_range(page) == (low, high)
    page.get_by_role("button", name="Reset zoom").click()
    expect(page).to_have_url(charts.run("long"))


def test_a_request_that_is_out_of_date_is_cancelled(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("long"))
    found = card(page, "train/loss")
    held: list[Route] = []
    page.route(
        re.compile("[&?]from="), lambda route: held.append(route) if not held else route.continue_()
    )
    with page.expect_request(lambda request: "from=" in request.url):
        drag(page, found, 0.2, 0.6)
    with page.expect_event("requestfailed", lambda request: "from=" in request.url) as failed:
        drag(page, found, 0.2, 0.6)
    assert failed.value.url == held[0].request.url


def test_the_keyboard_does_all(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("gaps"))
    found = card(page, "y")
    found.focus()
    spoken = found.locator("[aria-live]")
    page.keyboard.press("Home")
    expect(spoken).to_have_text("0 at step 0")
    page.keyboard.press("ArrowRight")
    expect(spoken).to_have_text("1 at step 1")
    page.keyboard.press("Shift+ArrowRight")
    expect(spoken).to_have_text("11 at step 11")
    page.keyboard.press("+")
    low, high = shown_range(page)
    assert high - low == pytest.approx(59 / 2)
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("range"))
    page.keyboard.press("f")
    expect(found).to_have_class(re.compile("full"))
    expect(page).to_have_url(re.compile("full=y"))
    page.keyboard.press("Escape")
    expect(found).not_to_have_class(re.compile("full"))
    page.keyboard.press("l")
    expect(page).to_have_url(re.compile("logy=y"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("full screen")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_one_cursor_for_all_charts(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("long"))
    one, other = card(page, "train/loss"), card(page, "train/acc")
    box = one.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 30)
    for chart in (one, other):
        expect(chart.locator("output")).to_have_text(re.compile(r"^step [56],\d{3} · "))
    page.mouse.move(0, 0)
    expect(other.locator("output")).not_to_have_text(re.compile("step"))


# -- files -------------------------------------------------------------------------------------


def saved(page: Page, chart: Locator, kind: str) -> tuple[str, bytes]:
    chart.locator("summary").click()
    with page.expect_download() as download:
        chart.locator(f"[data-act={kind}]").click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def test_every_point_goes_into_the_csv(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("gaps"))
    name, content = saved(page, card(page, "y"), "csv")
    head, *rows = csv.reader(io.StringIO(content.decode()))
    assert (name, head) == ("y.csv", ["run", "step", "y"])
    expected = [repr(gappy(step)) for step in range(60)]
    assert [repr(float(value)) for _, _, value in rows] == expected


def test_a_thinned_chart_has_all_points_in_its_csv(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("long"))
    found = page.evaluate(
        """async () => {
          const { Feed } = await import("/static/js/charts/feed.js");
          const feed = new Feed("ann", "charts");
          const fetch = feed.fetch.bind(feed);
          feed.fetch = (wish) => fetch({ ...wish, columns: 500 });
          return feed.all({ run: "long", source: "" }, "train/loss", { x: "step" });
        }"""
    )
    assert found == [[step, loss_at(step)] for step in range(LONG)]


def test_pictures_are_what_is_drawn(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("gaps"))
    found = card(page, "y")
    name, content = saved(page, found, "svg")
    root = ET.fromstring(content)
    (path,) = root.iterfind(".//{*}g/{*}path")
    # A line before the gap, one up to the infinity, one behind it.
    assert (name, path.attrib["d"].count("M")) == ("y.svg", 3)
    name, content = saved(page, found, "png")
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20], "big") == 2 * float(root.attrib["width"])


# -- live --------------------------------------------------------------------------------------


def test_writers_at_the_same_time_have_a_line_each(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("ranks"))
    said = card(page, "loss").get_attribute("aria-label") or ""
    assert "rank-0: last 19, least 0, greatest 19, 20 points." in said
    assert "rank-1: last 29, least 10, greatest 29, 20 points." in said
    expect(page.get_by_role("list", name="Writers").get_by_role("listitem")).to_have_text(
        ["rank-0", "rank-1"]
    )
    assert "rank-0" not in (card(page, "only/1").get_attribute("aria-label") or "")
    screen.picture("charts by writer")
    _, content = saved(page, card(page, "loss"), "csv")
    head, *rows = csv.reader(io.StringIO(content.decode()))
    assert head == ["run", "writer", "step", "loss"]
    ranks = [
        ["ranks", f"rank-{rank}", f"{n}", f"{10 * rank + n}"]
        for rank in range(2)
        for n in range(20)
    ]
    assert rows == ranks
    page.get_by_label("By writer").uncheck()
    expect(card(page, "loss")).to_have_attribute("aria-label", re.compile("ranks: .*40 points"))
    expect(page).to_have_url(re.compile("#.*writers=0"))


def test_writers_one_after_the_other_are_one_line(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("resumed"))
    assert "40 points" in (card(page, "loss").get_attribute("aria-label") or "")
    page.get_by_label("By writer").check()
    expect(card(page, "loss")).to_have_attribute("aria-label", re.compile("20 points"))
    expect(page).to_have_url(re.compile("#.*writers=1"))
    page.reload()
    expect(page.get_by_label("By writer")).to_be_checked()
    screen.open(charts.run("long"))
    card(page, "train/loss")
    expect(page.get_by_label("By writer")).to_be_hidden()


def test_a_growing_run_is_drawn_without_a_reload(charts: Charts, screen: Screen) -> None:
    page = screen.page
    run = charts.store.run("ann", "charts", "live")
    grow(run, 1, 12)
    screen.open(charts.run("live"))
    found = card(page, "live")
    expect(found).to_have_attribute("aria-label", re.compile("last 11,.* 10 points"))
    canvas = found.locator("canvas").last.element_handle()
    grow(run, 12, 102)
    expect(found).to_have_attribute("aria-label", re.compile("last 101,.* 100 points"))
    assert canvas.evaluate("canvas => canvas.isConnected")


# -- arithmetic --------------------------------------------------------------------------------


def numbers(page: Page, call: str, *arguments: Any) -> Any:
    """What a function of numbers.js gives."""
    code = f"""async (given) => {{
      const {{ {call} }} = await import("/static/js/charts/numbers.js");
      const found = {call}(...given);
      if (Array.isArray(found) || typeof found !== "object") return found;
      return Object.fromEntries(Object.entries(found).map(([name, part]) => [name, [...part]]));
    }}"""
    return page.evaluate(code, list(arguments))


def ema(values: list[float], weight: float) -> list[float]:
    """The debiased average of tensorboard, for even steps."""
    last, found = 0.0, []
    for count, value in enumerate(values, 1):
        last = last * weight + (1 - weight) * value
        found.append(last / (1 - weight**count))
    return found


def test_smoothing_is_the_debiased_average_whatever_the_steps(
    charts: Charts, screen: Screen
) -> None:
    page = screen.page
    screen.open(charts.run("epochs"))
    y = [math.sin(n) + n / 20 for n in range(100)]
    even = {"x": list(range(100)), "y": y}
    expected = ema(y, 0.9)
    assert numbers(page, "smooth", even, 0.9, 1)["y"] == pytest.approx(expected)
    # Where a value holds for five steps, one point with that distance says as much.
    held = [value for value in y[:20] for _ in range(5)]
    sparse = {"x": [5 * n + 4 for n in range(20)], "y": y[:20]}
    smoothed = numbers(page, "smooth", sparse, 0.9, 1)["y"]
    whole = numbers(page, "smooth", {"x": list(range(100)), "y": held}, 0.9, 1)["y"][4::5]
    assert smoothed[10:] == pytest.approx(whole[10:], rel=0.02)
    with_gap = numbers(page, "smooth", {"x": [0, 1, 2], "y": [1.0, math.nan, 3.0]}, 0.5, 1)["y"]
    assert math.isnan(with_gap[1])
    assert with_gap[2] == pytest.approx((0.25 * 0.5 * 1 + 0.75 * 3) / (0.25 * 0.5 + 0.75))


def test_a_band_is_the_mean_and_the_reach_of_its_lines(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("epochs"))
    one = {"x": [0, 10], "y": [0, 10]}
    other = {"x": [0, 5, 10], "y": [2, 20, 2]}
    lines = [{"line": line, "mean": line} for line in (one, other)]
    found = numbers(page, "band", lines, 0, 10, 4)
    assert found["x"] == [0, 2.5, 5, 7.5, 10]
    assert found["mean"] == [1, 6.75, 12.5, 9.25, 6]
    assert found["least"] == [0, 2.5, 5, 7.5, 2]
    assert found["greatest"] == [2, 11, 20, 11, 10]


def test_outliers_do_not_stretch_a_clipped_axis(charts: Charts, screen: Screen) -> None:
    page = screen.page
    screen.open(charts.run("epochs"))
    y = [*map(float, range(200)), 1e6, -1e6]
    line = {"x": list(range(202)), "y": y}
    assert numbers(page, "extent", [line], 0, 201, {}) == [-1e6, 1e6]
    low, high = numbers(page, "extent", [line], 0, 201, {"clip": 0.01})
    assert (0 <= low <= 3, 196 <= high <= 199) == (True, True)
    assert numbers(page, "extent", [line], 0, 201, {"positive": True}) == [1, 1e6]

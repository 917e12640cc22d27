"""A report in a real browser: a file, with and without scripts, on a screen and on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pytest
from playwright.sync_api import expect

from store.api.report.colours import colour_number, css_colour
from store.paths import create_store
from tests.cli.program import call
from tests.pages.conftest import LAPTOP, PHONE, SCREENSHOTS
from tests.pages.places import fill

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COLOURS: Final = Path(__file__).parents[2] / "server/web/static/js/colours.js"
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("report")
    fill(create_store(base / ".store"), 4)
    file = base / "report.html"
    result = call("report", "--store", base, "d000", "d001", "d003", "-o", file)
    assert result.exit_code == 0, result.output
    return file


@pytest.mark.parametrize(
    ("size", "scheme", "has_scripts"),
    [(LAPTOP, "light", True), (LAPTOP, "dark", False), (PHONE, "light", False)],
    ids=["light", "dark without scripts", "phone without scripts"],
)
def test_a_report_shows_all_without_network_and_scripts(
    browser: Browser,
    written: Path,
    size: tuple[int, int],
    scheme: Scheme,
    has_scripts: bool,
    request: pytest.FixtureRequest,
) -> None:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        java_script_enabled=has_scripts,
    )
    page = context.new_page()
    asked, said = watch(page)
    page.goto(written.as_uri())
    charts = page.get_by_role("img", name="loss by step")
    expect(charts).to_have_count(2)
    for chart in charts.all():
        box = chart.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        colours = {stroke(page, line) for line in range(3)} if has_scripts else {1, 2, 3}
        assert len(colours) == 3
    expect(page.locator("figure").first).to_contain_text("cnn-000 0.05")
    page.screenshot(path=SCREENSHOTS / f"report {request.node.callspec.id}.png", full_page=True)
    context.close()
    assert asked == [written.as_uri()]
    assert said == []


def watch(page: Page) -> tuple[list[str], list[str]]:
    """What a page asks for, and what is said on its console."""
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda found: asked.append(found.url))
    page.on("console", lambda line: said.append(line.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    return asked, said


def stroke(page: Page, line: int) -> str:
    shown: Callable[[str], str] = page.locator(".lines path").nth(line).evaluate
    return shown("path => getComputedStyle(path).stroke")


def test_a_cursor_tells_the_values(browser: Browser, written: Path) -> None:
    page = browser.new_page()
    page.goto(written.as_uri())
    chart = page.locator("figure").first
    box = chart.locator("svg[data-scale]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60 / 480 * box["width"], box["y"] + box["height"] / 2)
    expect(chart.locator("figcaption")).to_have_text("train/lossstep 0")
    expect(chart.locator(".value")).to_have_text(["1", "1", "1"])
    page.mouse.move(0, 0)
    expect(chart.locator(".value")).to_have_text(["0.05", "0.05", "0.05"])
    page.close()


def test_paper_is_white_and_has_what_is_folded(browser: Browser, written: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(written.as_uri())
    ground = "getComputedStyle(document.querySelector('figure')).backgroundColor"
    assert page.evaluate(ground) == "rgb(22, 25, 29)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    expect(page.locator("dl.equal").first).to_be_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()


def test_a_run_has_the_colour_that_it_has_on_the_pages(browser: Browser) -> None:
    ids = ["", "a", "coral-quail-1", "d000", "\u05e9\u05dc\u05d5\u05dd", "\U0001f600", "x" * 300]
    ids += [f"run-{number}" for number in range(200)]
    page = browser.new_page()
    script = COLOURS.read_text("utf-8").replace("export ", "")
    found = page.evaluate(f"ids => {{ {script}\n return ids.map(colourOf); }}", ids)
    page.close()
    assert found == [css_colour(colour_number(run_id)) for run_id in ids]
    assert len(set(found)) == 30

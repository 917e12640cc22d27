"""Headless Chromium, and what it looks at. A test without a browser says "not run".

`screen` is a page of a fresh browser profile. At its end nothing may have been said on the console,
nothing asked of another origin, and every page must have come with its policy.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pytest

from tests.pages.chart_runs import Charts, chart_server
from tests.pages.places import Demo, Served, demo_store, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
SCREENSHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"
ARGUMENTS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
LAPTOP: Final = (1366, 768)
PHONE: Final = (390, 844)


@dataclass
class Screen:
    """A page of the browser, and what must not have happened in it."""

    page: Page
    said: list[str] = field(default_factory=list)
    unsafe: list[str] = field(default_factory=list)

    def open(self, url: str) -> Response:
        """Load a page, up to its scripts and what they fetch at once."""
        answer = self.page.goto(url)
        assert answer is not None
        policy = answer.headers.get("content-security-policy", "")
        if "default-src 'self'" not in policy or "unsafe" in policy:
            self.unsafe.append(f"{url}: {policy}")
        return answer

    def picture(self, name: str) -> None:
        """Keep a screenshot in build/screenshots."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Of the module: while it is open, no other test can run an event loop."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("not run: there is no Chromium here")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def screen(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Screen]:
    """A page; `@pytest.mark.parametrize("screen", [(PHONE, "dark")], indirect=True)` sizes it."""
    size: tuple[tuple[int, int], Literal["light", "dark"]]
    size = getattr(request, "param", (LAPTOP, "light"))
    (width, height), scheme = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
    )
    context.set_default_timeout(30_000)
    page = context.new_page()
    found = Screen(page)
    origins: set[str] = set()
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on(
        "console",
        lambda line: (
            found.said.append(f"{line.text} {line.location}")
            if line.type in ("error", "warning")
            else None
        ),
    )
    context.on("request", lambda asked: origins.add("/".join(asked.url.split("/")[:3])))
    yield found
    own = {
        origin for origin in origins if origin.startswith(("http://127.0.0.1:", "blob:", "data:"))
    }
    context.close()
    assert found.said == []
    assert found.unsafe == []
    assert origins == own


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo store, shown by `store ui`."""
    with demo_store(tmp_path_factory.mktemp("demo")) as found:
        yield found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with accounts."""
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture(scope="session")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Charts]:
    """Runs for charts, on a server where everybody may read them."""
    with chart_server(tmp_path_factory.mktemp("charts")) as found:
        yield found

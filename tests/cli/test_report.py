"""`store report`: one HTML file that says what the runs say, and nothing that they want to do."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest

from store.api.report.axes import step_axis, value_axis
from store.api.report.lines import path_of, thin_line
from store.paths import StoreFolder, create_store
from store.row import Kind
from tests.cli.program import call, make_run
from tests.helpers import run_script
from tests.stored_runs import absorb, metric, rows_of

HOSTILE: Final = (
    '<img src=x onerror="document.title=1"><script>window.hacked=1</script>',
    "</title></style></script><!-- <![CDATA[ ]]> &lt;b&gt; &amp; &#60;",
    "'\" onload=alert(1) style=x:expression(1) javascript:alert(1)",
    "abc\u202egnp.exe\u202c \u05e9\u05dc\u05d5\u05dd",
    "bell\x07\x1b[31m\x85\u2028end",
    "n" * 10_000,
)
ALLOWED: Final = frozenset(
    "html head meta title style body header main section div h1 h2 p small span bdi code br"
    " table thead tbody tr th td details summary dl dt dd ul li figure figcaption"
    " svg g path text circle script".split()
)
EMPTY: Final = frozenset({"meta", "br"})
Corner = tuple[float, float]


class Page(HTMLParser):
    """The elements of a page as (tag, attributes, text within)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.strange: list[str] = []
        self._open: list[int] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))
        if tag not in EMPTY:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for place in self._open:
            self.elements[place][2].append(data)

    def handle_comment(self, data: str) -> None:
        self.strange.append(data)

    def unknown_decl(self, data: str) -> None:
        self.strange.append(data)

    def all(self, tag: str, **wanted: str) -> list[tuple[dict[str, str], str]]:
        """(attributes, text) of the elements of a kind."""
        return [
            (attributes, "".join(text))
            for found, attributes, text in self.elements
            if found == tag and wanted.items() <= attributes.items()
        ]

    def texts(self, tag: str, **wanted: str) -> list[str]:
        return [text for _, text in self.all(tag, **wanted)]

    def rows(self, number: int) -> list[list[str]]:
        """The cells of a table."""
        rows: list[list[str]] = []
        tables = -1
        for tag, _, text in self.elements:
            tables += tag == "table"
            if tables == number and tag == "tr":
                rows.append([])
            elif tables == number and tag in ("th", "td"):
                rows[-1].append("".join(text).strip())
        return rows


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreFolder:
    monkeypatch.chdir(tmp_path)
    return create_store(tmp_path / ".store")


def report(*arguments: object) -> Page:
    result = call("report", *arguments, "-o", "out.html")
    assert result.exit_code == 0, result.output
    return Page(Path("out.html").read_text("utf-8"))


def corners(path: str) -> Iterator[list[Corner]]:
    """The corners of each part of a path."""
    x = y = 0.0
    part: list[Corner] = []
    for way, text in re.findall(r"([Mlhv])([^Mlhv]*)", path):
        numbers = [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", text)]
        if way == "M":
            if part:
                yield part
            part, (x, y) = [], numbers
        else:
            x += 0 if way == "v" else numbers[0]
            y += 0 if way == "h" else numbers[-1]
        part.append((x, y))
    yield part


def drawn(page: Page, number: int = 0) -> list[list[Corner]]:
    """The values that the first line of a chart shows, read off the drawing."""
    chart, _ = page.all("svg", role="img")[number]
    x0, x1, left, right, _, y0, y1, bottom, top, is_log = json.loads(chart["data-scale"])
    lines = [a["d"] for a, text in page.all("path") if text]  # those with a title
    shown = []
    for part in corners(lines[number]):
        values = []
        for x, y in part:
            value = y0 + (y - bottom) / (top - bottom) * (y1 - y0)
            at = x0 + (x - left) / (right - left) * (x1 - x0)
            values.append((at, 10**value if is_log else value))
        shown.append(values)
    return shown


# -- what it says ------------------------------------------------------------------------------


def test_it_says_what_the_runs_are_and_how_they_differ(folder: StoreFolder) -> None:
    attributes = {
        "tags": ["best", "sweep"],
        "notes": "first line\nsecond line",
        "git": {"commit": "0123456789abcdef", "dirty": True},
        "command": {"command": ["python", "train.py", "--lr", "0.1"]},
    }
    config = {"lr": 0.1, "net": {"depth": 2}, "seed": 1}
    make_run(folder, "r1", 1, config=config, attributes=attributes, loss=0.25)
    make_run(folder, "r2", 2, config={**config, "lr": 0.1000001}, state="failed")
    page = report("r1", "r2", "--title", "Two runs")
    assert page.texts("title")[0] == "Two runs" == page.texts("h1")[0]
    assert "2 runs of local/p, logged 2023-11-14" in page.texts("header")[0]
    assert folder.id in page.texts("header")[0]
    head, first, second = page.rows(0)
    assert head[:3] == ["Run", "State", "Began (UTC)"]
    facts = dict(zip(head, first, strict=True))
    assert facts["Run"].split() == ["run-1", "r1"]
    assert facts["Tags"].split() == ["best", "sweep"]
    assert facts["Commit"] == "0123456789ab with changes"
    assert facts["Command"] == "python train.py --lr 0.1"
    assert facts["Host"] == "node"
    assert facts["Duration"] == "6 s"
    assert second[1] == "failed"
    # Values are told apart, and what is equal is folded.
    assert page.rows(1) == [["Key", "run-1", "run-2"], ["lr", "0.1", "0.1000001"]]
    assert page.rows(2) == [["Key", "run-1", "run-2"], ["loss", "0.25", "0.5"]]
    assert page.texts("dl", class_="equal") == page.texts("dl", class_="notes") == []
    equal, notes = page.texts("dl")
    assert equal == "net.depth2seed1"
    assert notes.strip() == "run-1" + "first linesecond line"
    assert [text.split()[0] for text in page.texts("summary")] == ["2"]


def test_a_chart_tells_its_values_in_lines_legend_and_words(folder: StoreFolder) -> None:
    said = [metric(step, {"loss": 1 / (step + 1), "val/acc": step}) for step in range(50)]
    absorb(folder.run("local", "p", "r1"), rows_of(*said))
    page = report("r1")
    assert page.texts("h2") == ["Run", "val", "metrics", "Summary"]
    acc, loss = page.all("svg", role="img")
    assert acc[0]["aria-label"] == "val/acc by step. r1: last 49, 0 to 49."
    assert loss[0]["aria-label"] == "loss by step. r1: last 0.02, 0.02 to 1."
    assert page.texts("li") == [" r1 49", " r1 0.02"]
    (points,) = drawn(page, 1)
    assert {round(x) for x, _ in points} == set(range(50))
    assert all(y == pytest.approx(1 / (round(x) + 1), abs=0.001) for x, y in points)
    ticks = page.texts("text")
    assert ticks[:6] == ["0", "10", "20", "30", "40", "step"]


def test_of_many_points_none_that_can_be_seen_is_lost(folder: StoreFolder) -> None:
    spikes = {4_321: 9.0, 15_000: -7.0}
    said = [metric(n, {"y": spikes.get(n, math.sin(n / 99))}) for n in range(20_000)]
    absorb(folder.run("local", "p", "r1"), rows_of(*said))
    page = report("r1")
    (points,) = drawn(page)
    assert len(points) < 4_000
    for step, value in spikes.items():
        assert any(abs(x - step) < 20 and abs(y - value) < 0.01 for x, y in points)


def test_gaps_stay_gaps_and_what_is_not_drawn_is_said(folder: StoreFolder) -> None:
    values = [1.0, 2.0, math.nan, 3.0, math.inf, -1.0, 5.0]
    absorb(
        folder.run("local", "p", "r1"),
        rows_of(*(metric(step, {"y": value}) for step, value in enumerate(values))),
    )
    page = report("r1")
    parts = drawn(page)
    assert [(round(part[0][0]), round(part[-1][0])) for part in parts] == [(0, 1), (3, 3), (5, 6)]
    assert "Not drawn: 1 NaN, 1 infinite" in page.texts("p")
    page = report("r1", "--log-y")
    assert [round(y, 1) for part in drawn(page) for _, y in part[1:]] == [1.0, 2.0, 3.0, 5.0]
    assert "Not drawn: 1 NaN, 1 infinite, 1 not above 0" in page.texts("p")


def test_lines_are_smoothed_and_drawn_by_time_or_a_step_metric(folder: StoreFolder) -> None:
    define = (Kind.ATTRIBUTE, 0, {"define/y": {"step_metric": "epoch"}})
    said = [metric(n, {"y": float(n % 2), "epoch": n / 10}) for n in range(41)]
    absorb(folder.run("local", "p", "r1"), rows_of(define, *said))
    (by_epoch,) = drawn(report("r1", "--keys", "^y$"))
    assert by_epoch[-1][0] == pytest.approx(4.0, abs=0.01)
    page = report("r1", "--keys", "^y$", "--x", "time", "--smooth", "0.9")
    assert page.texts("text").count("time (s)") == 1
    (smooth,) = drawn(page)
    assert smooth[-1][0] == pytest.approx(42.0, abs=0.1)  # row n comes n seconds after the first
    assert 0.4 < smooth[-1][1] < 0.6
    assert len(page.all("g", class_="raw")) == 0
    assert any(attributes.get("class") == "raw" for attributes, _ in page.all("g"))
    assert "smoothed by 0.9" in page.texts("header")[0]


@pytest.mark.parametrize("count", [0, 1])
def test_runs_without_charts(folder: StoreFolder, count: int) -> None:
    absorb(folder.run("local", "p", "r1"), rows_of(*(metric(0, {"y": 1}) for _ in range(count))))
    folder.run("local", "p", "bad").path.mkdir(parents=True)
    (folder.run("local", "p", "bad").database).write_bytes(b"no database" * 999)
    page = report("--project", "p")
    assert sorted(row[1] for row in page.rows(0)[1:]) == ["damaged", "finished"]
    assert page.all("figure") == []
    assert any("Nothing to draw" in text for text in page.texts("p"))


def test_a_single_point_is_drawn_where_it_is_asked_for(folder: StoreFolder) -> None:
    absorb(folder.run("local", "p", "r1"), rows_of(metric(3, {"y": 7.0, "system/cpu": 5})))
    assert report("r1").all("figure") == []
    page = report("r1", "--keys", "y|cpu")
    assert page.texts("figcaption") == ["system/cpu", "y"]
    assert len(page.all("circle")) == 2
    assert drawn(page)[0][0] == pytest.approx((3, 5), abs=0.01)


def test_many_runs_are_named_once_and_listed_below(folder: StoreFolder) -> None:
    for number in range(14):
        make_run(folder, f"r{number:02}", number, config={f"k{n}": n * number for n in range(12)})
    page = report("--project", "p")
    assert page.texts("h2") == [
        "metrics",
        "Runs",
        "Config 11 of 12 differ",
        "Summary 0 of 1 differ",
    ]
    assert [text.strip() for text in page.texts("li")] == [f"run-{n}" for n in range(14)]
    assert len(page.texts("title")) == 1 + 14
    assert [len(page.rows(number)[0]) for number in (1, 2)] == [11, 2]
    assert page.rows(1)[2][:4] == ["run-1", "1", "10", "11"]


def test_paths_keep_to_their_bytes() -> None:
    noise = random.Random(5)
    values = [noise.gauss(0, 1) for _ in range(5000)]
    line = thin_line(range(5000), values, log_y=False)
    x = step_axis(0, 4999, 50, 470, is_whole=True)
    y = value_axis(min(values), max(values), 190, 10, is_log=False)
    for most in (16_000, 1_200, 600):
        path = path_of(line, x, y, most)
        assert most / 2 < len(path) <= most
        heights = [at for part in corners(path) for _, at in part]
        assert min(heights) == pytest.approx(y.place(max(values)), abs=1)
        assert max(heights) == pytest.approx(y.place(min(values)), abs=1)


# -- what it must not be -----------------------------------------------------------------------


def test_hostile_texts_are_text(folder: StoreFolder) -> None:
    for number, text in enumerate(HOSTILE):
        attributes: dict[str, Any] = {"tags": [text], "notes": text, "group": text}
        attributes |= {"command": {"command": [text]}, "git": {"commit": text, "dirty": text}}
        attributes |= {f"define/{text[:50]}": {"step_metric": text[:50]}}
        said = [metric(n, {text[:50]: n, f"{text[:50]}/y": n}) for n in range(3)]
        config = {text: text, "same": HOSTILE[0], "nested": {text[:90]: [text]}}
        make_run(
            folder, f"r{number}", number, name=text, attributes=attributes, config=config, said=said
        )
    text = "".join(HOSTILE[:5])
    page = report("--project", "p", "--title", text)
    assert page.strange == []
    assert {tag for tag, _, _ in page.elements} <= ALLOWED
    names = {name for _, attributes, _ in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert names.isdisjoint({"style", "href", "src", "srcdoc", "action", "xlink:href"})
    assert page.texts("script") == [files("store.api.report").joinpath("cursor.js").read_text()]
    written = Path("out.html").read_text("utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", written)
    shown = page.texts("body")[0]
    for told in (HOSTILE[0], HOSTILE[1], HOSTILE[2], r"abc\u202egnp.exe", r"bell\x07\x1b[31m\x85"):
        assert shown.count(told) > 5, told
    assert len(written) < 200_000


def test_it_holds_all_that_it_needs(folder: StoreFolder) -> None:
    make_run(folder, "r1")
    page = report("r1")
    text = Path("out.html").read_text("utf-8")
    assert not re.search(r"https?:|url\(|@import|\bsrc=|\bhref=|<link|\bfetch\(|import\(", text)
    ((policy, _),) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
    assert rules["default-src"] == "'none'"
    for rule, tag in (("style-src", "style"), ("script-src", "script")):
        (source,) = page.texts(tag)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_the_same_store_gives_the_same_file(folder: StoreFolder) -> None:
    for number in range(3):
        make_run(folder, f"r{number}", number, config={"lr": number, "a": {"b": 1}})
    report("--project", "p")
    before = Path("out.html").read_bytes()
    report("--project", "p")
    assert Path("out.html").read_bytes() == before


def test_it_needs_no_extra_and_opens_the_file(folder: StoreFolder, tmp_path: Path) -> None:
    make_run(folder, "r1")
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > opened\n')
    browser.chmod(0o755)
    extras = ("jinja2", "starlette", "uvicorn", "textual", "pyarrow")
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({extras!r}))\n"
        "from store.api.cli import cli\ncli('report r1 -o out.html --open'.split())"
    )
    run_script(code, tmp_path, BROWSER=f"{browser} %s")
    assert (tmp_path / "opened").read_text().strip() == (tmp_path / "out.html").as_uri()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name runs"),
        (("r1", "--project", "p"), 2, "name runs"),
        (("gone",), 1, "no run is called 'gone'"),
        (("--project", "gone"), 1, "no run is in a project 'gone'"),
        (("r1", "--keys", "("), 2, "--keys"),
        (("r1", "--keys", "los$"), 2, "there are loss"),
        (("r1", "--smooth", "1"), 2, "0<=x<1"),
        (("r1", "-o", "out.svg"), 2, "a report is HTML"),
        (("r1", "-o", "gone/out.html"), 2, "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_the_file(
    folder: StoreFolder, arguments: tuple[str, ...], code: int, said: str
) -> None:
    make_run(folder, "r1")
    Path("out.html").write_text("before")
    result = call("report", "-o", "out.html", *arguments)
    assert result.exit_code == code
    assert said in result.output
    assert Path("out.html").read_text() == "before"
    assert list(Path().glob("*out*")) == [Path("out.html")]

"""The report as one HTML file: it asks nobody for anything, and the same store gives the same file.

Its policy lets nothing in but its own style and script, named by their digests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final
from xml.etree.ElementTree import Element

from store import __version__
from store.api.report.charts import LEGEND, figure, legend_item
from store.api.report.colours import style_of
from store.api.report.markup import document, element, named, source
from store.api.report.reading import Chart, Subject, Wish, grouped, read_charts
from store.api.report.tables import differences, moment, notes, run_table
from store.api.shell import plural
from store.query import Store

BYTES: Final = 2_400_000
"""What all lines of all charts have together, at most."""
SHARPEST: Final = 16_000
BLURRED: Final = 400
"""Bytes of one line at most, and at least."""
FEW: Final = 12
"""So many runs are listed before their charts; more of them behind."""


def make_report(store: Store, subjects: Sequence[Subject], wish: Wish, title: str | None) -> str:
    """The file's text. UsageError: see `read_charts`."""
    charts = read_charts(store, subjects, wish)
    name = title or _default_title(subjects)
    style, style_digest = source("style", style_of(s.mark for s in subjects) + _text("report.css"))
    script, script_digest = source("script", _text("cursor.js"))
    policy = (
        f"default-src 'none'; style-src {style_digest}; script-src {script_digest};"
        " base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("title", name),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"Runstore {__version__}"),
        style,
    )
    runs = element(
        "section", element("h2", "Run" if len(subjects) == 1 else "Runs"), run_table(subjects)
    )
    parts = [_charts(charts, subjects, wish), *_facts(subjects)]
    place = 0 if len(subjects) <= FEW else 1
    parts.insert(place, runs)
    body = element("body", _header(store, subjects, wish, name), element("main", *parts), script)
    return document(element("html", head, body, lang="en"))


def _text(name: str) -> str:
    return files("store.api.report").joinpath(name).read_text("utf-8")


def _default_title(subjects: Sequence[Subject]) -> str:
    if len(subjects) == 1:
        return subjects[0].line.name
    projects = {subject.line.project for subject in subjects}
    return projects.pop() if len(projects) == 1 else plural(len(subjects), "run")


def _header(store: Store, subjects: Sequence[Subject], wish: Wish, title: str) -> Element:
    lines = [subject.line for subject in subjects]
    projects = sorted({f"{line.entity}/{line.project}" for line in lines})
    where = projects[0] if len(projects) == 1 else plural(len(projects), "project")
    began = moment(min((line.created for line in lines if line.created), default=None))
    latest = moment(max((line.updated for line in lines if line.updated), default=None))
    reach = began if began == latest else f"{began} to {latest}"
    logged = f", logged {reach} UTC" if began and latest else ""
    header = element(
        "header",
        element("h1", named(title)),
        element("p", f"{plural(len(lines), 'run')} of ", named(where), logged),
        element(
            "p",
            "Store ",
            element("code", store.id),
            " at ",
            element("code", named(str(store.path))),
        ),
    )
    if said := _said(wish):
        header.append(element("p", said))
    return header


def _charts(charts: Sequence[Chart], subjects: Sequence[Subject], wish: Wish) -> Element:
    made = element("section", class_="charts")
    if not charts:
        made.append(
            element("p", "Nothing to draw: no metric has more than one value.", class_="empty")
        )
        return made
    if len(subjects) > LEGEND:
        items = (legend_item(subject.line.name, subject.mark) for subject in subjects)
        made.append(element("ul", *items, class_="legend all", aria_label="Runs"))
    paths = sum(len(chart.traces) for chart in charts) * (2 if wish.smoothing else 1)
    most = max(BLURRED, min(SHARPEST, BYTES // max(1, paths)))
    groups = element("div", class_="groups")
    for prefix, group in grouped(charts):
        figures = (figure(chart, most, log_y=wish.log_y) for chart in group)
        grid = element("div", *figures, class_="grid")
        kind = "group wide" if len(group) > 1 else "group"
        groups.append(element("div", element("h2", named(prefix)), grid, class_=kind))
    made.append(groups)
    return made


def _said(wish: Wish) -> str:
    """How the charts are drawn, where that is not the usual way."""
    parts = [
        "y axes are logarithmic" if wish.log_y else "",
        f"lines are smoothed by {wish.smoothing:g}, what was logged stands behind"
        if wish.smoothing
        else "",
    ]
    return "; ".join(filter(None, parts)).capitalize()


def _facts(subjects: Sequence[Subject]) -> Iterator[Element]:
    config, summary = [s.config for s in subjects], [s.summary for s in subjects]
    for parts in (
        list(differences("Config", subjects, config)),
        list(differences("Summary", subjects, summary)),
        notes(subjects),
    ):
        if parts:
            yield element("section", *parts)

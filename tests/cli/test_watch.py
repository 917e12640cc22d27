"""`store watch` on a screen: live runs, keys, mouse, sizes, names that want to do harm."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from textual.pilot import Pilot

from store.api.curve import smooth
from store.api.watch.bar import compiled
from store.api.watch.keys import EVERY, MOUSE
from store.paths import create_store
from store.row import Kind
from tests.cli.program import make_run
from tests.cli.watching import Writer, screen, until, view
from tests.hosts import Host
from tests.stored_runs import metric

HOSTILE = "\x1b[31m\x1b]0;owned\x07[bold red]markup[/] abc\u202egnp.exe\x9b2J"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three runs of ten metrics and a system metric."""
    path = tmp_path / ".store"
    for number, name in enumerate(("sun", "moon", "comet"), 1):
        said = [
            metric(step, {f"m{k}": (step + 1) * k * number for k in range(10)} | {"system/cpu": 50})
            for step in range(20)
        ]
        make_run(path, f"r{number}", number, name=name, config={"lr": number}, said=said)
    return path


def title(pilot: Pilot[None], pane: str) -> str:
    return str(pilot.app.query_one(f"#{pane}").border_title)


def test_a_run_is_followed_while_its_process_logs_and_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / ".store"
    writer = Writer(path, "live1")

    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, "● live1", "no metrics yet")
        writer.log(10)
        await until(pilot, "now at step 10", "Metrics 2", "loss", "0.1 ")
        writer.log(30)
        await until(pilot, "now at step 40", "0.025", "System 1")
        writer.finish()
        await until(pilot, "✓ live1", "✓ finished")
        other = Writer(path, "live2")
        other.log(5)
        await until(pilot, "Runs 2", "● live2", "✓ live1")
        other.finish()

    view(path, play)


def test_keys_choose_runs_charts_and_how_they_are_drawn(store: Path) -> None:
    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, "Runs 3", "▌┃ ✓ comet", "Metrics 11  page 1/3")
        await pilot.press("space", "j", "space")
        await until(pilot, " ┃ ✓ comet", "▌┃ ✓ moon", "   ✓ sun")
        assert len({color for _, color in pilot.app.runs._marks.values()}) == 2  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, "   ✓ comet", "▌┃ ✓ moon")
        await pilot.press("n")
        await until(pilot, "page 2/3", "m3")
        await pilot.press("N", "slash", *"m[37]$")
        await until(pilot, "filter metrics: m[37]$", "Metrics 2 of 11")
        await pilot.press("enter", "right", "y", "x", "plus", "plus")
        shown = await until(pilot, "by time, smoothed 0.8", "log", "s ")
        assert re.search(r"▌m7 +log", shown)
        await pilot.press("enter")
        await until(pilot, "Metrics 2 of 11  page 2/2")
        await pilot.press("escape", "ctrl+l")
        await until(pilot, "Metrics 11", "m3")
        await pilot.press("0", "c", "1")
        await until(pilot, "Metrics 11  page 5/6", without="smoothed")

    view(store, play)


def test_panes_fold_and_help_tells_the_keys(store: Path) -> None:
    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, "Runs 3", "Overview", "System 1", "Console", "lr")
        await pilot.press("left_square_bracket", "right_square_bracket", "2", "4")
        shown = await until(pilot, "Metrics 11", without="Overview")
        assert not {"Runs", "System", "Console"} & set(re.findall(r"\w+", shown))
        await pilot.press("0")
        await until(pilot, "Runs 3", "Overview", "System 1", "Console")
        await pilot.press("question_mark")
        await until(pilot, "quit", "Esc closes")
        await pilot.press("escape", "f", *"moon|sun", "enter")
        await until(pilot, "Runs 2 of 3", "▌┃ ✓ moon", without="comet")
        await pilot.press("f", "(")
        await until(pilot, "Runs 2 of 3")
        await pilot.press("escape")
        await until(pilot, "Runs 3", "comet")
        await pilot.press("tab")
        assert pilot.app.focused is pilot.app.query_one("#charts")
        await pilot.press("q")

    view(store, play)


def test_the_mouse_chooses_runs_and_charts(store: Path) -> None:
    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, "Runs 3", "Metrics 11")
        await pilot.click("#runs", offset=(10, 3))
        await until(pilot, "▌┃ ✓ sun")
        await pilot.click("#runs", offset=(1, 2))
        await until(pilot, " ┃ ✓ sun", "▌┃ ✓ moon")
        await pilot.click("#charts", offset=(40, 3))
        await until(pilot, "▌m0")
        await pilot.click("#charts", offset=(40, 3), times=2)
        await until(pilot, "Metrics 11  page 2/11")

    view(store, play)


def test_any_size_of_terminal_shows_what_fits(store: Path) -> None:
    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, "Runs 3", "Metrics 11")
        for width, height in ((200, 50), (80, 24), (40, 10), (12, 4), (3, 1), (120, 40)):
            await pilot.resize_terminal(width, height)
            await pilot.press("n", "tab")
        shown = await until(pilot, "Runs 3", "Metrics 11", "Overview")
        assert {len(line) for line in shown.splitlines()} == {120}
        await pilot.resize_terminal(80, 24)
        await until(pilot, "Runs 3", "Metrics 11", "m9", without="Overview")

    view(store, play)


def test_what_runs_say_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    path = tmp_path / ".store"
    said = [
        metric(2, {HOSTILE: 1.0, "system/" + HOSTILE: 2.0, "k" * 10_000: float("nan")}),
        metric(3, {HOSTILE: 2.0, "k" * 10_000: float("inf")}),
        (Kind.CONSOLE, 3, {"stream": "stdout", "text": HOSTILE + "z" * 10_000}),
    ]
    facts = {"notes": HOSTILE, "tags": [HOSTILE], "git": {"branch": HOSTILE, "commit": HOSTILE}}
    config = {HOSTILE: HOSTILE, "long": "v" * 10_000}
    make_run(path, "bad", 1, name=HOSTILE, said=said, attributes=facts, config=config)
    make_run(path, "long", 2, name="n" * 10_000, state="failed")

    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, "✗ nnnnn")
        await pilot.press("j", "space")
        shown = await until(pilot, r"✓ \x1b[31m", "[bold red]", "not shown")
        assert not UNSAFE.search(shown)
        assert {len(line) for line in shown.splitlines()} == {200}
        await pilot.press("slash", *"[bold")
        assert not UNSAFE.search(screen(pilot))

    view(path, play, size=(200, 50))


def test_a_store_without_runs_and_a_run_that_vanishes(tmp_path: Path) -> None:
    path = create_store(tmp_path / ".store").path

    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, "no runs yet")
        run = make_run(path, "r1", 1, name="sun")
        await until(pilot, "▌┃ ✓ sun", "Metrics 1")
        other = make_run(path, "r2", 2, name="moon")
        await until(pilot, "   ✓ moon", "▌┃ ✓ sun")
        shutil.rmtree(run.path)
        await until(pilot, "▌┃ ✓ moon", "Runs 1", without="sun")
        (other.database).write_bytes(b"x" * 5000)
        await until(pilot, "? r2", "damaged")
        shutil.rmtree(other.path)
        await until(pilot, "no runs yet", "Runs 0", "no metrics yet", without="r2")

    view(path, play)


def test_a_shared_store_is_watched_from_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".store"
    near, far = Host(tmp_path, "node-a"), Host(tmp_path, "node-b")
    writer = Writer(path, "live1", environment=far.environment)
    assert create_store(path).is_shared
    writer.log(20)
    for name, value in near.environment.items():
        monkeypatch.setenv(name, value)

    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, "● live1", "now at step 20", "0.19")
        writer.log(20)
        await until(pilot, "now at step 40", "0.39")
        writer.finish()
        await until(pilot, "✓ live1")

    view(path, play, run=None)


def test_smoothing_keeps_a_constant_and_gaps_and_follows_late() -> None:
    nan = float("nan")
    assert smooth(range(5), [2.0, 2.0, 2.0, 2.0, 2.0], 0.9) == pytest.approx([2.0] * 5)
    assert smooth([0, 1, 2], [0.0, 1.0, 1.0], 0.5) == pytest.approx([0.0, 2 / 3, 6 / 7])
    assert smooth([0, 1, 2], [0.0, nan, 1.0], 0.5) == pytest.approx([0, nan, 2 / 3], nan_ok=True)
    assert smooth([3, 2, 1], [1.0, 0.0, 0.0], 0.5) == pytest.approx([4 / 7, 0.0, 0.0])
    assert smooth([], [], 0.5) == []


def test_a_filter_minds_capitals_only_where_it_has_some() -> None:
    assert compiled("loss") is not None
    assert compiled("loss").search("Train/LOSS")  # type: ignore[union-attr]
    assert not compiled("Loss").search("train/loss")  # type: ignore[union-attr]
    assert compiled("(") is None
    assert compiled("") is None


def test_the_manual_lists_the_keys() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "watch.md").read_text()
    told = dict(re.findall(r"^\| `(.+?)` \| (.*?) \|$", manual, re.MULTILINE))
    assert told == {key.shown: key.help for key in EVERY} | dict(MOUSE)

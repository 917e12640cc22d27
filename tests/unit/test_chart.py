"""The line chart, read back from its characters."""

from __future__ import annotations

import io
import math
import random
import re
import subprocess
import sys
from array import array
from typing import Any

import pytest

from store.api.chart import chart_lines, line_chart, supports_braille
from store.api.text import text_width

STEPS = list(range(1000))
SINE = [math.sin(step / 100) for step in STEPS]


def bare(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def drawing(lines: list[str]) -> list[str]:
    """What stands right of the y axis, line by line."""
    return [re.split("[│┤]", line, maxsplit=1)[1] for line in lines if re.search("[│┤]", line)]


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """(column, row) of every braille dot."""
    places = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
    return {
        (2 * column + x, 4 * row + y)
        for row, line in enumerate(drawing(lines))
        for column, char in enumerate(line)
        for bit, (x, y) in enumerate(places)
        if "\u2800" <= char <= "\u28ff" and (ord(char) - 0x2800) >> bit & 1
    }


def labels(lines: list[str]) -> list[str]:
    return [line.split("┤")[0].strip() for line in lines if "┤" in line]


def test_a_sine_has_round_ticks_and_three_steps() -> None:
    lines = line_chart([("sine", STEPS, SINE)], width=80, height=18)
    assert len(lines) == 18
    assert lines[0].strip() == "sine"
    assert labels(lines) == ["1.0", "0.5", "0.0", "-0.5", "-1.0"]
    assert lines[-1].split() == ["step", "0", "500", "999"]
    assert all(text_width(line) <= 80 for line in lines)


@pytest.mark.parametrize("seed", range(5))
def test_every_point_of_a_noisy_series_is_on_the_chart(seed: int) -> None:
    """M4 gives the picture of all points: no spike is lost, nothing drawn beyond the extremes."""
    draw = random.Random(seed)
    xs = sorted(draw.uniform(0, 50) for _ in range(5000))
    ys = [draw.gauss(0, 0.1) for _ in xs]
    ys[draw.randrange(5000)], ys[draw.randrange(2500)] = 1.0, -1.0
    lines = line_chart([("noise", xs, ys)], width=70, height=20)
    found = dots(lines)
    columns, rows = 2 * (70 - len("-1.0 ┤")) - 1, 4 * len(drawing(lines)) - 1
    expected = {
        (round((x - xs[0]) / (xs[-1] - xs[0]) * columns), round((1 - y) / 2 * rows))
        for x, y in zip(xs, ys, strict=True)
    }
    assert expected <= found
    for column in range(columns + 1):
        near = [row for at, row in expected if abs(at - column) <= 1]
        drawn = [row for at, row in found if at == column]
        assert min(near) <= min(drawn) <= max(drawn) <= max(near)


def test_a_spike_among_many_points_is_seen() -> None:
    ys = [0.0] * 200_000
    ys[123_456] = 10.0
    lines = line_chart([("spike", range(200_000), ys)], width=60, height=12)
    found = dots(lines)
    assert {column for column, row in found if row == 0} == {round(123_456 / 199_999 * 107)}
    assert labels(lines)[0] == "10"


def test_a_step_function_is_flat_with_one_edge() -> None:
    ys = [1.0 if step < 500 else 0.0 for step in STEPS]
    found = dots(line_chart([("lr", STEPS, ys)], width=60, height=12))
    rows = sorted({row for _, row in found})
    middle = {column for column, row in found if row not in (rows[0], rows[-1])}
    assert len(middle) <= 2


def test_points_are_drawn_in_the_order_of_x() -> None:
    order = STEPS[:]
    random.Random(1).shuffle(order)
    shuffled = line_chart([("s", order, [SINE[i] for i in order])], width=60, height=12)
    assert shuffled == line_chart([("s", STEPS, SINE)], width=60, height=12)


def test_arrays_are_taken() -> None:
    plain = line_chart([("s", STEPS, SINE)], width=60, height=12)
    assert line_chart([("s", array("q", STEPS), array("d", SINE))], width=60, height=12) == plain


def test_gaps_interrupt_the_line_and_are_counted() -> None:
    ys = [math.nan if 300 <= step < 400 else float(step % 7) for step in STEPS]
    ys[700] = math.inf
    lines = line_chart([("s", STEPS, ys)], width=80, height=12)
    assert lines[-1] == "not shown: 100 NaN, 1 infinite"
    used = {column for column, _ in dots(lines)}
    width = 2 * (80 - len("step ┤")) - 1
    first, last = round(299 / 999 * width), round(400 / 999 * width)
    assert not used & set(range(first + 1, last))
    assert {first, last} <= used


def test_an_x_that_is_no_number_is_counted() -> None:
    lines = line_chart([("s", [0, math.nan, 2], [1, 2, 3])], width=40, height=8)
    assert lines[-1] == "not shown: 1 NaN"
    assert lines[-2].split() == ["step", "0", "1", "2"]


def test_one_point_stands_in_the_middle_with_its_value() -> None:
    lines = line_chart([("one", [17], [0.693])], width=60, height=10)
    rows = drawing(lines)
    assert labels(lines) == ["0.693"]
    assert [row for row in range(len(rows)) if "●" in rows[row]] == [len(rows) // 2]
    column = next(row.index("●") for row in rows if "●" in row)
    assert abs(column - (60 - len("0.693 ┤")) // 2) <= 1
    assert lines[-1].split() == ["step", "17"]


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e-12, 1e250])
def test_a_constant_is_a_line_in_the_middle(value: float) -> None:
    lines = line_chart([("const", STEPS, [value] * 1000)], width=60, height=11)
    assert len({row for _, row in dots(lines)}) == 1
    assert len(labels(lines)) == 1
    assert float(labels(lines)[0]) == value


@pytest.mark.parametrize("series", [[], [("none", [], [])], [("nan", [1], [math.nan])]])
def test_nothing_to_draw_says_so(series: Any) -> None:
    text = "\n".join(line_chart(series, width=50, height=8))
    assert "no points to show" in text
    assert ("not shown: 1 NaN" in text) == (len(series) == 1 and series[0][0] == "nan")


def test_a_logarithmic_axis_has_decades_and_counts_what_it_cannot_show() -> None:
    ys = [10.0 ** (-step / 250) for step in STEPS]
    ys[500] = 0.0
    lines = line_chart([("loss", STEPS, ys)], width=60, height=16, log_y=True)
    assert labels(lines) == ["1", "0.1", "0.01", "0.001"]
    assert lines[-1] == "not shown: 1 not above 0"
    straight = line_chart([("x", STEPS, STEPS)], width=60, height=16)
    assert len(dots(lines)) == pytest.approx(len(dots(straight)), rel=0.3)


def test_a_narrow_logarithmic_axis_still_has_labels() -> None:
    lines = line_chart([("s", STEPS, [3 + y / 10 for y in SINE])], width=60, height=16, log_y=True)
    assert len(labels(lines)) >= 2


def test_several_series_are_told_apart_without_colour() -> None:
    series = [("train", STEPS, SINE), ("val", STEPS, [-y for y in SINE])]
    lines = line_chart(series, width=80, height=16, title="calm-otter")
    assert lines[0].strip() == "calm-otter"
    assert lines[1].split() == ["─a─", "train", "─b─", "val"]
    text = "".join(drawing(lines))
    assert "a" in text
    assert "b" in text
    assert "\x1b" not in "".join(lines)


def test_several_series_are_told_apart_by_colour() -> None:
    series = [("train", STEPS, SINE), ("val", STEPS, [-y for y in SINE])]
    lines = line_chart(series, width=80, height=16, color=True)
    assert "\x1b[36m───\x1b[0m train" in lines[0]
    assert "\x1b[33m───\x1b[0m val" in lines[0]
    assert any("\x1b[36m" in line and "\x1b[33m" in line for line in lines[1:])
    assert not set("ab") & set(bare("".join(drawing(lines))))
    assert all(text_width(bare(line)) <= 80 for line in lines)


def test_ascii_only_is_ascii_with_names_too() -> None:
    series = [("損失", STEPS, SINE), ("größe", STEPS, [-y for y in SINE])]
    lines = line_chart(series, width=60, height=14, title="läuft", ascii_only=True)
    assert "\n".join(lines).isascii()
    assert lines[1].split() == ["-a-", "??", "-b-", "gr??e"]
    one = line_chart(series[:1], width=60, height=14, ascii_only=True)
    assert set("/\\") <= set("".join(one))


def test_hostile_names_are_shown_escaped() -> None:
    hostile = "x\x1b[2J\u202e"
    series = [(hostile, STEPS, SINE), ("b", STEPS, SINE)]
    text = "\n".join(line_chart(series, width=90, height=9, title=hostile, x_label=hostile))
    assert not set(text) & {"\x1b", "\u202e"}
    assert text.count("x\\x1b[2J\\u202e") == 2


def test_large_and_close_values_have_labels_that_differ() -> None:
    for low, span in ((0.0, 3e9), (1e9, 1e-3), (0.0, 2e-7), (-5e7, 1e8), (1e12, 10.0)):
        ys = [low + span * step / 999 for step in STEPS]
        found = labels(line_chart([("s", STEPS, ys)], width=80, height=14))
        assert len(set(found)) == len(found) >= 3


def test_steps_that_are_times_are_labelled_to_the_second() -> None:
    times = [1_700_000_000 + step / 10 for step in STEPS]
    last = line_chart([("s", times, SINE)], width=80, height=9, x_label="time")[-1]
    assert last.split() == ["time", "1700000000", "1700000050", "1700000099.9"]


def awkward(draw: random.Random) -> float:
    special = [0.0, -0.0, 5e-324, 1e-310, 1e308, -1e308, 9e299, math.nan, math.inf, -math.inf, 1e16]
    return draw.choice([draw.choice(special), draw.gauss(0, 10.0 ** draw.randrange(-9, 9))])


@pytest.mark.parametrize("seed", range(60))
def test_any_input_gives_lines_within_the_width(seed: int) -> None:
    draw = random.Random(seed)
    series = []
    for _ in range(draw.randrange(0, 16)):
        size = draw.randrange(0, 6)
        xs, ys = [[awkward(draw) for _ in range(size)] for _ in "xy"]
        series.append((draw.choice(["loss", "損失" * 9, "e\u0301" * 5]), xs, ys))
    width, height = draw.randrange(1, 90), draw.randrange(1, 30)
    for log_y in (False, True):
        for color, ascii_only in ((True, False), (False, True), (False, False)):
            lines = line_chart(
                series,
                width=width,
                height=height,
                title="t" * 30,
                log_y=log_y,
                color=color,
                ascii_only=ascii_only,
            )
            assert all(text_width(bare(line)) <= width for line in lines)
            # 3 rows, two lines of x axis, title, footer and at least one line of legend
            assert len(lines) <= max(height, 7 + max(1, height // 4))


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 x values but 1 y"):
        line_chart([("s", [1, 2], [1])], width=40, height=8)


def test_the_encoding_of_the_stream_decides_about_braille() -> None:
    for encoding, expected in (("utf-8", True), ("ascii", False), ("latin-1", False)):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        assert supports_braille(stream) is expected


def test_the_chart_needs_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from store.api.chart import line_chart\n"
        "print(len(line_chart([('s', range(10), range(10))], width=40, height=9)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "9\n"


def test_lines_behind_others_are_seen_only_beside_them_and_have_no_name() -> None:
    noise = [value + 0.2 * (-1) ** step for step, value in enumerate(SINE)]
    series = [("raw", STEPS, noise), ("smooth", STEPS, SINE)]
    lines = chart_lines(series, width=60, height=14, colors=("back", "front"), behind=1)
    alone = chart_lines(series[1:], width=60, height=14, colors=("front",))
    assert lines[0] == alone[0]
    styles = [style for line in lines for text, style in line if "\u2800" < text <= "\u28ff"]
    assert {"back", "front"} == set(styles)
    bare_front = chart_lines(
        [("edges", [0, 0, 999, 999], [min(noise), max(noise)] * 2), *series[1:]],
        width=60,
        height=14,
        colors=("back", "front"),
        behind=1,
    )
    front = sum(style == "front" for line in bare_front for _, style in line)
    assert styles.count("front") == front


def test_a_low_chart_is_filled_by_its_values() -> None:
    values = [0.95 + 1.1 * step / 1000 for step in STEPS]
    lines = line_chart([("acc", STEPS, values)], width=40, height=7)
    rows = {row for _, row in dots(lines)}
    assert rows == set(range(4 * 4))
    assert labels(lines)

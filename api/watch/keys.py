"""The keys, those of wandb's terminal view where it has the same; help and manual list them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Key(NamedTuple):
    """Keys (by textual's names, with commas), what they do, and how people call them."""

    keys: str
    action: str
    help: str
    shown: str


GENERAL: Final = (
    Key("h,question_mark", "help", "this help", "h ?"),
    Key("q,ctrl+c", "leave", "quit", "q Ctrl-C"),
    Key("tab", "next_pane", "next section", "Tab"),
    Key("shift+tab", "previous_pane", "section before", "Shift-Tab"),
    Key("escape", "step_back", "back: from one chart to all, to the list of runs", "Esc"),
)
PANES: Final = (
    Key("left_square_bracket", "fold('runs')", "fold the list of runs", "["),
    Key("right_square_bracket", "fold('overview')", "fold the overview", "]"),
    Key("1", "fold('charts')", "fold the charts", "1"),
    Key("2", "fold('system')", "fold the system metrics", "2"),
    Key("4", "fold('console')", "fold the console", "4"),
    Key("0", "reset", "all as it was at first", "0"),
)
MOVING: Final = (
    Key("up,k,w", "move(0, -1)", "up", "↑ k w"),
    Key("down,j,s", "move(0, 1)", "down", "↓ j s"),
    Key("left,a", "move(-1, 0)", "left (in lists: a page up)", "← a"),
    Key("right,d", "move(1, 0)", "right (in lists: a page down)", "→ d"),
    Key("n,pagedown", "turn(1)", "next page of charts or lines", "n PgDn"),
    Key("N,pageup", "turn(-1)", "page before", "N PgUp"),
    Key("home", "edge(False)", "to the first", "Home"),
    Key("end", "edge(True)", "to the last; a console follows again", "End"),
)
RUNS: Final = (
    Key("enter", "open", "see this run alone; a chart: see it large", "Enter"),
    Key("space", "select", "draw this run together with others, or no longer", "Space"),
    Key("f", "filter('runs')", "filter runs (regex over name, path, state, tags)", "f"),
    Key("ctrl+f", "clear('runs')", "all runs", "Ctrl-F"),
)
CHARTS: Final = (
    Key("slash", "filter('charts')", "filter metrics (regex)", "/"),
    Key("ctrl+l,ctrl+underscore", "clear('charts')", "all metrics", "Ctrl-L Ctrl-/"),
    Key("backslash", "filter('system')", "filter system metrics (regex)", "\\"),
    Key("ctrl+backslash", "clear('system')", "all system metrics", "Ctrl-\\"),
    Key("y", "log_y", "logarithmic y axis of the chart in focus", "y"),
    Key("x", "x_axis", "x axis: step, time since the run began", "x"),
    Key("plus,equals_sign", "smooth(1)", "smooth more", "+"),
    Key("minus", "smooth(-1)", "smooth less", "-"),
    Key("c", "ask('columns')", "then a digit: columns of charts (0: as fits)", "c"),
    Key("r", "ask('rows')", "then a digit: rows of charts (0: as fits)", "r"),
)
SECTIONS: Final = {
    "General": GENERAL,
    "Sections": PANES,
    "Moving in a section": MOVING,
    "Runs": RUNS,
    "Charts": CHARTS,
}
MOUSE: Final = (
    ("click", "a run: see it alone; its left edge: draw it with others; a chart: focus"),
    ("double click", "a chart: see it large, or again with the others"),
    ("wheel", "charts: pages; lists and console: scroll"),
)
EVERY: Final = tuple(key for keys in SECTIONS.values() for key in keys)

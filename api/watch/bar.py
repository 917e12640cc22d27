"""The last line: what the keys are, what is wrong, or the filter that is being written."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from store.api.shell import plural
from store.api.watch import look
from store.api.watch.wish import News

HINTS: Final = (
    ("h", "help"),
    ("q", "quit"),
    ("Tab", "section"),
    ("Space", "compare"),
    ("/", "filter"),
    ("n N", "page"),
    ("y", "log"),
    ("x", "axis"),
    ("+ -", "smooth"),
    ("[ ]", "fold"),
)
LABELS: Final = {"runs": "runs", "charts": "metrics", "system": "system metrics"}


class Bar(Horizontal):
    """Shows hints, or asks for a filter."""

    class Filtered(Message):
        """Another filter holds for a pane; None: none."""

        def __init__(self, pane: str, pattern: re.Pattern[str] | None) -> None:
            super().__init__()
            self.pane = pane
            self.pattern = pattern

    class Done(Message):
        """The filter is written."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    BINDINGS: ClassVar = [Binding("escape", "cancel", show=False)]

    def __init__(self) -> None:
        super().__init__()
        self._pane = ""
        self._filters: dict[str, str] = {}
        self._trouble = ""
        self._said = ""
        self._hints = Static(id="hints")
        self._label = Static(id="label")
        self._input = Input(id="filter", compact=True, select_on_focus=False)

    def compose(self) -> ComposeResult:
        yield self._hints
        yield self._label
        yield self._input

    def on_mount(self) -> None:
        self._label.display = self._input.display = False
        self._show()

    def say(self, message: str) -> None:
        """Say this in place of the hints; an empty text ends it."""
        self._said = message
        self._show()

    def update_news(self, news: News) -> None:
        """What is wrong with the store, if anything is."""
        parts = []
        if "" in news.troubles:
            parts.append(news.troubles[""])
        if news.stale:
            parts.append(f"{plural(len(news.stale), 'run')} locked by another process: may be old")
        trouble = "; ".join(parts)
        if trouble != self._trouble:
            self._trouble = trouble
            self._show()

    def _show(self) -> None:
        text = Text(no_wrap=True, overflow="ellipsis")
        if self._said or self._trouble:
            color = look.ACCENT if self._said else look.WARN
            text.append(f" {look.clean(self._said or self._trouble)}", Style(color=color))
        else:
            for key, about in HINTS:
                text.append(f" {key}", Style(color=look.ACCENT, bold=True))
                text.append(f" {about} ", Style(color=look.MUTED))
        self._hints.update(text)

    # -- the filter ----------------------------------------------------------------------------

    def ask(self, pane: str) -> None:
        """Let a filter for the pane be written."""
        self._pane = pane
        self._label.update(Text(f" filter {LABELS[pane]}: ", Style(color=look.ACCENT)))
        with self._input.prevent(Input.Changed):
            self._input.value = self._filters.get(pane, "")
        self._input.cursor_position = len(self._input.value)
        self._set_asking(True)
        self._input.focus()

    def forget(self, pane: str) -> None:
        """There is no filter for the pane any more."""
        self._filters.pop(pane, None)

    def _set_asking(self, is_asking: bool) -> None:
        self._hints.display = not is_asking
        self._label.display = self._input.display = is_asking

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        pattern = compiled(event.value)
        self._input.set_class(pattern is None and bool(event.value), "-wrong")
        if pattern is not None or not event.value:
            self._filters[self._pane] = event.value
            self.post_message(self.Filtered(self._pane, pattern))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._end()

    def action_cancel(self) -> None:
        """Esc takes the filter away."""
        self.forget(self._pane)
        self.post_message(self.Filtered(self._pane, None))
        self._end()

    def _end(self) -> None:
        self._set_asking(False)
        self.post_message(self.Done(self._pane))


def compiled(text: str) -> re.Pattern[str] | None:
    """The pattern; capitals count where it has some. None: empty, or no regular expression."""
    try:
        return re.compile(text, re.IGNORECASE if text == text.lower() else 0) if text else None
    except (re.error, RecursionError, OverflowError):
        return None

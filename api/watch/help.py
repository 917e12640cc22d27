"""The screen that lists the keys."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from store.api.watch import look
from store.api.watch.keys import MOUSE, SECTIONS


class Help(ModalScreen[None]):
    """Any of its keys closes it."""

    BINDINGS: ClassVar = [
        Binding("h,question_mark,q,escape,enter,ctrl+c", "dismiss", priority=True),
        Binding("j", "app.simulate_key('down')", show=False),
        Binding("k", "app.simulate_key('up')", show=False),
    ]
    DEFAULT_CSS: ClassVar[str] = """
    Help { align: center middle; background: $background 60%; }
    Help VerticalScroll {
        width: 74; max-width: 100%; height: auto; max-height: 100%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    Help Static { height: auto; }
    """

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Keys"
            box.border_subtitle = "Esc closes"
            yield Static(_text())


def _text() -> Text:
    text = Text()
    for number, (title, keys) in enumerate(SECTIONS.items()):
        text.append("\n" * bool(number) + title + "\n", Style(bold=True, color=look.ACCENT))
        for key in keys:
            text.append(f"  {key.shown:<14}", Style(color=look.TEXT))
            text.append(f"{key.help}\n", Style(color=look.MUTED))
    text.append("\nMouse\n", Style(bold=True, color=look.ACCENT))
    for name, about in MOUSE:
        text.append(f"  {name:<14}", Style(color=look.TEXT))
        text.append(f"{about}\n", Style(color=look.MUTED))
    text.rstrip()
    return text

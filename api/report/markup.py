"""HTML by construction: a tree of elements, which the standard library escapes as it writes it.

Every text and attribute goes through `visible` on its way in: what a run calls itself can be no
markup, and can turn nothing that stands beside it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final
from xml.etree.ElementTree import Element, tostring

from store.api.text import cut_text, text_width, visible

LONGEST: Final = 300
"""Cells of a name or a value that are shown."""
WHOLE: Final = 32
"""A word of more cells than that may be broken."""


def element(tag: str, *content: Element | str, **attributes: str | float | None) -> Element:
    """An element with its content.

    Args:
        attributes: `class_` is class, any other `_` in a name is `-`; None leaves one out.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            made.set(name.rstrip("_").replace("_", "-"), visible(str(value)))
    for part in content:
        if not isinstance(part, str):
            made.append(part)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + visible(part)
        else:
            made.text = (made.text or "") + visible(part)
    return made


def named(text: str, width: int = LONGEST) -> Element:
    """A text of others: cut to `width`, and of a direction of its own."""
    shown = cut_text(visible(text[: 2 * width]), width)
    return element("bdi", shown, class_="long" if text_width(shown) > WHOLE else None)


def lines_of(text: str) -> list[Element | str]:
    """A text of several lines as content."""
    first, *others = text.splitlines() or [""]
    found: list[Element | str] = [first]
    for line in others:
        found += [element("br"), line]
    return found


def source(tag: str, text: str) -> tuple[Element, str]:
    """A style or script of ours, and how a Content-Security-Policy names it."""
    made = Element(tag)
    made.text = text
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return made, f"'sha256-{digest}'"


def document(root: Element) -> str:
    """The text of a whole HTML file."""
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}\n"

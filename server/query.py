"""The query of a request, strictly: unknown and repeated parameters are refused, not passed over.

A filter with a typing error that is passed over would answer with all runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams

from store.server.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request


class Query:
    """The parameters behind the question mark. All methods raise Problem 400."""

    def __init__(self, request: Request | QueryParams, *known: str) -> None:
        given = request if isinstance(request, QueryParams) else request.query_params
        self._given = given
        unknown = sorted(self._given.keys() - set(known))
        if unknown:
            hint = f"known: {', '.join(known)}" if known else "there are none here"
            raise bad_request(f"unknown parameter {unknown[0][:80]!r}", hint)

    def text(self, name: str) -> str | None:
        """A parameter that may be given once."""
        found = self._given.getlist(name)
        if len(found) > 1:
            raise bad_request(f"{name} is given {len(found)} times")
        return found[0] if found else None

    def texts(self, name: str, most: int) -> list[str]:
        """A parameter that may be given up to `most` times."""
        found = self._given.getlist(name)
        if len(found) > most:
            raise bad_request(f"{name} may be given {most} times")
        return found

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        text = self.text(name)
        if text is None:
            return default
        digits = text.removeprefix("-")
        number = int(text) if digits.isascii() and digits.isdecimal() and len(text) < 20 else None
        if number is None or not least <= number <= most:
            raise bad_request(f"{name} is a whole number from {least} to {most}")
        return number

    def number(self, name: str) -> float | None:
        """A finite number, if there is one."""
        text = self.text(name)
        if text is None:
            return None
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise bad_request(f"{name} is a number, not {text[:80]!r}")
        return found

    def choice(self, name: str, options: Sequence[str]) -> str:
        """One of `options`; the first one when it is not given."""
        text = self.text(name)
        if text is None:
            return options[0]
        if text not in options:
            raise bad_request(f"{name} is one of {', '.join(options)}")
        return text


def bad_request(message: str, hint: str | None = None) -> Problem:
    return Problem(400, "bad_request", message, hint)

"""The frame of every page: the Jinja2 environment, what all templates know, and the headers.

A template gets what its handler gives, and `local`, `user`, `crumbs`, `static()`. Everything is
escaped; what scripts need stands in a `<script type="application/json">` (filter `data`) or is
fetched. Nothing inline runs: the policy allows scripts and styles of this server's files only.
"""

from __future__ import annotations

import functools
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from store import __version__
from store.jsontext import to_json
from store.server.access import NOBODY
from store.server.context import server_of
from store.server.pages.static import static_url

if TYPE_CHECKING:
    from starlette.requests import Request

WEB: Final = Path(__file__).parents[1] / "web"
POLICY: Final = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    # With no-referrer a form's POST has "Origin: null", which is what a stranger's has.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NOTHING: Final = "\u2013"
"""What stands where there is no value."""
Crumbs = list[tuple[str, str]]


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    crumbs: Crumbs | None = None,
    **facts: Any,
) -> Response:
    """A template as an answer. `crumbs`: (text, address) of the pages above this one, and this."""
    text = fragment(request, template, crumbs=crumbs or [], **facts)
    return HTMLResponse(text, status, dict(HEADERS))


def fragment(request: Request, template: str, **facts: Any) -> str:
    """A template as text, such as a part that a script puts into a page."""
    server = server_of(request)
    # Who was turned away at the door is not known by name.
    caller = getattr(request.state, "caller", NOBODY)
    known = {"local": server.is_local, "user": caller.user}
    text = environment().get_template(template).render({**known, **facts})
    # What a run calls itself may hold half a character.
    return text.encode("utf-8", "replace").decode()


@functools.cache
def environment() -> jinja2.Environment:
    """The environment of all templates."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"static": static_url, "version": __version__, "url": url}
    made.filters |= {
        "data": data,
        "number": number,
        "size": size,
        "span": span,
        "ago": ago,
        "moment": moment,
        "visible": visible,
        "with_prefix": lambda key, prefix: (f"{prefix}{key}", key),
    }
    return made


def url(*parts: str) -> str:
    """An address of this server, from names as they are: url("ann", "a/b") is /ann/a%2Fb."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


# -- filters -----------------------------------------------------------------------------------

_SCRIPT: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def data(value: object) -> Markup:
    """JSON that may stand in a script element."""
    return Markup(to_json(value).translate(_SCRIPT))


def number(value: object) -> str:
    """A number with 5 digits, or any other value as text; NaN and None are a dash."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING if value is None else value if isinstance(value, str) else to_json(value)
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    return f"{value:.5g}"


def size(count: float | None) -> str:
    """Bytes for people: 1.5 MB."""
    if count is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(seconds: float | None) -> str:
    """A duration for people: "42 s", "3 min", "2 h 5 min", "3 d"."""
    if seconds is None:
        return NOTHING
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ago(at: float | None) -> Markup:
    """A time as its age, kept true by a script."""
    if at is None:
        return Markup(NOTHING)
    age = max(0.0, time.time() - at)
    for length, unit in ((86400 * 2, "d"), (3600, "h"), (60, "min"), (5, "s")):
        if age >= length:
            divisor = {"d": 86400, "h": 3600, "min": 60, "s": 1}[unit]
            words = f"{int(age // divisor)} {unit} ago"
            break
    else:
        words = "just now"
    return Markup('<time data-at="{}" datetime="{}">{}</time>').format(at, moment(at), words)


def moment(at: float | None) -> str:
    """A time in UTC, as ISO 8601."""
    if at is None or not 0 <= at < 1e11:
        return NOTHING
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


_BIDI: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROL: Final[dict[int, str]] = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(9), *range(11, 32), *range(0x7F, 0xA0), *_BIDI)
}


def visible(text: object) -> str:
    """A text whose control characters are escapes, so that it cannot turn what stands beside it."""
    return str(text).translate(_CONTROL)

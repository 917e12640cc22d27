"""/licenses: whose work is in the pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import Response

from store.server.pages.frame import page
from store.server.pages.static import files
from store.server.query import Query

if TYPE_CHECKING:
    from starlette.requests import Request

_VENDOR = "vendor/"


async def show_licenses(request: Request) -> Response:
    """The page."""
    Query(request)
    found = files()
    versions = found.get(f"{_VENDOR}versions.json")
    names = json.loads(versions.read_bytes()) if versions else {}
    texts = [
        path.read_text(encoding="utf-8")
        for name, path in found.items()
        if name.startswith(_VENDOR) and name.endswith(".LICENSE.txt")
    ]
    works = [(name, facts["version"]) for name, facts in names.items()]
    crumbs = [("Licences", "")]
    return page(request, "licenses.html", crumbs=crumbs, works=works, texts=texts)

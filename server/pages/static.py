"""The files of web/static, by addresses that change with their content: /static/<version>/...

The version is a digest of all files, so that modules may import each other by relative addresses
and everything may be kept for ever. Only names that were found when the process started are
served: no path is made of what a request says.
"""

from __future__ import annotations

import functools
import gzip
import mimetypes
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import FileResponse, Response

from store.server.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

STATIC: Final = Path(__file__).parents[1] / "web" / "static"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@functools.cache
def files() -> dict[str, Path]:
    """The files by their names below web/static."""
    return {
        path.relative_to(STATIC).as_posix(): path
        for path in sorted(STATIC.rglob("*"))
        if path.is_file()
    }


@functools.cache
def version() -> str:
    """The digest of all names and contents."""
    digest = blake2b(digest_size=6)
    for name, path in files().items():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def static_url(name: str) -> str:
    """The address of a file."""
    return f"/static/{version()}/{name}"


async def show_static(request: Request) -> Response:
    """A file, with or without a version before its name."""
    first, _, rest = str(request.path_params["path"]).partition("/")
    name = rest if rest in files() else f"{first}/{rest}".rstrip("/")
    path = files().get(name)
    if path is None:
        raise Problem(404, "not_found", "there is no such file")
    is_kept = rest == name and first == version()
    tag = f'"{version()}"'
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if is_kept else "no-cache",
        "ETag": tag,
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers["Vary"] = "Accept-Encoding"
    if path.suffix in _TYPES and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            _packed(path), headers=headers | {"Content-Encoding": "gzip"}, media_type=kind
        )
    return FileResponse(path, media_type=kind, headers=headers)


@functools.cache
def _packed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)

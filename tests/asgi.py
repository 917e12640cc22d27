"""The server's application in this process, asked without sockets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.types import Message


@dataclass(frozen=True)
class Answer:
    """What the application said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of the error, if it is one."""
        return None if self.status < 400 else str(self.json["error"]["code"])


class Asgi:
    """Calls an application. To be closed: `with Asgi(app) as server`."""

    def __init__(self, app: Starlette) -> None:
        self.app = app
        self._runner = asyncio.Runner()

    def __enter__(self) -> Asgi:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._end())
        self._runner.close()

    async def _end(self) -> None:
        async with self.app.router.lifespan_context(self.app):
            pass

    def ask(
        self, method: str, path: str, key: str | None = None, body: object = None, **headers: str
    ) -> Answer:
        """One request. `body`: bytes, or what is to be sent as JSON; `headers`: host="..."."""
        lines = {"host": "localhost:8321", **headers}
        if key is not None:
            lines["authorization"] = f"Bearer {key}"
        content = b"" if body is None else body
        if not isinstance(content, bytes):
            content, lines["content-type"] = json.dumps(body).encode(), "application/json"
        return self._runner.run(self._ask(method, path, lines, content))

    async def _ask(self, method: str, path: str, lines: dict[str, str], body: bytes) -> Answer:
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.replace("_", "-").encode(), v.encode()) for name, v in lines.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8321),
            "state": {},
        }
        told: list[Message] = []
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            told.append(message)

        await self.app(scope, receive, send)
        start, *parts = told
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, b"".join(part.get("body", b"") for part in parts))

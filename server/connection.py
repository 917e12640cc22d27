"""A connection of uvicorn's that is closed when the head of a request does not come whole in time.

uvicorn itself waits without end for the rest of a head, and for the first byte after the connection
was made. Bodies have limits of their own (see `store.server.limits`).
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """One connection of a client. A head has `seconds`, from its first byte or the connection's."""

    seconds: ClassVar[float] = 15.0
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._unwatch()
        elif self._limit is None:
            self._limit = self.loop.call_later(self.seconds, self.transport.close)

    def _unwatch(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

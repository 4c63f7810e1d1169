"""Clients that stay connected: counted, woken together, dropped when they stop reading."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

MAX_CLIENTS = 64
WRITE_TIMEOUT_S = 2.0
SEND_BUFFER_BYTES = 128 << 10


class Client:
    """One connection that gets more than one answer's worth.

    Attributes:
        response: What the handler returns at the end.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response: web.StreamResponse = web.StreamResponse()

    async def start(self, headers: Mapping[str, str]) -> None:
        """Send the head of the answer."""
        transport = self._request.transport
        connection = None if transport is None else transport.get_extra_info("socket")
        if connection is not None:  # a large buffer would hold old pictures for a slow client
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.response.headers.update(headers)
        await self.response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        """Send ``data``; a client that takes none for two seconds is disconnected."""
        await asyncio.wait_for(self.response.write(data), WRITE_TIMEOUT_S)

    @property
    def has_left(self) -> bool:
        """Whether the connection is closed; nobody is told of it while nothing is sent."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def drop(self) -> None:
        """Cut the connection without waiting for what is still to be sent."""
        if self._request.transport is not None:
            self._request.transport.abort()


class Clients:
    """All of them. ``wake`` and ``close`` may be called from any thread."""

    def __init__(self) -> None:
        self.closing = False
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._tasks: dict[asyncio.Task[object], Client] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def wake(self) -> None:
        """Let everybody look for news."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._wake)

    async def wait(self, timeout_s: float) -> None:
        """Wait for news, at most ``timeout_s``."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)

    @contextlib.asynccontextmanager
    async def join(self, request: web.Request) -> AsyncIterator[Client]:
        """Count a client while the block runs; it may leave at any time.

        Raises:
            web.HTTPServiceUnavailable: 64 are connected already.
        """
        task = asyncio.current_task()
        if len(self._tasks) >= MAX_CLIENTS or task is None:
            raise web.HTTPServiceUnavailable(reason="too many clients")
        client = Client(request)
        self._tasks[task] = client
        try:
            yield client
        except (asyncio.TimeoutError, ConnectionError):
            client.drop()
        finally:
            del self._tasks[task]
            if self.closing:
                client.drop()

    async def close(self) -> None:
        """Send everybody away, within a second."""
        self.closing = True
        self._wake()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=0.5)
        for task, client in list(self._tasks.items()):
            client.drop()
            task.cancel()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

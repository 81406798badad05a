"""The service behind: an echo by `websockets`, in a thread of its own, that remembers how sockets ended."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class EchoService:
    """Listens from `start()` to `stop()`. Sockets are told apart by the `experience` of their query."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="echo service")
        self._ends: dict[str, Future[bool]] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def has_failed(self, name: str) -> bool:
        """Whether the service failed the socket of that name itself; waits for its end."""
        ended = self._ends.setdefault(name, Future())
        async with asyncio.timeout(10):
            return await asyncio.wrap_future(ended)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        # Sizes are the gateway's to judge.
        async with serve(self._echo, sock=self._listener, max_size=4 << 20, close_timeout=2):
            await self._stop.wait()

    async def _echo(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        ended = self._ends.setdefault(query["experience"][0], Future())
        with suppress(ConnectionClosed):
            async for received in connection:
                await connection.send(received)
        ended.set_result(_has_failed(connection))


def _has_failed(connection: ServerConnection) -> bool:
    """Whether this end closed first, because of what it was sent."""
    protocol = connection.protocol
    failed = protocol.close_sent is not None and protocol.close_sent.code in {1002, 1007, 1009}
    return failed and not protocol.close_rcvd_then_sent

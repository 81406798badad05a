"""Commands to a Redis and what it replies, over one connection: a fifth of what redis-py's client costs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.connection import Connection, LoginRefused


class CommandRefused(Exception):
    """Redis has replied with an error, which str() is."""


class Pipeline:
    """One connection, opened for the first call, and for the first one after it was lost.

    Commands leave in the order of the calls. A call that is cancelled has gone out all the same; its reply is
    dropped. The caller sets deadlines, and calls `drop` where one has passed: replies come in order, and
    whatever is behind one that does not come would not, either.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._replies: deque[asyncio.Future[Any]] = deque()
        self._turn = asyncio.Lock()
        self._in_line = 0  # who waits for the connection to be opened

    async def call(self, *words: str | bytes) -> Any:
        """What Redis replies. Raises OSError: the connection is, or gets, lost; CommandRefused."""
        (reply,) = await self.replies([words])
        return told(reply)

    async def replies(self, commands: Iterable[Sequence[str | bytes]]) -> list[Any]:
        """What Redis replies to each, errors among it, in one round trip. Raises OSError likewise."""
        return [await reply for reply in await self.send(commands)]

    async def send(self, commands: Iterable[Sequence[str | bytes]]) -> list[asyncio.Future[Any]]:
        """Send them, in the order of the calls: the replies to come. Raises OSError; so may each reply."""
        if self._connection is not None and not self._in_line:
            return [self._send(*words) for words in commands]
        self._in_line += 1
        try:
            async with self._turn:
                if self._connection is None:
                    await self._open()
                return [self._send(*words) for words in commands]
        finally:
            self._in_line -= 1

    def drop(self) -> None:
        """End the connection: all who wait for a reply get OSError."""
        if self._connection is not None:
            self._connection.abort()

    async def close(self) -> None:
        """As `drop`, and wait until the socket is closed."""
        connection = self._connection
        if connection is not None:
            connection.abort()
            await connection.lost

    async def _open(self) -> None:
        connection = await Connection.open(self._address, take=self._take, on_room=_nothing)
        self._connection = connection
        connection.lost.add_done_callback(self._has_lost)
        try:
            if self._address.database:
                answer = await self._send("SELECT", str(self._address.database))
                if isinstance(answer, Exception):
                    raise LoginRefused(str(answer))
        except BaseException:  # nobody may take it for one that speaks to the right database
            connection.abort()
            self._connection = None
            raise

    def _send(self, *words: str | bytes) -> asyncio.Future[Any]:
        if self._connection is None:
            raise ConnectionError("the connection ended")
        self._connection.send(*words)  # first: what cannot be sent has no reply
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies.append(reply)
        return reply

    def _take(self, reply: object) -> None:
        waiting = self._replies.popleft()
        if not waiting.done():
            waiting.set_result(reply)

    def _has_lost(self, _: object) -> None:
        self._connection = None
        replies, self._replies = self._replies, deque()
        for waiting in replies:
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection ended"))
                waiting.exception()  # who waits for several hears of the first


def told(reply: Any) -> Any:
    """A reply; raises CommandRefused for an error."""
    if isinstance(reply, Exception):
        raise CommandRefused(str(reply))
    return reply


def _nothing() -> None:
    """Who calls waits for a reply anyway: no more is written than there are callers."""

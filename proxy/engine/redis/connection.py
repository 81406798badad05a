"""One socket to a Redis: commands out, replies in, by hiredis' reader.

It speaks RESP2, which every Redis and Valkey does, and in which all that a subscriber hears comes in the
order of the commands.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from proxy.engine.redis.address import RedisAddress

logger = logging.getLogger(__name__)

# How long replies are taken until others have their turn of the loop, and how many between two looks at the
# clock. The more come in one turn, the more of them share a write to their client.
TURN_SECONDS = 0.0015
LOOK_REPLIES = 16
# What one reply may weigh; a bigger one costs the connection, and not the process's memory.
MOST_REPLY_BYTES = 64 << 20
# How an error begins by which a Redis takes no commands at all, from anybody or from us.
SAYS_AWAY = ("LOADING ", "MASTERDOWN ", "NOAUTH ")
_NOTHING = object()


class LoginRefused(OSError):
    """The Redis takes no command of ours: a wrong password, none where one is due, no such database,
    or it still loads."""


class Connection(asyncio.Protocol):
    """One connection, from its `open` to the end of its socket.

    Attributes:
        heard_at: when anything came last, on the loop's clock.
        lost: done when the socket is gone.
        may_write: whether the Redis takes what it is sent; False while much waits for it.
    """

    def __init__(self, take: Callable[[Any], object], on_room: Callable[[], object]) -> None:
        """`take` is called with each reply: a list, bytes, or an error. What it raises costs the connection.
        `on_room`: it may be written again."""
        self._take, self._on_room = take, on_room
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._greeting: asyncio.Future[object] | None = None  # until it is logged in
        self._go_on_handle: asyncio.Handle | None = None
        self._unread_bytes = 0  # of a reply that is not whole yet, at least
        self.heard_at = self._loop.time()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.may_write = True

    @classmethod
    async def open(
        cls, address: RedisAddress, *, take: Callable[[Any], object], on_room: Callable[[], object]
    ) -> Connection:
        """A connection that is logged in; the caller sets the deadline. Raises OSError, LoginRefused."""
        loop, connection = asyncio.get_running_loop(), cls(take, on_room)
        try:
            if address.path:
                await loop.create_unix_connection(lambda: connection, address.path)
            else:
                await loop.create_connection(lambda: connection, address.host, address.port, ssl=address.tls)
            await connection._log_in(address.login)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _log_in(self, login: Sequence[str] | None) -> None:
        """Say who we are, and see whether commands are taken. Raises LoginRefused, ConnectionError."""
        for command in (login, ("PING",)):
            if command is not None:
                if self.lost.done():
                    raise ConnectionError("the connection ended before the login")
                greeting = self._greeting = self._loop.create_future()
                self.send(*command)
                answer = await greeting
                if isinstance(answer, Exception):
                    raise LoginRefused(str(answer))
        self._greeting = None

    def send(self, *words: str | bytes) -> None:
        """One command."""
        if self._transport is not None and not self._transport.is_closing():
            packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means one word
            self._transport.write(packed)

    def close(self) -> None:
        """Leave; what was sent still goes out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- The socket, called by the event loop -----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # of which uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        self._unread_bytes += len(data)
        self._reader.feed(data)
        self._read()

    def pause_writing(self) -> None:
        self.may_write = False

    def resume_writing(self) -> None:
        self.may_write = True
        self._on_room()

    def connection_lost(self, error: Exception | None) -> None:
        if self._go_on_handle is not None:
            self._go_on_handle.cancel()
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_exception(ConnectionError("the connection ended during the login"))
        if not self.lost.done():
            self.lost.set_result(None)

    # --- Replies -----

    def _read(self) -> None:
        """Take what is complete, and for no longer than a turn."""
        gets, take = self._reader.gets, self._take if self._greeting is None else self._take_greeting
        is_new, ends_at = False, time.perf_counter() + TURN_SECONDS
        try:
            while time.perf_counter() < ends_at:
                for _ in range(LOOK_REPLIES):
                    reply = gets()
                    if reply is _NOTHING:
                        self._look_at_size(is_new=is_new)
                        return
                    is_new = True
                    take(reply)
        except hiredis.ProtocolError as error:
            logger.error("what a Redis says is not its protocol", extra={"error": str(error)})
            self.abort()
            return
        except Exception:
            logger.exception("what a Redis says is no reply to what it was asked")
            self.abort()
            return
        if self._transport is not None and self._go_on_handle is None:
            self._transport.pause_reading()
            self._go_on_handle = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._go_on_handle = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self.heard_at = self._loop.time()
            self._read()

    def _look_at_size(self, *, is_new: bool) -> None:
        """Of the reply that has come in part: what hiredis has read of a list is not in its `len`."""
        if is_new:
            self._unread_bytes = self._reader.len()
        if self._unread_bytes > MOST_REPLY_BYTES:
            logger.error("a message of Redis is too big", extra={"most_bytes": MOST_REPLY_BYTES})
            self.abort()

    def _take_greeting(self, reply: Any) -> None:
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_result(reply)

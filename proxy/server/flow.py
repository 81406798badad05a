"""A client's socket that says when to write: writes that wait, stalls that end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.server.client_socket import ClientSocket


class FlowControlled(ClientSocket):
    """Base of a leg that writes as much as its application likes."""

    __slots__ = ("_write_waiters",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._write_waiters: list[asyncio.Future[None]] | None = None  # not None: writing is stopped

    @property
    def is_stalled(self) -> bool:
        """True while the client has more to read than the transport should hold."""
        return self._write_waiters is not None

    def stop_writers(self) -> None:
        if self._write_waiters is None:
            self._write_waiters = []

    def release_writers(self) -> None:
        waiters, self._write_waiters = self._write_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for_room(self) -> None:
        """Return once the transport has room again, or the leg has ended; look which."""
        while self._write_waiters is not None:
            waiter = self.loop.create_future()
            self._write_waiters.append(waiter)
            await waiter

    def watch_stall(self, seconds: float, on_stall: Callable[[], None]) -> None:
        """Call `on_stall` once the client has read nothing for `seconds`; slow progress is progress."""
        self.set_deadline(seconds, self._look_at_stall, seconds, on_stall, self._unwritten_bytes())

    def _look_at_stall(self, seconds: float, on_stall: Callable[[], None], bytes_before: int) -> None:
        if self._unwritten_bytes() < bytes_before:
            self.watch_stall(seconds, on_stall)
        else:
            on_stall()

    def _unwritten_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

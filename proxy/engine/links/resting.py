"""Reading nothing of an end for a while, and noticing all the same that it leaves."""

from __future__ import annotations

import asyncio
import select

from proxy.core.errors import LegClosed
from proxy.core.legs import Leg
from proxy.engine.calls import wait_at_most

# Messages that are read ahead of a rest's end, at most; their size has a bound, too.
MOST_AHEAD = 16


def has_left(transport: asyncio.Transport) -> bool:
    """Whether the other end of a socket that is not read has closed its direction, or reset it."""
    connection, asked = transport.get_extra_info("socket"), select.poll()
    try:
        asked.register(connection.fileno(), select.POLLRDHUP)
    except (OSError, ValueError, AttributeError):  # closed already, or not a socket
        return False
    return bool(asked.poll(0))


class Rests:
    """Reads one leg of a relay, with rests in between, in which nothing of it goes on.

    It is read ahead meanwhile, as much as one message may have. A leg that closes then ends the rest, and
    has no other: there is nobody left to slow down, only a link to keep open.
    """

    __slots__ = ("_ahead", "_ended", "_leg", "_max_bytes", "_seconds")

    def __init__(self, leg: Leg, *, max_bytes: int) -> None:
        self._leg, self._max_bytes, self._seconds = leg, max_bytes, 0.0
        self._ahead: list[str | bytes] | None = None
        self._ended: LegClosed | None = None

    def rest(self, seconds: float) -> None:
        """Let the next `receive` wait for so long."""
        if self._ended is None:
            self._seconds = max(self._seconds, seconds)

    async def receive(self) -> str | bytes:
        """As the leg's own."""
        if self._seconds:
            seconds, self._seconds = self._seconds, 0.0
            await wait_at_most(seconds, self._read_ahead())
        if self._ahead:
            return self._ahead.pop(0)
        if self._ended is not None:
            raise self._ended
        return await self._leg.receive()

    async def _read_ahead(self) -> None:
        """Returns when the leg has closed; is cancelled when the rest is over."""
        ahead = self._ahead = self._ahead or []
        try:
            while len(ahead) < MOST_AHEAD and sum(map(len, ahead)) < self._max_bytes:
                ahead.append(await self._leg.receive())
        except LegClosed as ended:
            self._ended = ended
            return
        await asyncio.get_running_loop().create_future()

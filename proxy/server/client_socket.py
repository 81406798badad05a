"""What has a client's socket, and a socket whose every end has a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from proxy.core.closes import Close, ClosedBy
from proxy.engine.unsent import MOST_TIMEOUTS, finish, still_moves, unsent_bytes


class ClientLeg:
    """What has a client's socket: its handshake, then its conversation or a splice.

    What one of them has no use for does nothing.
    """

    __slots__ = ()

    @property
    def is_live(self) -> bool:
        """Accepted, and nobody has begun to close it."""
        return False

    @property
    def sends_now(self) -> bool:
        """Whether `send_frames` may be called: accepted, live, and nothing waits for the client."""
        return False

    def send_frames(self, frames: bytes) -> None:
        """Write whole unmasked frames of messages, at once."""

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI send. Waits while the client has too much to read; does nothing once the leg has ended.

        Raises ValueError for an event that is malformed or out of place.
        """

    def close(self, close: Close, *, by: ClosedBy) -> None:
        """Start to close an accepted leg, under a deadline."""

    def abort(self) -> None:
        """Drop the socket at once."""

    def tick(self, now: float) -> None:
        """Look at the clock, about once a second."""

    def application_ended(self, *, well: bool) -> None:
        """It has returned, or else it has failed or was cancelled."""


class ClientSocket(ClientLeg, asyncio.Protocol):
    """A leg that is the socket's own protocol. One timer, for the phase it is in."""

    __slots__ = ("_timer", "_transport", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        self._timer: asyncio.TimerHandle | None = None

    def set_deadline(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Replace the leg's one timer."""
        self.clear_deadline()
        self._timer = self.loop.call_later(seconds, action, *arguments)

    def clear_deadline(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def set_close_deadline(self, seconds: float, *, times: int = MOST_TIMEOUTS) -> None:
        """End the socket once nothing of what was written got through for so long, or after so many times."""
        self.set_deadline(seconds, self._look_at_close, seconds, unsent_bytes(self._transport), times)

    def _look_at_close(self, seconds: float, unsent_before: int, times: int) -> None:
        if times > 1 and still_moves(unsent_bytes(self._transport), unsent_before):
            self.set_close_deadline(seconds, times=times - 1)
        else:
            self.clear_deadline()
            finish(self._transport)

    def hang_up(self, *, deadline_seconds: float, linger: bool) -> None:
        """End the socket once what was written has gone out; by force when that makes no progress.

        To linger is to throw away what still comes until the client hangs up as well: closing at once would
        reset the connection under a client that is in the middle of sending, and it would never see why.
        """
        self.set_close_deadline(deadline_seconds)
        if linger:
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        self.clear_deadline()
        if self._transport is not None:
            self._transport.abort()

"""A relay to a route's own leg, which may push: what it has to say comes as a call, and needs no task.

Messages of one turn of the loop share a write, and so do all that waited for a slow client. There is a task
for them only while the client does not keep up, where a policy judges them, and on servers that cannot be
written to at once.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn, Protocol

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event, Pushed
from proxy.core.legs import Leg, PushingLeg, payload_bytes
from proxy.core.wire.framing import message_frame
from proxy.engine.links.relay import Relay
from proxy.engine.links.terms import Terms

# What of the outbox goes into one write.
_BATCH_BYTES = 64 * 1024


class FrameWriter(Protocol):
    """What our own server offers beside ASGI: to write to a client that keeps up, without waiting."""

    @property
    def sends_now(self) -> bool:
        """Whether `send_frames` may be called: the client is there, and nothing waits for it."""

    def send_frames(self, frames: bytes) -> None:
        """Write whole unmasked frames of messages."""


class PushingRelay(Relay):
    """Joins a client and a leg of the route's own; `writer` None: the server knows messages only.

    `receives`: the leg has something to say beside what it pushes; `bounds_sends`: its sends have deadlines
    of their own. What is pushed in a turn waits in no outbox, unless it is too much for a write or something
    is before it.
    """

    __slots__ = ("_flushing", "_pushing", "_receives", "_turn", "_turn_bytes", "_writer")

    def __init__(
        self,
        downstream: Leg,
        upstream: PushingLeg,
        terms: Terms,
        *,
        writer: FrameWriter | None = None,
        receives: bool = True,
        bounds_sends: bool = False,
    ) -> None:
        super().__init__(downstream, upstream, terms)
        if bounds_sends:
            self._send_up_seconds = None
        self._pushing, self._receives = upstream, receives
        self._turn: list[str | bytes] | None = None
        self._turn_bytes = 0
        # A policy is asked as messages are sent, and may have to wait.
        self._writer = None if self._judge_out is not None else writer
        self._flushing: asyncio.Handle | None = None

    def push(self, message: str | bytes) -> None:
        """For the leg: send the client a message, as `ClientSide` says."""
        if self._ended is not None:
            return
        size_bytes = payload_bytes(message)
        if size_bytes > self._limits.max_message_bytes:
            self.end(closes.MESSAGE_TOO_BIG, ClosedBy.GATEWAY)
            return
        self._has_service_spoken = True
        if self._writer is None or self._outbox is not None or self._telling is not None:
            self._put(Pushed(message), size_bytes)
            return
        if self._turn is None:
            self._turn = []
            self._tell_soon()
        self._turn.append(message)
        self._turn_bytes += size_bytes
        if self._turn_bytes > _BATCH_BYTES:
            self._spill()

    def _put(self, waiting: Event | Pushed, size_bytes: int) -> None:
        self._spill()
        super()._put(waiting, size_bytes)

    def _spill(self) -> None:
        """Have what this turn has brought wait in the outbox, and be bounded there."""
        turn, self._turn, self._turn_bytes = self._turn, None, 0
        for message in turn or ():
            if self._ended is None:  # it ends once that is too much
                super()._put(Pushed(message), payload_bytes(message))

    @property
    def buffered_bytes(self) -> int:
        return self._turn_bytes if self._outbox is None else self._outbox.buffered_bytes

    def end(self, close: Close, by: ClosedBy) -> bool:
        if self._ended is None and self._telling is None and close != closes.SLOW_CONSUMER:
            self._write_waiting()
        return super().end(close, by)

    async def _pump_down(self) -> NoReturn:
        self._pushing.joined(self)
        if not self._receives:
            await self._loop.create_future()
        await super()._pump_down()

    def _tell_soon(self) -> None:
        if self._telling is None and self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """At the end of a turn: what was pushed in it."""
        self._flushing = None
        if self._ended is None and self._telling is None and not self._write_waiting():
            super()._tell_soon()

    async def _tell(self) -> None:
        while not self._write_waiting():
            assert self._outbox is not None  # noqa: S101  something is left in it
            waiting = self._outbox.take()
            message: str | bytes | None = waiting.text
            if isinstance(waiting, Pushed):
                message = await self._judged(self._judge_out, waiting.text, sender=ClosedBy.UPSTREAM)
            if message is not None:
                await self._send_down(message)
        self._telling = None

    def _write_waiting(self) -> bool:
        """Write what waits, as far as the client takes it at once; whether nothing is left."""
        writer, counters = self._writer, self._counters
        if self._turn is not None:
            if writer is not None and writer.sends_now:
                self._write_turn(self._turn, writer)
            else:
                self._spill()
        outbox = self._outbox
        while outbox is not None and not outbox.is_empty:
            if writer is None or not writer.sends_now:
                return False
            before_bytes = outbox.buffered_bytes
            batch = outbox.take_batch(_BATCH_BYTES)
            writer.send_frames(b"".join([waiting.frame for waiting in batch]))
            counters.last_activity = self._loop.time()
            counters.messages_out += len(batch)
            counters.bytes_out += before_bytes - outbox.buffered_bytes
        self._outbox = None
        return True

    def _write_turn(self, turn: list[str | bytes], writer: FrameWriter) -> None:
        writer.send_frames(b"".join([message_frame(message) for message in turn]))
        counters = self._counters
        counters.last_activity = self._loop.time()
        counters.messages_out += len(turn)
        counters.bytes_out += self._turn_bytes
        self._turn, self._turn_bytes = None, 0

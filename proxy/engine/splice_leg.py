"""One of the two sockets that a splice joins. What it reads goes to the other one, as it is.

The hot path is `data_received`: one scan, one write. Everything that is rare (a close, an event that waits
for the end of a message) sets `watched` on the leg that it concerns, and takes the longer way.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from websockets.frames import CloseCode

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.frames import Scanner
from proxy.core.framing import close_frame
from proxy.core.messages import Message, MessageScanner
from proxy.engine.keepalive import keep_alive_ping

if TYPE_CHECKING:
    from proxy.engine.splice import Splice

HIGH_WATER_BYTES = 256 * 1024
LOW_WATER_BYTES = 64 * 1024
PING_TIMEOUT = Close(CloseCode.INTERNAL_ERROR, "ping timeout")


class SplicedLeg(asyncio.Protocol):
    """A socket, the scanner of what is read from it, and how far its end has got.

    Attributes:
        by: who closed, if this one did: CLIENT or UPSTREAM.
        watched: what is read here needs a second look before it goes on.
        stalled_at: loop time since when the transport takes no more writes, 0 while it does.
        close_due: the close to send as soon as the frame under way to this leg is whole.
        shut: nothing more may be written: the close frame was, or there is nobody left to read it.
        over: nothing more counts of what is read: its close or its fault has been seen, or it was lost.
        gone: the socket is closed.
    """

    __slots__ = (
        "_heard_at",
        "_heard_bytes",
        "_lingers",
        "_pinged_at",
        "_stalled_bytes",
        "by",
        "close_due",
        "gone",
        "other",
        "over",
        "scanner",
        "shut",
        "splice",
        "stalled_at",
        "transport",
        "watched",
    )
    scanner: Scanner

    def __init__(self, splice: Splice, transport: asyncio.Transport, by: ClosedBy) -> None:
        self.splice, self.transport, self.by = splice, transport, by
        self.other: SplicedLeg = self  # until joined
        self.close_due: Close | None = None
        self.watched = self.shut = self.over = self.gone = self._lingers = False
        self.stalled_at = self._pinged_at = 0.0
        self._heard_at = splice.loop.time()
        self._heard_bytes = self._stalled_bytes = 0

    @property
    def is_client(self) -> bool:
        return self.by is ClosedBy.CLIENT

    # --- Reading: called by the event loop -----

    def data_received(self, data: bytes) -> None:
        passed = self.scanner.feed(data)
        if passed is data and not self.watched:
            self.other.transport.write(passed)
        else:
            self._look_at(passed)

    def _look_at(self, passed: bytes) -> None:
        if self.other.shut:
            pass  # it has been told to go; what still comes for it is dropped
        elif self.watched:
            self._pass_watched(passed)
        elif passed:
            self.other.transport.write(passed)
        self._check_end()

    def _pass_watched(self, passed: bytes) -> None:
        """Pass bytes on, and at the first place that fits what waits for one."""
        sink, at = self.other, self.scanner.boundary
        if sink.close_due is not None:
            if at < 0 and self.scanner.between_frames:
                at = len(passed)
            sink.transport.write(passed if at < 0 else passed[:at])
            if at >= 0:
                sink.send_close_now(sink.close_due)
        elif at < 0:
            sink.transport.write(passed)
        else:
            sink.transport.write(passed[:at])
            self.splice.flush_outbox()
            sink.transport.write(passed[at:])

    def _check_end(self) -> None:
        ended = self.scanner.ended
        if ended is not None and not self.over:
            self.over = True
            self.splice.stream_ended(self, ended)

    def eof_received(self) -> None:
        self._lose()  # the transport flushes and closes itself

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone:
            self.gone = True
            self._lose()
            self.splice.leg_gone(self)

    def _lose(self) -> None:
        self.shut, self.close_due = True, None
        if not self.over:
            self.over = True
            self.splice.stream_lost(self)

    def let_go(self) -> None:
        """Break the cycles of references, so that a link's memory comes back at once."""
        del self.splice, self.other, self.scanner

    def update_reading(self) -> None:
        """Read as long as what is read has somewhere to go."""
        if self.gone or self.transport.is_closing():
            return
        if self.splice.may_read(self):
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    # --- Writing -----

    def pause_writing(self) -> None:
        self.stalled_at = self.splice.loop.time()
        self._stalled_bytes = self.transport.get_write_buffer_size()
        self.splice.stalled(self)

    def resume_writing(self) -> None:
        self.stalled_at = 0.0
        self._pinged_at = 0.0  # our ping was behind all that; ask again
        self.splice.unstalled(self)

    def send_close(self, close: Close) -> None:
        """Send a close frame: now, or when the frame under way is whole; not at all if it never will be."""
        if self.shut or self.close_due is not None:
            return
        if self.other.scanner.between_frames:
            self.send_close_now(close)
        elif self.other.over:
            self.hang_up()
        else:
            self.close_due = close
            self.other.update_reading()

    def send_close_now(self, close: Close) -> None:
        self.close_due, self.shut = None, True
        mask = None if self.is_client else os.urandom(4)
        self.transport.write(close_frame(close.code, close.reason, mask=mask))
        self.other.update_reading()
        if self.over:
            self.hang_up()

    def linger(self) -> None:
        """From now on, hang up by ending our direction only, and throw away what still comes.

        To close at once would reset the connection under a peer in the middle of sending, which would then
        never read why.
        """
        self._lingers = self.transport.can_write_eof()
        if self.shut:
            self.hang_up()

    def hang_up(self) -> None:
        """End the socket once all that was written has gone out."""
        self.shut, self.close_due = True, None
        if self.gone or self.transport.is_closing():
            return
        if self._lingers:
            self.transport.write_eof()
        else:
            self.transport.close()

    # --- The clock -----

    def look(self, now: float) -> None:
        """Ping a silent peer, give up one that does not answer, end a stall without progress."""
        limits = self.splice.limits
        if self.stalled_at:
            self._look_at_stall(now, limits.slow_consumer_seconds)
            return
        heard = self._received_bytes()
        if heard != self._heard_bytes or not self.splice.may_read(self):
            self._heard_bytes, self._heard_at, self._pinged_at = heard, now, 0.0
        elif self._pinged_at:
            if now - self._pinged_at >= limits.ping_timeout_seconds:
                self.splice.unanswered(self)
        elif now - self._heard_at >= limits.ping_interval_seconds and self.other.scanner.between_frames:
            self._pinged_at = now
            self.transport.write(keep_alive_ping(masked=not self.is_client))

    def _look_at_stall(self, now: float, slow_seconds: float) -> None:
        unwritten = self.transport.get_write_buffer_size()
        if unwritten < self._stalled_bytes:  # slow progress is progress
            self._stalled_bytes, self.stalled_at = unwritten, now
        elif now - self.stalled_at >= slow_seconds:
            self.splice.too_slow(self)

    def _received_bytes(self) -> int:
        """Grows with anything that is read, except other people's control frames."""
        scanner = self.scanner
        return scanner.messages + scanner.payload_bytes + scanner.pongs - scanner.payload_left


class InspectedLeg(SplicedLeg):
    """A leg whose messages are shown whole to the route's policy before their frames go on."""

    __slots__ = ()
    scanner: MessageScanner  # type: ignore[assignment]  # never passed on as it is

    def data_received(self, data: bytes) -> None:
        for whole in self.scanner.feed(data):
            if self.other.shut:
                break
            if isinstance(whole, Message) and not self.splice.passes(self, whole):
                continue
            if not self.other.shut:
                self.other.transport.write(whole.wire)
        self._check_end()


def lost_as_told(by: ClosedBy) -> Close:
    """What the other end is told when `by` was lost without a close."""
    return closes.CLIENT_LOST if by is ClosedBy.CLIENT else closes.UPSTREAM_LOST

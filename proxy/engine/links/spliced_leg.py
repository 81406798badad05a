"""One of the two sockets that a splice joins. What it reads goes to the other one, as it is.

The hot path is `data_received`: one scan, one write. Everything that is rare (a close, an event that waits
for the end of a message) sets `watched` on the leg that it concerns, and takes the longer way.

No leg holds the event loop, however much comes: a scanner stops when its turn is over, and what it has not
looked at waits, unread, for the next one; nothing more is read meanwhile. Who sends too much waits longer.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import ClassVar

from proxy import metrics
from proxy.core.buckets import charged
from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.limits import CONTROL_FRAME_RATE, CONTROL_MESSAGE_RATE
from proxy.core.wire.frames import FULL_READ_BYTES, Scanner
from proxy.core.wire.framing import close_frame, frame_payload_bytes, ping_frame
from proxy.engine.links.outbox import Outbox, OutboxFull
from proxy.engine.links.owner import Owner
from proxy.engine.links.resting import has_left

HIGH_WATER_BYTES = 256 * 1024
LOW_WATER_BYTES = 64 * 1024
# What waited is written together up to this; a system call a frame would cost more than the copy.
BATCH_BYTES = 64 * 1024


class SplicedLeg(asyncio.Protocol):
    """A socket, the scanner of what is read from it, and how far its end has got.

    Attributes:
        by: who closed, if this one did: CLIENT or UPSTREAM.
        watched: what is read here needs a second look before it goes on.
        stalled_at: loop time since when the transport takes no more writes, 0 while it does.
        outbox: what waits for the end of the message under way to this leg, or of a stall; None while
            nothing does.
        injected_messages, injected_bytes: messages put into the stream to this leg, and their payload; less
            what a policy has kept from it.
        close_due: the close to send as soon as the frame under way to this leg is whole.
        last_words: whole messages to write before the close, unless that comes inside a message.
        shut: nothing more may be written: the close frame was, or there is nobody left to read it.
        over: nothing more counts of what is read: its close or its fault has been seen, or it was lost.
        turn: when to go on with what is unread; None while nothing has to wait.
        gone: the socket is closed, and all that came from it was looked at.
    """

    __slots__ = (
        "_control_frames", "_control_frames_at", "_control_messages_at", "_heard", "_heard_at", "_is_closed",
        "_lingers", "_pause_seconds", "_pinged_at", "_stalled_bytes", "by", "close_due", "gone",
        "injected_bytes", "injected_messages", "last_words", "other", "outbox", "over", "scanner", "shut",
        "splice", "stalled_at", "transport", "turn", "watched",
    )  # fmt: skip
    # What is told of it as long as the link lives, beside its outbox and its scanner.
    STATE: ClassVar[tuple[str, ...]] = (
        "_control_frames", "_heard", "_pause_seconds", "injected_bytes", "injected_messages"
    )  # fmt: skip
    MOMENTS = ("_control_frames_at", "_control_messages_at", "_heard_at", "_pinged_at")
    scanner: Scanner

    def __init__(self, splice: Owner[SplicedLeg], transport: asyncio.Transport, by: ClosedBy) -> None:
        self.splice, self.transport, self.by = splice, transport, by
        self.other: SplicedLeg = self  # until joined
        self.outbox: Outbox[Event] | None = None
        self.injected_messages = self.injected_bytes = 0
        self.close_due: Close | None = None
        self.last_words = b""
        self.watched = self.shut = self.over = self.gone = self._is_closed = self._lingers = False
        self.turn: asyncio.Handle | None = None
        self.stalled_at = self._pinged_at = self._pause_seconds = 0.0
        self._control_frames_at = self._control_messages_at = 0.0  # when those buckets are full again
        self._heard_at = splice.loop.time()
        self._control_frames = self._heard = self._stalled_bytes = 0

    @property
    def is_client(self) -> bool:
        return self.by is ClosedBy.CLIENT

    # --- Reading: called by the event loop -----

    def data_received(self, data: bytes) -> None:
        passed = self.scanner.feed(data)
        if passed is data and not self.watched and not self.scanner.noted:
            self.other.transport.write(passed)
        else:
            self._take(passed)

    def _take(self, passed: bytes) -> None:
        """Act on what the scanner returned."""
        if self.other.shut:
            pass  # it has been told to go; what still comes for it is dropped
        elif self.watched:
            self._pass_watched(passed)
        elif passed:
            self.other.transport.write(passed)
        if not self.scanner.noted:
            return
        self.scanner.noted = False
        controls, self.scanner.controls = self.scanner.controls, ()
        for payload in controls:
            self.take_control(payload)
        self._finish_read()
        if len(passed) >= FULL_READ_BYTES:
            self._wait_for_turn(0.0)

    def take_control(self, payload: bytes) -> None:
        """A control message of the client, which has been taken out of its stream."""
        self._control_messages_at, seconds = charged(
            self._control_messages_at, self.splice.loop.time(), CONTROL_MESSAGE_RATE, tokens=1
        )
        self.pause(seconds)
        self.splice.take_control(payload)

    def _finish_read(self) -> None:
        """What was read has been passed on; see whether that was the end, and whether there is more of it."""
        if self.scanner.ended is not None and not self.over:
            self.over = True
            self.splice.stream_ended(self, self.scanner.ended)
        sent = self.scanner.control_frames - self._control_frames
        if sent and self.is_client:
            self._control_frames += sent
            self._control_frames_at, seconds = charged(
                self._control_frames_at, self.splice.loop.time(), CONTROL_FRAME_RATE, tokens=sent
            )
            self.pause(seconds)
        if self.scanner.unread or self._pause_seconds:
            self._wait_for_turn(self._pause_seconds)

    def _pass_watched(self, passed: bytes) -> None:
        """Pass bytes on, and at the first place that fits what waits for one."""
        sink, at = self.other, self.scanner.boundary
        if sink.close_due is not None:
            if at < 0 and self.scanner.between_frames:
                at, sink.last_words = len(passed), b""
            sink.transport.write(passed if at < 0 else passed[:at])
            if at >= 0:
                sink.send_close_now(sink.close_due)
        elif at < 0:
            sink.transport.write(passed)
        else:
            sink.transport.write(passed[:at])
            sink.flush()
            sink.transport.write(passed[at:])

    def leave_unjudged(self) -> None:
        """The link has ended: what was read behind the message that ended it does not count."""

    def eof_received(self) -> None:
        if not self.scanner.unread:  # else it is lost when that has been passed on
            self._lose()  # the transport flushes and closes itself

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        # What was received goes on, but nothing is written here any more: uvloop raises at that.
        self._is_closed = self.shut = self.other.watched = True
        self.close_due, self.stalled_at = None, 0.0
        self.hurry()
        if self.over or not self.scanner.unread:
            self._leave()
        else:
            self.update_reading()
            self.other.update_reading()  # it may have been stopped because of this one

    def _leave(self) -> None:
        self.gone = True
        if self.turn is not None:
            self.turn.cancel()
            self.turn = None
        self._lose()
        self.splice.leg_gone(self)

    def _lose(self) -> None:
        self.shut, self.close_due = True, None
        if not self.over:
            self.over = True
            self.splice.stream_lost(self)

    def let_go(self) -> None:
        """Break the cycles of references, so that a link's memory comes back at once."""
        if self.turn is not None:
            self.turn.cancel()
        del self.splice, self.other, self.scanner

    # --- Turns -----

    @property
    def may_read(self) -> bool:
        """Whether what is read has somewhere to go."""
        sink = self.other
        # With a close due, the frame under way may end, and then nothing more is passed on.
        return not sink.stalled_at or sink.shut or sink.close_due is not None

    def update_reading(self) -> None:
        """Read as long as what is read has somewhere to go; what was read already comes first."""
        if self.gone or self.turn is not None:
            return
        may_read = self.may_read
        if self.scanner.unread and may_read:
            self._wait_for_turn(0.0)
        elif self.transport.is_closing():
            return
        elif may_read:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def pause(self, seconds: float) -> None:
        """Read nothing for that long once what was read has been passed on, unless that was the end.

        Nor does a socket that is gone wait: there is nobody left to slow down, only a link to keep open.
        """
        if self.splice.ended is None and not self._is_closed:
            self._pause_seconds = max(self._pause_seconds, seconds)

    def hurry(self) -> None:
        """The link has ended, or this socket has: what is unread waits for its turns only."""
        self.scanner.quota, self._pause_seconds = sys.maxsize, 0.0
        if self.turn is not None:
            self.hold(0.0)

    def hold(self, seconds: float) -> None:
        """Let our turn come in so many seconds, in place of any other, and read nothing until then."""
        if self.turn is not None:
            self.turn.cancel()
            self.turn = None
        self._wait_for_turn(seconds)

    def _wait_for_turn(self, seconds: float) -> None:
        """Read nothing more in this turn of the loop, nor for so many seconds."""
        if self.turn is None:
            loop = self.splice.loop
            self.turn = loop.call_later(seconds, self._go_on) if seconds else loop.call_soon(self._go_on)
            if not self.transport.is_closing():
                self.transport.pause_reading()

    def _go_on(self) -> None:
        """It is our turn again."""
        self.turn, self._pause_seconds = None, 0.0
        if self.scanner.unread and self.may_read:
            seconds = self._wait_seconds()
            if seconds:
                self._wait_for_turn(seconds)
            else:
                self._take(self.scanner.resume())
        if self._is_closed and not self.gone and (self.over or not self.scanner.unread):
            self._leave()
        else:
            self.update_reading()

    def _wait_seconds(self) -> float:
        """How long what is unread has to wait, now that it is our turn."""
        return 0.0

    # --- Writing -----

    def pause_writing(self) -> None:
        self.stalled_at = self.splice.loop.time()
        self._stalled_bytes = self.transport.get_write_buffer_size()
        metrics.child(metrics.BACKPRESSURE_EVENTS_TOTAL, self.splice.terms.route).inc()
        self.other.update_reading()

    def resume_writing(self) -> None:
        self.stalled_at = 0.0
        self._pinged_at = 0.0  # our ping was behind all that; ask again
        if self.other.scanner.between_messages:
            self.flush()  # first what waits, then what comes
        self.other.update_reading()

    def inject(self, *events: Event) -> None:
        """Put events into the stream to this leg: now, or between the messages under way.

        Until then they wait in the outbox. When that is full, the route's policy ends the link or drops the
        oldest. Once the link has ended, or nobody reads here any more, nothing is injected.
        """
        if self.shut or self.splice.ended is not None:
            return
        if self.outbox is None and not self.stalled_at and self.other.scanner.between_messages:
            self._write_events(events)
        else:
            for event in events:
                self._put_into_outbox(event)

    def _write_events(self, events: Sequence[Event]) -> None:
        frames = [event.frame for event in events]
        self.transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        for frame in frames:
            self._count_injected(frame)

    def _put_into_outbox(self, event: Event) -> None:
        terms = self.splice.terms
        if self.outbox is None:
            self.outbox = Outbox(max_bytes=terms.limits.outbox_bytes, overflow=terms.overflow)
            self.other.watched = True
        try:
            self.outbox.put(event, frame_payload_bytes(event.frame))
        except OutboxFull:
            self.splice.too_slow(self)

    def flush(self, *, wholly: bool = False) -> None:
        """Write what waits, here where whole messages fit: until this leg stalls, unless `wholly`."""
        outbox = self.outbox
        while outbox is not None and not outbox.is_empty and (wholly or not self.stalled_at):
            self._write_events(outbox.take_batch(BATCH_BYTES))
        if outbox is not None and outbox.is_empty:
            self.outbox, self.other.watched = None, self.splice.ended is not None

    def _count_injected(self, frame: bytes) -> None:
        self.injected_messages += 1
        self.injected_bytes += frame_payload_bytes(frame)

    def end_outbox(self, *, delivers: bool) -> None:
        """Let nothing wait any more; `delivers`: it still goes out, if whole messages fit here and now."""
        if delivers and not self.shut and self.other.scanner.between_messages:
            self.flush(wholly=True)
        self.outbox = None

    def send_close(self, close: Close) -> None:
        """Send the last words and a close frame: now, or when the frame under way is whole.

        If that never will be, there is no close; and no last words between the frames of a message. The end
        of the message is not waited for: who sends it is told of the close now, and will not finish it.
        """
        if self.shut or self.close_due is not None:
            return
        sender = self.other.scanner
        if sender.between_frames:
            if not sender.between_messages:
                self.last_words = b""
            self.send_close_now(close)
        elif self.other.over:
            self.hang_up()
        else:
            self.close_due = close
            self.other.update_reading()

    def send_close_now(self, close: Close) -> None:
        self.close_due, self.shut = None, True
        mask = None if self.is_client else os.urandom(4)
        self.transport.write(self.last_words + close_frame(close.code, close.reason, mask=mask))
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
        limits = self.splice.terms.limits
        if self._pause_seconds and has_left(self.transport):
            self.hold(0.0)  # nobody is left to slow down
        if self.stalled_at:
            self._look_at_stall(now, limits.slow_consumer_seconds)
            return
        heard = self.scanner.heard
        if heard != self._heard or self.turn is not None or not self.may_read:
            self._heard, self._heard_at, self._pinged_at = heard, now, 0.0
        elif self._pinged_at:
            if now - self._pinged_at >= limits.ping_timeout_seconds:
                self.splice.unanswered(self)
        elif now - self._heard_at >= limits.ping_interval_seconds and self.other.scanner.between_frames:
            self._pinged_at = now
            mask = None if self.is_client else os.urandom(4)
            self.transport.write(ping_frame(self.scanner.pong_prefix, mask=mask))

    def _look_at_stall(self, now: float, slow_seconds: float) -> None:
        unwritten = self.transport.get_write_buffer_size()
        if unwritten < self._stalled_bytes:  # slow progress is progress
            self._stalled_bytes, self.stalled_at = unwritten, now
        elif now - self.stalled_at >= slow_seconds:
            self.splice.too_slow(self)

"""An accepted client whose application exchanges whole messages with it.

Reading stops while the application has too much to receive; `send` waits while the client has too much to
read, and a client that makes no progress is closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy import metrics
from proxy.core import closes
from proxy.core.buckets import charged
from proxy.core.closes import Close, ClosedBy
from proxy.core.limits import CONTROL_FRAME_RATE, LinkLimits
from proxy.server.client_socket import ClientSocket
from proxy.server.clients import Client
from proxy.server.conversation import Conversation, Message
from proxy.server.counting import count_failure
from proxy.server.inbox import Inbox

# How much is parsed before looking whether the application keeps up and the turn goes on: the more, the fewer
# frames the slice before held, since each costs some 10 µs.
SLICE_BYTES = 512
SPARSE_FRAMES = 8
TURN_FRAMES = 96
# What an application sends in one turn of the loop shares one write, of so much: a write costs as much as ten
# messages.
SHARED_BYTES = 16 << 10


class ConversationLeg(ClientSocket):
    """From the accept to the end of the socket. Not spliced."""

    __slots__ = (
        "_client",
        "_heard_at",
        "_inbox",
        "_limits",
        "_moved_at",
        "_pinged_at",
        "_reading",
        "_unwritten",
        "_write_waiters",
        "is_live",
    )
    is_live: bool

    def __init__(
        self, client: Client, transport: asyncio.Transport, limits: LinkLimits | None = None
    ) -> None:
        """`limits`: the application's for this client; None: the server's."""
        clients, inbox = client.clients, client.inbox
        assert inbox is not None  # noqa: S101  its application has accepted, or there is none
        super().__init__(clients.loop)
        self._client, self._inbox, self._transport = client, inbox, transport
        self.is_live = True
        # On the loop's clock: when anything was heard, when a message passed, when we pinged (0: never).
        self._heard_at = self._moved_at = self.loop.time()
        self._pinged_at = 0.0
        self._limits = clients.options.limits if limits is None else limits
        self._write_waiters: list[asyncio.Future[None]] | None = None  # not None: writing is stopped
        self._unwritten = 0  # of what was sent in this turn; at its end it is written
        max_bytes = self._limits.max_message_bytes
        self._reading = Reading(self, transport, inbox, max_message_bytes=max_bytes)
        client.leg = self
        transport.set_protocol(self)

    # --- The socket, called by the event loop -----

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        self._reading.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_live = False
        self.clear_deadline()
        self._release_writers()
        self._reading.end()
        self._client.socket_gone()
        del self._client  # a cycle; who is not live needs it no more

    # --- The client reads, or does not -----

    @property
    def is_stalled(self) -> bool:
        """True while the client has more to read than the transport should hold."""
        return self._write_waiters is not None

    def pause_writing(self) -> None:
        if self._write_waiters is None:
            self._write_waiters = []
        if self.is_live:
            metrics.child(metrics.BACKPRESSURE_EVENTS_TOTAL, metrics.NO_ROUTE).inc()
            self._watch_stall()

    def resume_writing(self) -> None:
        if self.is_live:
            self.clear_deadline()
        self._release_writers()

    def _release_writers(self) -> None:
        waiters, self._write_waiters = self._write_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_for_room(self) -> None:
        """Return once the transport has room again, or the leg has ended; look which."""
        while self._write_waiters is not None:
            waiter = self.loop.create_future()
            self._write_waiters.append(waiter)
            await waiter

    def _watch_stall(self) -> None:
        unwritten_bytes = self._transport.get_write_buffer_size()
        self.set_deadline(self._limits.slow_consumer_seconds, self._look_at_stall, unwritten_bytes)

    def _look_at_stall(self, bytes_before: int) -> None:
        """Close a client that has read nothing all the while; slow progress is progress."""
        if self._transport.get_write_buffer_size() < bytes_before:
            self._watch_stall()
            return
        metrics.child(metrics.SLOW_CONSUMERS_TOTAL, metrics.NO_ROUTE).inc()
        self.close(closes.SLOW_CONSUMER, by=ClosedBy.GATEWAY)

    # --- Reading -----

    def take(self, messages: list[Message], conversation: Conversation) -> None:
        if self.is_live:
            self._pinged_at = 0.0
            for message in messages:
                self._moved_at = self._heard_at
                key = "text" if isinstance(message, str) else "bytes"
                self._inbox.put({"type": "websocket.receive", key: message}, size_bytes=len(message))
            if not conversation.is_open:
                self._closed_by_client(conversation)
        self._flush()

    def _closed_by_client(self, conversation: Conversation) -> None:
        """The client has closed, or has broken the rules and was closed for it."""
        self.is_live = False
        if conversation.failed_with is not None:
            self._client.end(conversation.failed_with, by=ClosedBy.GATEWAY)
        else:
            self._client.end(conversation.close_received or closes.LOST, by=ClosedBy.CLIENT)

    # --- Writing and closing -----

    @property
    def sends_now(self) -> bool:
        return self.is_live and self._write_waiters is None

    def send_frames(self, frames: bytes) -> None:
        self._moved_at = self.loop.time()
        self._end_turn()
        self._transport.write(frames)

    async def send(self, message: dict[str, Any]) -> None:
        if not self.is_live:
            return
        kind = message["type"]
        if kind == "websocket.close":
            code = message.get("code")
            close = Close(closes.NORMAL.code if code is None else code, message.get("reason") or "")
            self.close(close, by=ClosedBy.GATEWAY)
            return
        text, data = message.get("text"), message.get("bytes")
        content: Message | None = data if text is None else text
        if kind != "websocket.send" or content is None or (text is not None and data is not None):
            raise ValueError(f"{kind} is out of place, or has not either text or bytes")
        if self.is_stalled:
            await self._wait_for_room()
        conversation = self._reading.conversation
        if self.is_live and conversation is not None:
            self._moved_at = self.loop.time()
            conversation.send(content)
            self._write_soon(1 + len(content))

    def _write_soon(self, size: int) -> None:
        is_first = not self._unwritten
        self._unwritten += size
        if self._unwritten > SHARED_BYTES:
            self._flush()
        elif is_first:
            self.loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        if self._unwritten:
            self._flush()

    def _flush(self) -> None:
        """Write what the conversation has to say, and end the socket when it says so."""
        conversation, self._unwritten = self._reading.conversation, 0
        if conversation is None:
            return
        data = conversation.bytes_to_write(without_pongs=self.is_stalled)
        if data:
            self._transport.write(data)
        if conversation.eof_due:
            self._reading.stop()
            self._hang_up(linger=conversation.failed_with is not None)

    def _hang_up(self, *, linger: bool) -> None:
        self.is_live = False
        if linger:
            self._reading.go_on()
        self._release_writers()
        self.hang_up(deadline_seconds=self._limits.close_timeout_seconds, linger=linger)

    def close(self, close: Close, *, by: ClosedBy) -> None:
        """The application hears of it at once."""
        conversation = self._reading.conversation
        if self.is_live and conversation is not None:
            self.is_live = False
            conversation.close(close)
            self._flush()
            self._release_writers()
            self.set_close_deadline(self._limits.close_timeout_seconds)
            self._client.end(close, by=by)
            self._reading.go_on()

    def application_ended(self, *, well: bool) -> None:
        self.close(closes.NORMAL if well else closes.INTERNAL_ERROR, by=ClosedBy.GATEWAY)

    def tick(self, now: float) -> None:
        """Idle links end, silent ones are pinged, dead ones end."""
        limits, conversation = self._limits, self._reading.conversation
        if not self.is_live or conversation is None or self.is_stalled:
            return
        if now - self._moved_at > limits.idle_timeout_seconds:
            self.close(closes.IDLE, by=ClosedBy.GATEWAY)
        elif self._reading.is_stopped:
            return
        elif self._pinged_at:
            if now - self._pinged_at > limits.ping_timeout_seconds:
                count_failure("ping_timeout")
                self.close(closes.PING_TIMEOUT, by=ClosedBy.GATEWAY)
        elif now - self._heard_at > limits.ping_interval_seconds:
            self._pinged_at = now
            conversation.ping()
            self._flush()


class Reading:
    """Feeds a conversation. What is not parsed yet is kept, and the transport paused meanwhile.

    Attributes:
        conversation: None once nothing of it is to be heard or said any more; what comes is thrown away.
    """

    __slots__ = (
        "_control_frames_at",
        "_inbox",
        "_leg",
        "_transport",
        "_turn",
        "_unparsed",
        "conversation",
    )

    def __init__(
        self, leg: ConversationLeg, transport: asyncio.Transport, inbox: Inbox, *, max_message_bytes: int
    ) -> None:
        self._leg, self._transport, self._inbox = leg, transport, inbox
        self.conversation: Conversation | None = Conversation(max_message_bytes=max_message_bytes)
        self._unparsed: bytes | None = None  # not None: reading is stopped
        self._turn: asyncio.TimerHandle | None = None  # when to go on with what is unparsed
        self._control_frames_at = 0.0  # on the loop's clock
        inbox.on_taken = self.on_taken

    @property
    def is_stopped(self) -> bool:
        """Whether the client is not listened to at the moment, so that its silence means nothing."""
        return self._unparsed is not None

    def feed(self, data: bytes) -> None:
        """Parse in slices until the inbox is full or the turn over; keep the rest, and read no more."""
        start, size, frames_left = 0, SLICE_BYTES, TURN_FRAMES
        while start < len(data) and self.conversation is not None:
            if (self._inbox.is_full and self._leg.is_live) or frames_left <= 0:
                break
            conversation = self.conversation
            before = conversation.frames
            messages = conversation.receive(data[start : start + size])
            start += size
            frames = conversation.frames - before
            frames_left -= frames
            size = size * 2 if frames <= SPARSE_FRAMES else SLICE_BYTES
            self._leg.take(messages, conversation)
        if self.conversation is not None:
            self._finish_turn(self.conversation, data[start:], is_over=frames_left <= 0)

    def _finish_turn(self, conversation: Conversation, rest: bytes, *, is_over: bool) -> None:
        """Keep what was not parsed; go on with it when the application has room, in a later turn."""
        owed_seconds = self._charge_control_frames(conversation) if self._leg.is_live else 0.0
        if not rest and not owed_seconds:
            return
        self._unparsed = rest
        self._transport.pause_reading()
        if self._turn is None and (is_over or owed_seconds):
            self._turn = self._leg.loop.call_later(owed_seconds, self._on_turn)

    def _charge_control_frames(self, conversation: Conversation) -> float:
        """How long the client must not be read for what it sends beside its messages."""
        sent, conversation.control_frames = conversation.control_frames, 0
        self._control_frames_at, owed_seconds = charged(
            self._control_frames_at, self._leg.loop.time(), CONTROL_FRAME_RATE, tokens=sent
        )
        return owed_seconds

    def on_taken(self) -> None:
        """The application has received something: it may be what reading waits for."""
        if self._unparsed is not None and self._turn is None and self._inbox.has_room:
            self.go_on()

    def _on_turn(self) -> None:
        self._turn = None
        if not self._inbox.is_full or not self._leg.is_live:
            self.go_on()

    def go_on(self) -> None:
        """Read on: the application has caught up, or what comes now is thrown away."""
        self._cancel_turn()
        unparsed, self._unparsed = self._unparsed, None
        if unparsed is not None:
            self._transport.resume_reading()
            self.feed(unparsed)

    def stop(self) -> None:
        """What comes from now on is thrown away."""
        if self.conversation is not None:
            self.conversation.let_go()
            self.conversation = None

    def end(self) -> None:
        """The socket is gone."""
        self.stop()
        self._unparsed = self._inbox.on_taken = None
        self._cancel_turn()
        del self._leg  # a cycle

    def _cancel_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

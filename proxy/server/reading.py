"""How an open leg reads its client: in turns of bounded length, no faster than its application receives."""

from __future__ import annotations

import asyncio
from typing import Protocol

from proxy.core.buckets import charged
from proxy.core.limits import CONTROL_FRAME_RATE
from proxy.server.conversation import Conversation, Message
from proxy.server.inbox import Inbox

# How much is parsed before looking whether the application keeps up and the turn goes on: the more, the fewer
# frames the slice before held, since each costs some 10 µs.
SLICE_BYTES = 512
SPARSE_FRAMES = 8
TURN_FRAMES = 96


class Listener(Protocol):
    """The leg, as far as its reading is concerned."""

    loop: asyncio.AbstractEventLoop

    @property
    def is_live(self) -> bool:
        """Whether messages still count: accepted, and not closing."""

    def take(self, messages: list[Message], conversation: Conversation) -> None:
        """Called after each slice; may end the reading."""


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
        self, leg: Listener, transport: asyncio.Transport, inbox: Inbox, *, max_message_bytes: int
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

    def end(self) -> None:
        """The socket is gone."""
        self.conversation = self._unparsed = self._inbox.on_taken = None
        self._cancel_turn()
        del self._leg  # a cycle

    def _cancel_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

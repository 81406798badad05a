"""Whole messages for inspected routes: reassembled, unmasked, and beside them the frames to forward.

A message is handed out only when all of it is there, so none gets past a policy in pieces; compressed ones
are refused, since there is nothing to read in them without the extension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from proxy.core.wire.control_messages import is_control
from proxy.core.wire.headers import (
    CONTROL,
    FINAL,
    IN_MESSAGE,
    TEXT,
    FrameReader,
    Partial,
    ProtocolViolation,
    xor_mask,
)

# Frames that are taken in until the next link has its turn: each whole message costs its policy's answer, and
# as much again for each so many bytes of it, which are read to find that answer.
TURN_FRAMES = 128
BYTES_A_FRAME = 64


class Message(NamedTuple):
    """A whole text (opcode 1) or binary (2) message."""

    opcode: int
    payload: bytes  # unmasked; text is not checked to be UTF-8
    wire: bytes  # the original frames, to forward when the policy agrees

    @property
    def is_control(self) -> bool:
        """Whether it is an in-band control message, for the gateway itself."""
        return self.opcode == TEXT and is_control(self.payload)


class MessageScanner(FrameReader):
    """Cut one direction into whole messages.

    Feed it every chunk, and handle what it returns; then act on `ended`, and resume while there is something
    `unread`. Control frames between the fragments of a message come out before it. What is held never exceeds
    one message, one frame and one chunk.

    Attributes: `ended`, `messages` and `payload_bytes` are as those of `frames.Scanner`.
    """

    __slots__ = ("_apply_mask", "_held", "_needed_bytes")
    between_frames = between_messages = True  # what is returned is whole
    payload_left = 0

    def __init__(
        self,
        *,
        masked: bool,
        max_message_bytes: int,
        pong_prefix: bytes = b"",
        apply_mask: Callable[[bytes, bytes], bytes] = xor_mask,
    ) -> None:
        """`apply_mask(payload, key)` unmasks; pass a fast one. The rest is as for `frames.Scanner`."""
        super().__init__(
            masked=masked, max_message_bytes=max_message_bytes, allow_rsv1=False, pong_prefix=pong_prefix
        )
        self._apply_mask = apply_mask
        self._held: bytearray | None = None  # a frame that is not whole yet
        self._needed_bytes = 0  # of it, before it is worth another look

    def told(self) -> dict[str, Any]:
        return {**super().told(), "held": bytes(self._held or b"")}

    def go_on(self, told: dict[str, Any]) -> None:
        super().go_on(told)
        self._held = bytearray(told["held"]) or None

    @property
    def heard(self) -> int:
        """Differs after anything was read."""
        return self.messages + self.payload_bytes + self.control_frames + len(self._held or b"")

    def divert(self, message: Message) -> None:
        """It was for the gateway: let it count as `frames.Scanner` counts those, with the control frames."""
        self.messages -= 1
        self.payload_bytes -= len(message.payload)
        self.control_frames += 1

    def resume(self) -> list[Message | bytes]:
        """Go on with what is unread; returns as `feed` does."""
        unread, self.unread = self.unread, b""
        return self.feed(unread)

    def feed(self, chunk: bytes) -> list[Message | bytes]:
        """Return what has become whole, in order, until the turn is over; pings and pongs as they came."""
        if self.unread:  # it is not our turn
            self.unread += chunk
            return []
        if self.ended is not None:
            return []
        if self._held is not None:
            self._held += chunk
            if len(self._held) < self._needed_bytes:
                return []
            chunk, self._held = bytes(self._held), None
        only = self._only(chunk)
        if only is not None:
            return [only]
        whole: list[Message | bytes] = []
        try:
            self._take_frames(chunk, whole)
        except ProtocolViolation as broken:
            self.ended = broken.violation
        if self.ended is not None:
            self._partial = None
        return whole

    def _only(self, chunk: bytes) -> Message | None:
        """The message that a chunk is, if it is one in one frame and nothing else, as nearly all are.

        By the rules of `_header`, in a third of the time; what is in doubt is left to that.
        """
        size, start = len(chunk), self._short_header_bytes
        if size < start or self._kinds[chunk[0]] != FINAL or self._kinds is not self._between:
            return None
        length = chunk[1] ^ self._mask_bit
        if length == 126 and size > 128:
            length = chunk[2] << 8 | chunk[3]
            start += 2
        elif length > 125:
            return None
        if start + length != size or length > self.max_message_bytes or self.messages >= self.quota:
            return None
        self.messages += 1
        self.payload_bytes += length
        payload = chunk[start:]
        if self._mask_bit:
            payload = self._apply_mask(payload, chunk[start - 4 : start])
        return Message(chunk[0] & 0x0F, payload, chunk)

    def _take_frames(self, chunk: bytes, whole: list[Message | bytes]) -> None:
        """Go through a chunk frame by frame, until the turn is over."""
        position, cost = 0, 0
        while position < len(chunk) and self.ended is None:
            if cost >= TURN_FRAMES or self._is_to_wait(chunk[position]):
                self.unread = chunk[position:]
                break
            end = self._frame_end(chunk, position, whole)
            if not end:
                self._held = bytearray(chunk[position:])
                break
            position, cost = end, cost + 1 + (end - position) // BYTES_A_FRAME

    def _frame_end(self, chunk: bytes, position: int, whole: list[Message | bytes]) -> int:
        """Take one frame in and return where it ends; 0 if it is not whole."""
        header = self._header(chunk, position)
        if header is None:
            self._needed_bytes = 0
            return 0
        kind, start, length = header
        end = start + length
        if end > len(chunk):
            self._needed_bytes = end - position
            return 0
        payload = chunk[start:end]
        if self._mask_bit:
            payload = self._apply_mask(payload, chunk[start - 4 : start])
        wire = chunk if position == 0 and end == len(chunk) else chunk[position:end]
        if kind != CONTROL:
            message = self._join(kind, payload, wire)
            if message is not None:
                whole.append(message)
        elif not self._keeps(wire[0] & 0x0F, payload):
            whole.append(wire)
        return end

    def _join(self, kind: int, payload: bytes, wire: bytes) -> Message | None:
        """Add a frame to its message; return the message if that made it whole."""
        self.payload_bytes += len(payload)
        partial = self._partial
        if partial is not None:
            self._count_part()
        elif kind == FINAL:
            self.messages += 1
            return Message(wire[0] & 0x0F, payload, wire)
        else:
            self._partial = partial = Partial(wire[0] & 0x0F)
            self._kinds = IN_MESSAGE
        partial.add(payload, wire)
        self._message_bytes += len(payload)
        if kind != FINAL:
            return None
        self.messages += 1
        self._partial, self._kinds = None, self._between
        self._message_bytes = self._parts = 0
        return Message(partial.opcode, bytes(partial.payload), bytes(partial.wire))

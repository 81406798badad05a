"""Follow a client's stream, and take out the messages that are for the gateway itself."""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.control import MAX_CONTROL_BYTES, PREFIX_BYTES
from proxy.core.frames import Scanner
from proxy.core.headers import FINAL, TEXT, ProtocolViolation, Violation, xor_mask
from proxy.core.messages import Message, MessageScanner

# `{"type":"gateway.` is told from the stream's own `{"type":"...` by this one byte most of the time.
_TELLING_AT = PREFIX_BYTES.index(b"g")
_TELLING_BYTE = PREFIX_BYTES[_TELLING_AT]
_TELLING_MASK_AT = _TELLING_AT % 4


class ControlScanner(Scanner):
    """The client's direction of a route with control messages; those never appear in what `feed` returns.

    A message is passed on as it arrives once its first bytes show that it is not for us. Only one whose first
    frame does not show that yet (cut short by the network, or a tiny first fragment) is collected whole,
    within `max_message_bytes`, before it goes either way. A control message over 16 KiB ends the stream with
    1009.
    """

    __slots__ = ("_apply_mask", "_collector", "on_control")

    def __init__(
        self,
        *,
        max_message_bytes: int,
        on_control: Callable[[bytes], object],
        pong_prefix: bytes = b"",
        on_message: Callable[[int], object] | None = None,
        apply_mask: Callable[[bytes, bytes], bytes] = xor_mask,
    ) -> None:
        """`on_control` is called with the payload of each control message, not checked to be UTF-8."""
        super().__init__(
            masked=True, max_message_bytes=max_message_bytes, pong_prefix=pong_prefix, on_message=on_message
        )
        self.on_control = on_control
        self._apply_mask = apply_mask
        self._collector: MessageScanner | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes to forward: `chunk` itself whenever that is all and only what goes on."""
        size = len(chunk)
        if self._plain and size > _TELLING_AT + 8 and chunk[0] == 0x81 and self._collector is None:
            length = chunk[1] ^ 0x80
            if length < 126:
                plain = size == length + 6
                plain = plain and chunk[6 + _TELLING_AT] ^ chunk[2 + _TELLING_MASK_AT] != _TELLING_BYTE
            else:
                plain = length == 126 and (length := chunk[2] << 8 | chunk[3]) > 125 and size == length + 8
                plain = plain and chunk[8 + _TELLING_AT] ^ chunk[4 + _TELLING_MASK_AT] != _TELLING_BYTE
            if plain and length <= self.max_message_bytes:
                self.messages += 1
                self.payload_bytes += length
                self.boundary = size
                if self.on_message is not None:
                    self.on_message(length)
                return chunk
        return self._sort(chunk)

    def _sort(self, chunk: bytes) -> bytes:
        """Go through a chunk frame by frame."""
        if self._held:
            chunk, self._held = self._held + chunk, b""
        passed: list[bytes] = []
        position, size = 0, len(chunk)
        while position < size and self.ended is None:
            if self._collector is None and self.between_messages and self._may_be_control(chunk, position):
                self._collector = MessageScanner(
                    masked=True, max_message_bytes=self.max_message_bytes, apply_mask=self._apply_mask
                )
            if self._collector is not None:
                self._collect(chunk[position:], self._collector, passed)
                break
            end = self._frame_end(chunk, position)
            passed.append(super().feed(chunk[position:end]))
            position = end
        return b"".join(passed)

    def _may_be_control(self, chunk: bytes, position: int) -> bool:
        """Whether a message that begins here is for us, or does not show yet that it is not."""
        try:
            header = self._header(chunk, position)
        except ProtocolViolation:
            return False  # the scanner itself will say so
        if header is None:
            return True
        if chunk[position] & 0x0F != TEXT:
            return False
        kind, start, length = header
        seen = chunk[start : start + min(length, len(PREFIX_BYTES))]
        if seen and not PREFIX_BYTES.startswith(xor_mask(seen, chunk[start - 4 : start])):
            return False
        return kind != FINAL or length >= len(PREFIX_BYTES)

    def _frame_end(self, chunk: bytes, position: int) -> int:
        """Where the frame that begins or goes on here ends, or the chunk does."""
        if self._payload_left:
            return min(position + self._payload_left, len(chunk))
        try:
            header = self._header(chunk, position)
        except ProtocolViolation:
            header = None
        return len(chunk) if header is None else min(header[1] + header[2], len(chunk))

    def _collect(self, chunk: bytes, collector: MessageScanner, passed: list[bytes]) -> None:
        for whole in collector.feed(chunk):
            if not isinstance(whole, Message) or not whole.is_control:
                passed.append(super().feed(whole.wire))
            elif len(whole.payload) > MAX_CONTROL_BYTES:
                self.ended = Violation(1009, "control message too big")
                return
            else:
                self.on_control(whole.payload)
            if self.ended is not None:
                return
        if collector.ended is not None:
            self.ended = collector.ended
        elif collector.is_idle:
            self._collector = None

"""Read WebSocket frame headers and enforce the rules of the protocol (RFC 6455, section 5).

What `frames` (follow a stream) and `messages` (reassemble one) share. Reading a header changes no state,
so a header that is split over chunks is simply read again when more bytes have come.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

from proxy.core.closes import NO_STATUS, Close, is_sendable

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_CONTROL_BYTES = 125

# What is read in one go, until the next link has its turn: about half a millisecond's worth. A message of a
# run of whole ones costs 1, a frame that is looked at by itself STEP_COST.
TURN_COST = 2048
STEP_COST = 8
# Frames that one message may come in, control frames in between included: so many, and one more for each
# BYTES_A_PART of its payload. Else a message of a million empty fragments would cost its sender nothing.
SPARE_PARTS = 1024
BYTES_A_PART = 16

# What the first byte of a frame may be, by state: tables of 256 kinds. All rules about FIN, RSV and opcodes,
# and which of them may follow which, come down to one lookup a frame.
REFUSED, FINAL, PART, CONTROL = 0, 1, 2, 3


def _kinds(*, data_frames: tuple[int, ...]) -> bytes:
    kinds = bytearray(256)
    for first in data_frames:
        kinds[first] = PART
        kinds[0x80 | first] = FINAL
    for opcode in (CLOSE, PING, PONG):
        kinds[0x80 | opcode] = CONTROL
    return bytes(kinds)


BETWEEN = _kinds(data_frames=(TEXT, BINARY))
BETWEEN_RSV1 = _kinds(data_frames=(TEXT, BINARY, 0x40 | TEXT, 0x40 | BINARY))
IN_MESSAGE = _kinds(data_frames=(CONT,))


TOO_MANY_PARTS = "message in too many fragments"


def too_many_parts(parts: int, message_bytes: int) -> bool:
    """Whether a message has come in more frames than its payload so far is worth."""
    return parts > SPARE_PARTS + message_bytes // BYTES_A_PART


@dataclass(frozen=True, slots=True)
class Violation(Close):
    """The stream broke the protocol: what to close with (1002, 1007 or 1009)."""


class ProtocolViolation(Exception):
    """Raised inside the parsers only; their callers are told by a `Violation`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.violation = Violation(code, reason)


def parse_close(payload: bytes) -> Close:
    """Read the unmasked payload of a close frame; code 1005 if it is empty.

    Raises ProtocolViolation: 1002 for a stray byte or a code that may not be sent, 1007 for bad UTF-8.
    """
    if not payload:
        return Close(NO_STATUS, "")
    if len(payload) == 1:
        raise ProtocolViolation(1002, "close frame too short")
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(1007, "close reason is not UTF-8") from None
    code = payload[0] << 8 | payload[1]
    if not is_sendable(code):
        raise ProtocolViolation(1002, "invalid close code")
    return Close(code, reason)


def xor_mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask `payload` with a key of 4 bytes (RFC 6455, section 5.3)."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")


def _why_refused(first: int, *, in_message: bool, allow_rsv1: bool) -> str:
    opcode = first & 0x0F
    if opcode not in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
        return "reserved opcode"
    if first & 0x30 or (first & 0x40 and not (allow_rsv1 and opcode in (TEXT, BINARY))):
        return "reserved bits are set"
    if opcode >= CLOSE:
        return "fragmented control frame"
    return "expected a continuation frame" if in_message else "unexpected continuation frame"


class Partial:
    """The whole frames so far of a message: `payload` unmasked and joined, `wire` as they came."""

    __slots__ = ("opcode", "payload", "wire")

    def __init__(self, opcode: int, payload: bytes = b"", wire: bytes = b"") -> None:
        self.opcode, self.payload, self.wire = opcode, bytearray(payload), bytearray(wire)

    def told(self) -> tuple[int, bytes, bytes]:
        """What one like it is made with."""
        return self.opcode, bytes(self.payload), bytes(self.wire)

    def add(self, payload: bytes, wire: bytes) -> None:
        self.payload += payload
        self.wire += wire


Header = tuple[int, int, int]  # kind, start of payload, payload bytes


class FrameReader:
    """The rules for one direction of a connection, where in a message it stands, and what it has counted.

    Attributes:
        unread: what was fed but not looked at yet, because the turn was over or the quota used up. It begins
            with a frame, and goes on by `resume`.
        quota: no message begins once so many were completed; raise it and resume.
        control_frames: pings, pongs and closes so far.
    """

    __slots__ = (
        "_between", "_kinds", "_mask_bit", "_message_bytes", "_partial", "_parts", "_short_header_bytes",
        "control_frames", "ended", "max_message_bytes", "messages", "payload_bytes", "pong_prefix", "quota",
        "unread",
    )  # fmt: skip
    # Where it stands between two reads. A class of scanners names its own; what is plain is told as it is.
    STATE: ClassVar[tuple[str, ...]] = (
        "_message_bytes", "_parts", "control_frames", "messages", "payload_bytes", "pong_prefix", "unread",
    )  # fmt: skip

    def __init__(self, *, masked: bool, max_message_bytes: int, allow_rsv1: bool, pong_prefix: bytes) -> None:
        self.max_message_bytes = max_message_bytes
        self.pong_prefix = pong_prefix
        self.ended: Close | Violation | None = None
        self.unread = b""
        self.quota = sys.maxsize
        self.messages = self.payload_bytes = self.control_frames = 0
        self._mask_bit = 0x80 if masked else 0
        self._short_header_bytes = 6 if masked else 2
        self._between = BETWEEN_RSV1 if allow_rsv1 else BETWEEN
        self._kinds = self._between
        # Of the message under way: payload as announced by its headers so far, frames after the first.
        self._message_bytes = self._parts = 0
        self._partial: Partial | None = None  # a message of which nothing was passed on, its whole frames

    def told(self) -> dict[str, Any]:
        """Where it stands between two reads, as plain values by name. Its quota is its owner's to give."""
        return {
            **{name: getattr(self, name) for name in self.STATE},
            "compressed": self._between is BETWEEN_RSV1,
            "in_message": self._kinds is IN_MESSAGE,
            "partial": None if self._partial is None else self._partial.told(),
        }

    def go_on(self, told: dict[str, Any]) -> None:
        """Stand where one that was made alike has told that it does."""
        for name in self.STATE:
            setattr(self, name, told[name])
        self._between = BETWEEN_RSV1 if told["compressed"] else BETWEEN
        self._kinds = IN_MESSAGE if told["in_message"] else self._between
        self._partial = None if told["partial"] is None else Partial(*told["partial"])

    @property
    def awaits_quota(self) -> bool:
        """Whether what is unread has to wait for a larger quota."""
        return bool(self.unread) and self._is_to_wait(self.unread[0])

    def _is_to_wait(self, first: int) -> bool:
        """Whether the frame that begins so waits for a larger quota: neither control frames nor the rest of a
        message do."""
        kinds = self._kinds
        return self.messages >= self.quota and kinds is not IN_MESSAGE and kinds[first] != CONTROL

    def _count_part(self) -> None:
        """Count a frame that comes inside of a message. Raises ProtocolViolation (1009) at too many."""
        self._parts += 1
        if too_many_parts(self._parts, self._message_bytes):
            raise ProtocolViolation(1009, TOO_MANY_PARTS)

    def _header(self, chunk: bytes, position: int) -> Header | None:
        """The header there, None while it is incomplete.

        Raises ProtocolViolation: 1002, or 1009 before any payload of a message that would be too big.
        """
        if len(chunk) - position < 2:
            return None
        first = chunk[position]
        kind = self._kinds[first]
        if kind == REFUSED:
            in_message, allow_rsv1 = self._kinds is IN_MESSAGE, self._between is BETWEEN_RSV1
            raise ProtocolViolation(1002, _why_refused(first, in_message=in_message, allow_rsv1=allow_rsv1))
        length = chunk[position + 1] ^ self._mask_bit
        if length > 127:
            raise ProtocolViolation(1002, "incorrect masking")
        start = position + self._short_header_bytes
        if length > MAX_CONTROL_BYTES:
            if kind == CONTROL:
                raise ProtocolViolation(1002, "control frame too long")
            extra = 2 if length == 126 else 8
            if len(chunk) < position + 2 + extra:
                return None
            length = _extended_length(chunk[position + 2 : position + 2 + extra])
            start += extra
        if kind != CONTROL and self._message_bytes + length > self.max_message_bytes:
            raise ProtocolViolation(1009, f"message over {self.max_message_bytes} bytes")
        return (kind, start, length) if start <= len(chunk) else None

    def _keeps(self, opcode: int, payload: bytes) -> bool:
        """Note a control frame, and whether it is for us: a close, or the pong to a ping of ours.

        Raises ProtocolViolation.
        """
        self.control_frames += 1
        if self._kinds is IN_MESSAGE:
            self._count_part()
        if opcode == CLOSE:
            self.ended = parse_close(payload)
            return True
        return opcode == PONG and bool(self.pong_prefix) and payload.startswith(self.pong_prefix)


def _extended_length(field: bytes) -> int:
    length = int.from_bytes(field, "big")
    if length >> 63:
        raise ProtocolViolation(1002, "frame length has its top bit set")
    if length < (126 if len(field) == 2 else 0x10000):
        raise ProtocolViolation(1002, "frame length not minimally encoded")
    return length

"""What the `websockets` library makes of a stream of frames: the judge of our scanners.

Where the library is laxer or merely different, it is said here and nowhere else:
- it takes lengths that are not minimally encoded, or have their top bit set: `judge` stops it there;
- it judges some headers only when the payload is there, and of two faults in one header may report the other;
- it calls a close inside a fragmented message a violation; RFC 6455, section 5.4, allows it;
- it counts a control frame inside a message towards the message's size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from websockets.typing import ExtensionName
from websockets.utils import apply_mask

from proxy.core.closes import Close
from proxy.core.wire.headers import Violation

JUDGED_EARLY = {
    "reserved bits are set",
    "expected a continuation frame",
    "unexpected continuation frame",
    "fragmented control frame",
    "control frame too long",
}


class PassRsv1(Extension):
    """Stands for permessage-deflate: takes RSV1 on the first frame of a message, and nowhere else."""

    name = ExtensionName("pass-rsv1")

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        first = frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        return dataclasses.replace(frame, rsv1=False) if first else frame

    def encode(self, frame: Frame) -> Frame:
        return frame


class Reference(Protocol):
    """The library's protocol, but control frames have no part in the size of a message."""

    limit: int | None = None

    @property
    def max_message_size(self) -> int | None:
        upcoming = self.reader.buffer[:1]
        return None if upcoming and upcoming[0] & 0x08 else self.limit

    @max_message_size.setter
    def max_message_size(self, limit: int | None) -> None:
        self.limit = limit


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the scanner under test is made with."""

    masked: bool = True
    max_message_bytes: int = 1 << 20
    allow_rsv1: bool = False
    pong_prefix: bytes = b"gw:"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The frames of a stream up to its end, and how it ended: None, or a close, or a violation."""

    frames: tuple[Frame, ...]
    ended: Close | Violation | None


def serialize(frame: Frame, key: bytes | None) -> bytes:
    """The library's bytes for `frame`, masked with a key of our choosing; rule-breaking frames too."""
    lawful = dataclasses.replace(frame, fin=True, rsv1=False, rsv2=False, rsv3=False, opcode=Opcode.BINARY)
    wire = bytearray(lawful.serialize(mask=False))
    rsv = frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4
    wire[0] = frame.fin << 7 | rsv | frame.opcode
    if key is None:
        return bytes(wire)
    start = len(wire) - len(frame.data)
    wire[1] |= 0x80
    return bytes(wire[:start]) + key + apply_mask(bytes(wire[start:]), key)


def judge(stream: bytes, rules: Rules) -> Verdict:
    """Let the library parse the whole stream at once, up to the first length that it should not take."""
    stop = _first_bad_length(stream)
    if stop is not None:
        verdict = judge(stream[:stop], rules)
        return verdict if verdict.ended else Verdict(verdict.frames, Violation(1002, "bad length encoding"))
    side = Side.SERVER if rules.masked else Side.CLIENT
    protocol = Reference(side, state=OPEN, max_size=rules.max_message_bytes)
    protocol.extensions = [PassRsv1()] if rules.allow_rsv1 else []
    protocol.receive_data(stream)
    frames = tuple(frame for frame in protocol.events_received() if isinstance(frame, Frame))
    if protocol.close_rcvd is not None:
        return Verdict(frames, Close(protocol.close_rcvd.code, protocol.close_rcvd.reason))
    if protocol.parser_exc is None:
        return Verdict(frames, None)
    assert protocol.close_sent is not None, protocol.parser_exc
    return Verdict(frames, Violation(protocol.close_sent.code, str(protocol.parser_exc)))


def assert_same_end(ours: Close | Violation | None, verdict: Verdict, stream: bytes, rules: Rules) -> None:
    """Ours must be the library's, but for the differences named above."""
    theirs = verdict.ended
    if not isinstance(ours, Violation):
        assert ours == theirs, (ours, theirs)
    elif theirs is None:
        assert ours.reason in JUDGED_EARLY, ours
        later = judge(stream + bytes(70_000), rules).ended
        assert later is None or later.code in (ours.code, 1009), (ours, later)
    elif theirs.code != ours.code:
        assert (ours.code, theirs.code) == (1002, 1009), (ours, theirs)
        assert ours.reason in JUDGED_EARLY, ours


def _first_bad_length(stream: bytes) -> int | None:
    start = 0
    while len(stream) - start >= 2:
        length, masked, field = stream[start + 1] & 0x7F, stream[start + 1] >> 7, 0
        if length > 125:
            field = 2 if length == 126 else 8
            if len(stream) < start + 2 + field:
                return None
            length = int.from_bytes(stream[start + 2 : start + 2 + field], "big")
            if length < (126 if field == 2 else 0x10000) or length >> 63:
                return start
        start += 2 + field + 4 * masked + length
    return None


def spans(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Start, start of payload and end of every frame whose header is whole; the last end may lie beyond."""
    start = 0
    while len(stream) - start >= 2:
        length, payload = stream[start + 1] & 0x7F, start + 2
        if length > 125:
            extra = 2 if length == 126 else 8
            length = int.from_bytes(stream[payload : payload + extra], "big")
            payload += extra
        payload += 4 if stream[start + 1] & 0x80 else 0
        if payload > len(stream):
            return
        yield start, payload, payload + length
        start = payload + length

"""Run our scanners over a stream in chunks and hold them against the library's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise

from websockets.frames import Opcode
from websockets.utils import apply_mask

from proxy.core.wire.frames import Scanner
from proxy.core.wire.messages import Message, MessageScanner
from proxy.core.wire.tests.reference import Rules, Verdict, assert_same_end, spans


class Expected:
    """What must come out for a stream, worked out from the library's frames."""

    def __init__(self, stream: bytes, verdict: Verdict, rules: Rules, *, broken: bool) -> None:
        self.wire = bytearray()
        self.boundaries, self.frame_ends = {0}, {0}
        self.messages = 0
        self._rules = rules
        self._in_message = False
        frames = list(spans(stream))
        for frame, (start, _, end) in zip(verdict.frames, frames, strict=False):
            self._take(frame.opcode, bytes(frame.data), frame.fin, stream[start:end])
        rest = frames[len(verdict.frames) :]
        if rest and verdict.ended is None and not broken and not stream[rest[0][0]] & 0x08:
            self.wire += stream[rest[0][0] :]  # payload passes as it comes

    def _take(self, opcode: Opcode, payload: bytes, fin: bool, wire: bytes) -> None:
        if opcode is Opcode.CLOSE:
            return
        if opcode is Opcode.PONG and payload.startswith(self._rules.pong_prefix):
            return
        self.wire += wire
        if opcode not in (Opcode.PING, Opcode.PONG):
            self._in_message = not fin
            self.messages += fin
        self.frame_ends.add(len(self.wire))
        if not self._in_message:
            self.boundaries.add(len(self.wire))


def compare(stream: bytes, chunks: Sequence[bytes], verdict: Verdict, rules: Rules) -> None:
    """Feed a `Scanner`; every output, offset, count and end must be as the library has it."""
    scanner = Scanner(**asdict(rules))
    outputs = []
    for chunk in chunks:
        wire = scanner.feed(chunk)
        outputs.append((wire, scanner.boundary, scanner.between_messages, scanner.between_frames))
        while scanner.unread:
            wire = scanner.resume()
            outputs.append((wire, scanner.boundary, scanner.between_messages, scanner.between_frames))
    assert_same_end(scanner.ended, verdict, stream, rules)
    expected = Expected(stream, verdict, rules, broken=scanner.ended is not None)
    assert b"".join(wire for wire, *_ in outputs) == bytes(expected.wire)
    assert scanner.messages == expected.messages
    written = 0
    for wire, boundary, between_messages, between_frames in outputs:
        inside = [at - written for at in expected.boundaries if written <= at <= written + len(wire)]
        assert boundary == max(inside, default=-1)
        written += len(wire)
        assert between_messages == (written in expected.boundaries)
        assert between_frames == (written in expected.frame_ends)


def compare_whole(stream: bytes, chunks: Sequence[bytes], verdict: Verdict, rules: Rules) -> None:
    """Feed a `MessageScanner`; messages and control frames must be those of the library."""
    scanner = MessageScanner(
        masked=rules.masked,
        max_message_bytes=rules.max_message_bytes,
        pong_prefix=rules.pong_prefix,
        apply_mask=apply_mask,
    )
    whole: list[Message | bytes] = []
    for chunk in chunks:
        whole += scanner.feed(chunk)
        while scanner.unread:
            whole += scanner.resume()
    if scanner.ended is None or scanner.ended.reason != "message in too many fragments":
        assert_same_end(scanner.ended, verdict, stream, rules)
        assert whole == _whole(stream, verdict, rules)
        assert scanner.messages == sum(isinstance(item, Message) for item in whole)


def _whole(stream: bytes, verdict: Verdict, rules: Rules) -> list[Message | bytes]:
    whole: list[Message | bytes] = []
    opcode, payload, wire = 0, b"", b""
    for frame, (start, _, end) in zip(verdict.frames, spans(stream), strict=False):
        content = bytes(frame.data)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            opcode = opcode or frame.opcode
            payload, wire = payload + content, wire + stream[start:end]
            if frame.fin:
                whole.append(Message(opcode, payload, wire))
                opcode, payload, wire = 0, b"", b""
        elif frame.opcode is Opcode.PING or not (
            frame.opcode is Opcode.CLOSE or content.startswith(rules.pong_prefix)
        ):
            whole.append(stream[start:end])
    return whole


def cut_at(stream: bytes, offsets: Sequence[int]) -> list[bytes]:
    """The stream in chunks that end at `offsets`."""
    edges = [0, *sorted(offsets), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]

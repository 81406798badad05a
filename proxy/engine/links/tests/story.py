"""Ends that say what they are given bit by bit, and judge what they hear."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from proxy.core.closes import Close
from proxy.core.wire.framing import close_frame, ping_frame
from proxy.core.wire.headers import CLOSE, CONT, PING, parse_close, xor_mask
from proxy.core.wire.tests.frames import pong_frame
from proxy.core.wire.tests.reference import spans
from proxy.engine.links.tests.dialogue import Dialogue, Wire


class Heard(NamedTuple):
    """What one end has made of the stream that it read."""

    messages: list[bytes]
    close: Close | None


class End:
    """A client (with a mask) or a service. Says frames in pieces of any size, answers pings and a close."""

    def __init__(self, link: Dialogue, *, mask: bytes | None) -> None:
        self._link, self._mask = link, mask
        self._wire.stalls()
        self._frames: deque[bytes] = deque()
        self._begun = b""  # the rest of the frame under way
        self._has_closed = self._is_gone = False
        self._read = bytearray()
        self._answered = 0  # bytes of it

    @property
    def _wire(self) -> Wire:
        return self._link.service if self._mask is None else self._link.client

    def say(self, frames: list[bytes]) -> None:
        self._frames.extend(frames)

    def send(self, size: int) -> None:
        """Hand so many bytes of what it has to say to the network."""
        chunk = self._begun
        while len(chunk) < size and self._frames:
            chunk += self._frames.popleft()
        self._begun = chunk[size:]
        if chunk[:size] and not self._is_gone:
            self._wire.says(chunk[:size])

    def read(self, size: int) -> None:
        """Read so many bytes, and answer what asks for it."""
        self._read += self._wire.reads(size)
        base = self._answered
        for start, payload, end in spans(bytes(self._read[base:])):
            if base + end > len(self._read):
                break
            self._answered = base + end
            self._answer(self._read[base + start] & 0x0F, self._payload(base + payload, base + end))
        if self._wire.ended_by == "write_eof" and not self._wire.buffer:
            self.leave()

    def _answer(self, opcode: int, payload: bytes) -> None:
        if opcode == PING and not self._has_closed:
            self._frames.appendleft(pong_frame(payload, mask=self._mask))
        elif opcode == CLOSE:
            self.close(parse_close(payload))

    def close(self, close: Close) -> None:
        """Say no more than a close, behind the frame under way."""
        if not self._has_closed:
            self._has_closed = True
            self._frames.clear()
            self._frames.append(close_frame(close.code, close.reason, mask=self._mask))
            self.send(1 << 20)

    def leave(self) -> None:
        """Close the socket without a word."""
        if not self._is_gone:
            self._is_gone = True
            self._wire.leaves()

    def flood(self, pings: int) -> None:
        """Send so many pings in one go, if between two frames."""
        if not (self._begun or self._has_closed or self._is_gone):
            self._wire.says(ping_frame(b"", mask=self._mask) * pings)

    def reset(self) -> None:
        self._is_gone = True
        self._wire.resets()

    def heard(self) -> Heard:
        """What was read, held against the protocol: messages whole and not mixed, nothing behind a close."""
        stream, messages = bytes(self._read), list[bytes]()
        partial: bytes | None = None
        close: Close | None = None
        for start, begin, end in spans(stream):
            assert close is None, "something behind the close"
            first, payload = stream[start], self._payload(begin, end)
            assert bool(stream[start + 1] & 0x80) is (self._mask is None), "masked the wrong way"
            if end > len(stream):
                break
            if first & 0x0F == CLOSE:
                close = parse_close(payload)
            elif not first & 0x08:
                assert (first & 0x0F == CONT) is (partial is not None), "a message inside of another"
                partial = (partial or b"") + payload
                if first & 0x80:
                    messages.append(partial)
                    partial = None
        return Heard(messages, close)

    def _payload(self, start: int, end: int) -> bytes:
        payload = bytes(self._read[start:end])
        return xor_mask(payload, bytes(self._read[start - 4 : start])) if self._mask is None else payload

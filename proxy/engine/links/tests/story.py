"""Two ends, the sockets between them and a gateway, and a clock: all that a splice sees, without a wait."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

from proxy.core.closes import Close
from proxy.core.wire.framing import close_frame, ping_frame
from proxy.core.wire.headers import CLOSE, CONT, PING, parse_close, xor_mask
from proxy.core.wire.tests.frames import pong_frame
from proxy.core.wire.tests.reference import spans

HIGH_WATER_BYTES, LOW_WATER_BYTES = 600, 100


class VirtualTime(asyncio.SelectorEventLoop):
    """A loop in which no time passes but when all that is left to do is to wait; waits take none at all."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def select_at_once(seconds: float | None) -> Any:
            assert seconds is not None, "nothing will ever happen again"
            self._seconds += seconds
            return select(0)

        selector.select = select_at_once

    def time(self) -> float:
        return self._seconds


class Socket(asyncio.Transport):
    """The gateway's socket to one end, as uvloop's behave: to write to one that is lost raises."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = bytearray()  # what the end has yet to read
        self.is_lost = False
        self._arriving: deque[bytes | None] = deque()  # None: the end has closed its direction
        self._is_reading, self._is_paused, self._has_ended = True, False, False
        self._is_closing = self._is_closed = self.eof_written = False
        self._protocol: Any = None

    # --- The end's side -----

    def arrive(self, chunk: bytes | None) -> None:
        self._arriving.append(chunk)
        asyncio.get_running_loop().call_soon(self._deliver)

    def taken(self, size: int) -> bytes:
        """The end reads at most so many bytes."""
        read = bytes(self.buffer[:size])
        del self.buffer[:size]
        if self._is_paused and len(self.buffer) <= LOW_WATER_BYTES and not self._is_closed:
            self._is_paused = False
            self._protocol.resume_writing()
        if self._is_closing and not self.buffer:
            self.lose(None)
        return read

    def lose(self, error: Exception | None) -> None:
        if not self.is_lost:
            self.is_lost = True
            asyncio.get_running_loop().call_soon(self._connection_lost, error)

    def _connection_lost(self, error: Exception | None) -> None:
        self._is_closed = True
        self._protocol.connection_lost(error)

    def _deliver(self) -> None:
        if not self._arriving or not self._is_reading or self.is_closing() or self._has_ended:
            return
        chunk = self._arriving.popleft()
        if chunk is not None:
            self._protocol.data_received(chunk)
            asyncio.get_running_loop().call_soon(self._deliver)
            return
        self._has_ended = True
        if not self._protocol.eof_received():
            self.close()

    # --- The gateway's side -----

    def write(self, data: Any) -> None:
        assert not self.eof_written, "written after the end"
        if self._is_closed:
            raise RuntimeError("the handler is closed")
        if self.is_lost:
            return
        assert not self._is_closing, "written after the close"
        self.buffer += data
        if len(self.buffer) > HIGH_WATER_BYTES and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._is_closing or self.is_lost

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof_written = True

    def close(self) -> None:
        self._is_closing = True
        if not self.buffer:
            self.lose(None)

    def abort(self) -> None:
        self._is_closing = True
        self.buffer.clear()
        self.lose(None)


class Heard(NamedTuple):
    """What one end has made of the stream that it read."""

    messages: list[bytes]
    close: Close | None


class End:
    """A client (with a mask) or a service. Says frames in pieces of any size, answers pings and a close."""

    def __init__(self, *, mask: bytes | None) -> None:
        self.socket, self._mask = Socket(), mask
        self._frames: deque[bytes] = deque()
        self._begun = b""  # the rest of the frame under way
        self._has_closed = self._is_gone = False
        self._read = bytearray()
        self._answered = 0  # bytes of it

    def say(self, frames: list[bytes]) -> None:
        self._frames.extend(frames)

    def send(self, size: int) -> None:
        """Hand so many bytes of what it has to say to the network."""
        chunk = self._begun
        while len(chunk) < size and self._frames:
            chunk += self._frames.popleft()
        self._begun = chunk[size:]
        if chunk[:size] and not self._is_gone:
            self.socket.arrive(chunk[:size])

    def read(self, size: int) -> None:
        """Read so many bytes, and answer what asks for it."""
        self._read += self.socket.taken(size)
        base = self._answered
        for start, payload, end in spans(bytes(self._read[base:])):
            if base + end > len(self._read):
                break
            self._answered = base + end
            self._answer(self._read[base + start] & 0x0F, self._payload(base + payload, base + end))
        if self.socket.eof_written and not self.socket.buffer:
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
            self.socket.arrive(None)

    def flood(self, pings: int) -> None:
        """Send so many pings in one go, if between two frames."""
        if not (self._begun or self._has_closed or self._is_gone):
            self.socket.arrive(ping_frame(b"", mask=self._mask) * pings)

    def reset(self) -> None:
        self._is_gone = True
        self.socket.lose(ConnectionResetError())

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

"""A splice without sockets or an event loop: what its ends say goes in, what they hear comes out.

with Dialogue() as link:
    link.service.says(BEGUN)
    link.inject("event")
    link.client.hears(BEGUN)
    link.service.says(REST)
    link.client.hears(REST, text_frame("event"))
"""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.hook_failures import HookFailed
from proxy.core.limits import LinkLimits
from proxy.core.records import LinkCounters
from proxy.core.wire.headers import CLOSE, xor_mask
from proxy.core.wire.tests.frames import encode_frame
from proxy.core.wire.tests.reference import spans
from proxy.engine.links.splice import Splice
from proxy.engine.links.terms import End, SpliceRequest, Terms
from proxy.engine.links.tests.clock import Clock
from proxy.engine.links.tests.splicing import Counted, answer_to
from proxy.engine.pools.rawdial import RawUpstream

HIGH_BYTES, LOW_BYTES = 600, 100
PAUSE_SECONDS = 2.0


class Wire(asyncio.Transport):
    """The gateway's socket to one end, and what that end does. It behaves as uvloop's do.

    An end reads at once, unless it `stalls`; then the transport is full beyond HIGH_BYTES, until the end has
    read it down to LOW_BYTES. `ended_by`: how the gateway has ended it: write_eof, close or abort. `writes`:
    in how many parts the gateway wrote what it has written.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.reading, self.ended_by = True, ""
        self.written, self.writes = bytearray(), 0  # all that the gateway has
        self.buffer = bytearray()  # what of it the end has yet to read
        self._clock, self._heard_bytes = clock, 0
        self._is_stalled = self._is_full = self._has_left = self._is_lost = self._is_gone = False
        self._arriving: deque[bytes | None] = deque()  # None: the end has closed its direction
        self._protocol: Any = None

    # --- The end's side -----

    def says(self, *chunks: bytes) -> None:
        """Send these; each arrives by itself, as soon as the gateway reads."""
        self._arriving.extend(chunks)
        self._deliver()

    def hears(self, *frames: bytes) -> None:
        """Nothing has come since the last time but these; one that is given unmasked may come masked."""
        new, self._heard_bytes = self.written[self._heard_bytes :], len(self.written)
        told = split(new)
        for at, hoped in enumerate(frames[: len(told)]):
            told[at] = hoped if unmasked(told[at]) == hoped else told[at]
        assert told == list(frames), f"{_short(told)} in place of {_short(frames)}"

    def frames(self) -> list[bytes]:
        """All that came, frame by frame; the last one may not be whole."""
        return split(self.written)

    @property
    def is_closed(self) -> bool:
        """Whether the last that came is a close."""
        return self.frames()[-1][0] == 0x80 | CLOSE

    def stalls(self) -> None:
        """Read nothing from now on but what `reads` says."""
        self._is_stalled = True

    def reads(self, size: int | None = None) -> bytes:
        """Read so much of what waits; without a size all of it, and from now on at once."""
        self._is_stalled = self._is_stalled and size is not None
        read = bytes(self.buffer[:size])
        del self.buffer[: len(read)]
        if self._is_full and len(self.buffer) <= LOW_BYTES and not self._is_gone:
            self._is_full = False
            self._protocol.resume_writing()
        if self.is_closing() and not self.buffer:
            self._lose(None)
        return read

    def leaves(self) -> None:
        """Close the end's direction, without a word."""
        self._arriving.append(None)
        self._deliver()

    def resets(self) -> None:
        """Be lost; the gateway hears of it in the loop's next turn."""
        self._lose(ConnectionResetError())

    def dup(self) -> Wire:
        """Another socket of the same connection, for who goes on with it: all of the end stays."""
        other = Wire(self._clock)
        other.written, other.buffer, other._heard_bytes = self.written, self.buffer, self._heard_bytes
        other._arriving, other._is_stalled = self._arriving, self._is_stalled
        self.written, self.buffer, self._arriving = bytearray(), bytearray(), deque()
        return other

    # --- The gateway's side -----

    def write(self, data: Any) -> None:
        assert self.ended_by != "write_eof", "written after the end"
        if self._is_gone:
            raise RuntimeError("the handler is closed")
        if self._is_lost:
            return
        assert not self.ended_by, "written after the close"
        self.writes += 1
        self.written += data
        if self._is_stalled:
            self.buffer += data
        if len(self.buffer) > HIGH_BYTES and not self._is_full:
            self._is_full = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        if not self.reading:
            self.reading = True
            self._clock.call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._is_lost or self.ended_by in {"close", "abort"}

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended_by = self.ended_by or "write_eof"

    def close(self) -> None:
        self.ended_by = "close"
        if not self.buffer:
            self._lose(None)

    def abort(self) -> None:
        self.ended_by = "abort"
        self.buffer.clear()
        self._lose(None)

    # --- In between -----

    def _deliver(self) -> None:
        while self._arriving and self.reading and not self.is_closing() and not self._has_left:
            chunk = self._arriving.popleft()
            if chunk is not None:
                self._protocol.data_received(chunk)
                continue
            self._has_left = True
            if not self._protocol.eof_received():
                self.close()

    def _lose(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._clock.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        self._is_gone = True
        self._protocol.connection_lost(error)


class Dialogue:
    """A spliced link, its two ends, and its life. Within `with`, its clock is the running loop.

    `options` are those of a SpliceRequest; `compressed`: an extension was negotiated. `answer` is to control
    messages. `end`: how the link ended, None while it lives; `failures`: of the route's own code.
    """

    def __init__(
        self,
        *,
        limits: LinkLimits | None = None,
        compressed: bool = False,
        greeting: bytes = b"",
        early: bytes = b"",
        answer: Callable[[str], str] = answer_to,
        **options: Any,
    ) -> None:
        self.clock = Clock()  # type: ignore[abstract]  # of a loop it is only a part
        self.counted, self.counters = Counted(), LinkCounters()
        self.client, self.service = Wire(self.clock), Wire(self.clock)
        self.end: End | None = None
        self.failures: list[HookFailed] = []
        self._limits, self._options = limits or LinkLimits(), options
        self._compressed, self._greeting, self._early, self._answer = compressed, greeting, early, answer

    def __enter__(self) -> Self:
        asyncio._set_running_loop(self.clock)
        request = self._request()
        request.upstream.early = self._greeting
        request.upstream.extensions = "permessage-deflate" if self._compressed else None
        self.splice = Splice(self.client, request, early=self._early)
        return self

    def _request(self) -> SpliceRequest:
        upstream = RawUpstream()
        upstream.transport = self.service
        route = self.counted.route
        terms = Terms(limits=self._limits, counters=self.counters, life=self, route=route, **self._options)
        return SpliceRequest(upstream, terms)

    def __exit__(
        self, failed: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            if failed is None:
                self.splice.abort()
                self.clock.wait()
                assert self.end is not None, "the link never ends"
        finally:
            asyncio._set_running_loop(None)

    def inject(self, *texts: str) -> None:
        """Publish events to the client."""
        self.splice.inject(*map(Event, texts))

    def ends(self, close: Close, by: ClosedBy = ClosedBy.GATEWAY) -> None:
        """The gateway ends the link."""
        self.splice.end(close, by)

    def hands_over(self) -> bool:
        """Another splice goes on with the link, on other sockets of the same connections; if that can be."""
        self.splice.pause(PAUSE_SECONDS)
        told = self.splice.tell()
        if told is None:
            return False
        self.client, self.service = self.client.dup(), self.service.dup()
        self.splice.leave()
        self.splice = Splice(self.client, self._request(), told=pickle.loads(pickle.dumps(told)))
        return True

    def wait(self, seconds: float = 0.0) -> None:
        """Let time pass, and every leg have the turns that are due by then."""
        self.clock.wait(seconds)

    def turns(self) -> float:
        """Let every leg have the turns that it waits for; how many seconds they took."""
        began = self.clock.time()
        legs = (self.splice.down, self.splice.up)
        while any(not leg.gone and leg.turn is not None for leg in legs):
            self.wait(0.05)
        return self.clock.time() - began

    # --- The link's life -----

    def joined(self, stream: object) -> None: ...

    def control(self, text: str) -> str:
        return self._answer(text)

    def failed(self, error: HookFailed) -> None:
        self.failures.append(error)

    def ended(self, close: Close, by: ClosedBy) -> None:
        assert self.end is None, "ended twice"
        self.end = End(close, by)


def _short(frames: Sequence[bytes]) -> str:
    return ", ".join(f"{frame[:40]!r} of {len(frame)} bytes" for frame in frames) or "nothing"


def unmasked(frame: bytes) -> bytes:
    """A whole frame as one that is not masked."""
    if not frame[1] & 0x80:
        return frame
    ((_, start, end),) = spans(frame)
    payload = xor_mask(frame[start:end], frame[start - 4 : start])
    return encode_frame(frame[0] & 0x0F, payload, fin=frame[0] > 0x7F)


def split(stream: bytes | bytearray) -> list[bytes]:
    """A stream as its frames; the last one may not be whole."""
    whole = bytes(stream)
    return [whole[start:end] for start, _, end in spans(whole)]

"""Putting events into a spliced client's stream, where whole messages fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from proxy.core.events import Event
from proxy.core.limits import LinkLimits
from proxy.core.routes import Overflow
from proxy.core.wire.framing import text_frame
from proxy.engine.links.outbox import Outbox, OutboxFull
from proxy.engine.links.splice_request import End, Observer
from proxy.engine.links.spliced_leg import SplicedLeg

# Frames are written together up to this; a system call a frame would cost more than the copy.
_BATCH_BYTES = 64 * 1024


class Injection(ABC):
    """The side of a splice that takes events. `ended` is None while the link lives."""

    __slots__ = (
        "_injected",
        "_injected_bytes",
        "_observer",
        "_outbox",
        "_overflow",
        "down",
        "ended",
        "limits",
        "up",
    )
    down: SplicedLeg
    up: SplicedLeg

    def __init__(self, *, limits: LinkLimits, overflow: Overflow, observer: Observer) -> None:
        self.limits, self._overflow, self._observer = limits, overflow, observer
        self.ended: End | None = None
        self._outbox: Outbox[bytes] | None = None  # there is one only while something waits
        self._injected = self._injected_bytes = 0

    @abstractmethod
    def too_slow(self, leg: SplicedLeg) -> None:
        """`leg` does not keep up: end the link."""

    def inject(self, event: Event) -> None:
        """Put an event into the client's stream; its frame is made once for all links."""
        if event.frame is None:
            event.frame = text_frame(event.text)
        self.inject_frame(event.frame)

    def inject_frame(self, frame: bytes) -> None:
        """Put one whole unmasked frame into the client's stream: now, or between the messages under way.

        Until then it waits in the outbox. When that is full, the route's policy closes the client with 1008
        or drops the oldest. Once the link has ended, or the client is gone, nothing is injected.
        """
        down = self.down
        if self.ended is not None or down.shut:
            return
        if self._outbox is None and not down.stalled_at and self.up.scanner.between_messages:
            down.transport.write(frame)
            self._count_injected((frame,))
        else:
            self._put_into_outbox(frame)

    def _put_into_outbox(self, frame: bytes) -> None:
        if self._outbox is None:
            self._outbox = Outbox(max_bytes=self.limits.outbox_bytes, overflow=self._overflow)
            self.up.watched = True
        try:
            dropped = self._outbox.put(frame, len(frame))
        except OutboxFull:
            self.too_slow(self.down)
            return
        if dropped:
            self._observer.events_dropped(dropped)

    def flush_outbox(self, *, wholly: bool = False) -> None:
        """Write what waits, at a place where whole messages fit; until the client stalls, unless `wholly`."""
        outbox, down = self._outbox, self.down
        while outbox is not None and not outbox.is_empty and (wholly or not down.stalled_at):
            frames = _next_frames(outbox)
            down.transport.write(b"".join(frames))
            self._count_injected(frames)
        if outbox is not None and outbox.is_empty:
            self._outbox = None
            self.up.watched = self.ended is not None

    def _count_injected(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            self._injected += 1
            self._injected_bytes += payload_bytes(frame)


def _next_frames(outbox: Outbox[bytes]) -> list[bytes]:
    """The next frames to write together; at least one."""
    frames, size_bytes = [outbox.take()], 0
    while not outbox.is_empty and size_bytes < _BATCH_BYTES:
        size_bytes += len(frames[-1])
        frames.append(outbox.take())
    return frames


def payload_bytes(frame: bytes) -> int:
    """Payload in one whole unmasked frame."""
    length = frame[1]
    return len(frame) - (2 if length < 126 else 4 if length == 126 else 10)

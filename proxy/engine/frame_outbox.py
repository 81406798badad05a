"""The bounded queue of frames that a spliced client has yet to get."""

from __future__ import annotations

from collections import deque

from proxy.core.routes import Overflow
from proxy.engine.outbox import OutboxFull

# Frames are written together up to this; a system call a frame would cost more than the copy.
_BATCH_BYTES = 64 * 1024


class FrameOutbox:
    """Whole frames in order, at most `max_bytes` of them. Exists only while something waits."""

    __slots__ = ("_frames", "_max_bytes", "_overflow", "buffered_bytes")

    def __init__(self, *, max_bytes: int, overflow: Overflow) -> None:
        self._frames: deque[bytes] = deque()
        self._max_bytes, self._overflow = max_bytes, overflow
        self.buffered_bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._frames

    def put(self, frame: bytes) -> int:
        """Add a frame; return how many were dropped: older ones, or itself if it can never fit.

        Raises:
            OutboxFull: it does not fit, and the policy is to close.
        """
        dropped = 0
        if self.buffered_bytes + len(frame) > self._max_bytes:
            if self._overflow is Overflow.CLOSE:
                raise OutboxFull
            if len(frame) > self._max_bytes:
                return 1
            while self.buffered_bytes + len(frame) > self._max_bytes:
                self.buffered_bytes -= len(self._frames.popleft())
                dropped += 1
        self._frames.append(frame)
        self.buffered_bytes += len(frame)
        return dropped

    def take(self) -> list[bytes]:
        """The next frames to write together; at least one."""
        taken, size = [self._frames.popleft()], 0
        while self._frames and size < _BATCH_BYTES:
            size += len(taken[-1])
            taken.append(self._frames.popleft())
        self.buffered_bytes -= sum(map(len, taken))
        return taken

"""Follow a stream of frames, and leave out whole messages of it."""

from __future__ import annotations

from typing import Any

from proxy.core.wire.frames import FULL_READ_BYTES, Output, Scanner
from proxy.core.wire.headers import FINAL, IN_MESSAGE, Header


class DroppingScanner(Scanner):
    """A scanner that can throw messages beyond its quota away, as they come, rather than leave them unread.

    It is for its owner to say so, each time that something is unread because of the quota. Control frames and
    control messages still go where they go, also from between the frames of what is dropped. A message that
    was let in is let in whole, and one of which the first frame was dropped is dropped to its end.

    Attributes:
        drops: whether messages beyond the quota are dropped, to the end of the turn that `resume` begins.
        dropped: messages of which that was so; they count as `messages`, too, once they are complete.
        dropped_bytes: payload announced by their headers. Whoever acts on these two sets them back.
    """

    __slots__ = ("_drop_left", "_is_dropping", "dropped", "dropped_bytes", "drops")
    STATE = (*Scanner.STATE, "_drop_left", "_is_dropping")

    def __init__(self, **options: Any) -> None:
        """As for `Scanner`."""
        super().__init__(**options)
        self.drops = self._is_dropping = False
        self.dropped = self.dropped_bytes = 0
        self._drop_left = 0  # payload of the frame under way, which goes nowhere

    @property
    def between_messages(self) -> bool:
        return self._is_dropping or super().between_messages

    @property
    def heard(self) -> int:
        return super().heard - self._drop_left

    def resume(self) -> bytes:
        passed = super().resume()
        self.drops = False
        return passed

    def _walk(self, chunk: bytes) -> bytes:
        size, rest = len(chunk), chunk[self._drop_left :] if self._drop_left else chunk
        self._drop_left -= size - len(rest)
        passed = super()._walk(rest)
        self._plain = self._plain and not self._drop_left
        self.noted = self.noted or bool(self.dropped or self.dropped_bytes) or size >= FULL_READ_BYTES
        return passed

    def _has_to_wait(self) -> bool:
        return not self.drops and super()._has_to_wait()

    def _begin_frame(self, chunk: bytes, position: int, header: Header, output: Output) -> int:
        if self._kinds is not IN_MESSAGE:
            self._drop_if_beyond()
        if not self._is_dropping:
            return super()._begin_frame(chunk, position, header, output)
        kind, _, length = header
        self.dropped_bytes += length
        end = super()._begin_frame(chunk, position, header, output)
        output.cut(position, end)
        if self._payload_left:
            self._drop_left, self._payload_left = self._payload_left, 0
            if kind == FINAL:
                self._complete_message()
        return end

    def _drop_if_beyond(self) -> None:
        """Decide about a message that goes on, or would."""
        if self.messages >= self.quota:
            self._is_dropping = True
            self.dropped += 1

    def _complete_message(self) -> None:
        super()._complete_message()
        self._is_dropping = False

    def _release(self, output: Output, position: int) -> None:
        partial = self._partial
        if partial is not None:
            self._drop_if_beyond()
        if partial is None or not self._is_dropping:
            super()._release(output, position)
            return
        self.payload_bytes += len(partial.payload)
        self.dropped_bytes += len(partial.payload)
        self._partial = None

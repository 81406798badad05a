"""Look on as frames go by: what each message was, as much of it as is to be shown (RFC 6455, section 5.2).

What goes by was judged by a scanner before, or was made here: nothing is judged again, and nothing is held
back. Who begins in the middle of a frame says how much of it is still to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.core.wire.headers import CLOSE, CONT, xor_mask

_FINAL, _COMPRESSED = 0x80, 0x40


class Seen(NamedTuple):
    """A message or a control frame that went by whole; of its payload, unmasked, at least the beginning."""

    opcode: int
    payload: bytes
    size_bytes: int  # of all of its payload, as it was sent
    compressed: bool = False

    @property
    def is_message(self) -> bool:
        return self.opcode < CLOSE

    @property
    def is_whole(self) -> bool:
        return len(self.payload) == self.size_bytes


class _Taken:
    """What was taken of a message or a control frame so far."""

    __slots__ = ("compressed", "kept", "opcode", "size_bytes")

    def __init__(self, first: int) -> None:
        self.opcode, self.compressed = first & 0x0F, bool(first & _COMPRESSED)
        self.kept, self.size_bytes = bytearray(), 0

    def seen(self) -> Seen:
        return Seen(self.opcode, bytes(self.kept), self.size_bytes, self.compressed)


class Follower:
    """Follows one direction from wherever it stands: `skip` bytes of payload are left of the frame under way.

    A message of which it did not see the beginning is left out.
    """

    __slots__ = ("_apply_mask", "_first", "_frame", "_held", "_kept_bytes", "_left", "_mask", "_message")

    def __init__(
        self,
        *,
        skip: int = 0,
        kept_bytes: tuple[int, int],
        apply_mask: Callable[[bytes, bytes], bytes] = xor_mask,
    ) -> None:
        """`kept_bytes`: how much is kept of a message at most, and of a compressed one."""
        self._left, self._kept_bytes, self._apply_mask = skip, kept_bytes, apply_mask
        self._held = b""  # a header that is not whole yet
        self._first, self._mask = 0, b""  # of the frame under way, the mask as its next byte needs it
        self._frame: _Taken | None = None  # what the frame under way belongs to
        self._message: _Taken | None = None

    def feed(self, chunk: bytes) -> Iterator[Seen | None]:
        """Each frame that becomes whole, as what it completes, or None. To be gone through to its end."""
        chunk, self._held = self._held + chunk, b""
        position, size = 0, len(chunk)
        while position < size:
            if not self._left:
                start = self._begin(chunk, position)
                if not start:
                    self._held = chunk[position:]
                    return
                position = start
            end = min(position + self._left, size)
            self._take(chunk, position, end)
            position = end
            if not self._left:
                yield self._end()

    def _begin(self, chunk: bytes, position: int) -> int:
        """Read the header there, and answer where its payload begins; 0: it is not whole yet."""
        if len(chunk) - position < 2:
            return 0
        first, second, start = chunk[position], chunk[position + 1], position + 2
        length = second & 0x7F
        extra = (2 if length == 126 else 8) if length > 125 else 0
        mask_bytes = 4 if second & 0x80 else 0
        if len(chunk) < start + extra + mask_bytes:
            return 0
        if extra:
            length = int.from_bytes(chunk[start : start + extra], "big")
        start += extra + mask_bytes
        self._first, self._left, self._mask = first, length, chunk[start - mask_bytes : start]
        self._frame = self._belongs_to(first)
        return start

    def _belongs_to(self, first: int) -> _Taken | None:
        opcode = first & 0x0F
        if opcode >= CLOSE:
            return _Taken(first)
        if opcode != CONT:
            self._message = _Taken(first)
        return self._message

    def _take(self, chunk: bytes, start: int, end: int) -> None:
        size, into = end - start, self._frame
        self._left -= size
        if into is None or not size:
            return
        room = self._kept_bytes[into.compressed] - len(into.kept)
        kept = chunk[start : min(end, start + max(0, room))]
        if self._mask:
            kept = self._apply_mask(kept, self._mask) if kept else kept
            turn = size % 4
            self._mask = self._mask[turn:] + self._mask[:turn]
        into.kept += kept
        into.size_bytes += size

    def _end(self) -> Seen | None:
        """The frame under way is whole."""
        whole, self._frame = self._frame, None
        if whole is None:
            return None
        if whole.opcode < CLOSE:
            if not self._first & _FINAL:
                return None
            self._message = None
        return whole.seen()

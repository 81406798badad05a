"""What goes on of one chunk: all of it, but for what was cut out or put in."""

from __future__ import annotations


class Output:
    """Built from the front to the back; nothing is copied as long as nothing is changed."""

    __slots__ = ("_chunk", "_pieces", "_size", "_start")

    def __init__(self, chunk: bytes) -> None:
        self._chunk = chunk
        self._pieces: list[bytes] = []
        self._size = self._start = 0  # of the pieces; what comes after them in the chunk

    def cut(self, start: int, end: int) -> None:
        """Leave out chunk[start:end]."""
        self.put(self._chunk[self._start : start])
        self._start = end

    def put(self, piece: bytes) -> None:
        """Insert bytes behind all that was cut so far."""
        self._pieces.append(piece)
        self._size += len(piece)

    def offset(self, position: int) -> int:
        """Where in the output the chunk's `position` comes to stand, as far as is known now."""
        return self._size + position - self._start

    def until(self, position: int) -> bytes:
        """The output up to there; the chunk itself where that is the same."""
        if self._pieces:
            return b"".join((*self._pieces, self._chunk[self._start : position]))
        return self._chunk if position == len(self._chunk) else self._chunk[:position]

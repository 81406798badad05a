"""Inflate messages of a stream whose beginning was missed (RFC 7692, with a window that is carried over).

What a message repeats of those before is not in it. So each is inflated twice, with two windows that have no
byte in common: where the results differ, it is a byte that nobody who came late can know. All others are
sure. What is not known stays so while messages repeat it from each other.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

_WINDOW_BYTES = 1 << 15
_WINDOWS = (bytes(_WINDOW_BYTES), b"\xff" * _WINDOW_BYTES)
# What a sender takes off the end of each message.
_TAIL = b"\x00\x00\xff\xff"


class Inflated(NamedTuple):
    """A payload, or its beginning. Where a byte of `unknown` is not 0, that of `payload` is not known."""

    payload: bytes
    unknown: bytes
    is_whole: bool

    @classmethod
    def as_it_is(cls, payload: bytes, *, is_whole: bool = True) -> Inflated:
        return cls(payload, bytes(len(payload)), is_whole)


class Inflater:
    """Of one direction. Who takes no context over is read alike: such messages repeat only themselves."""

    def __init__(self, *, most_bytes: int) -> None:
        """Of a message that inflates to more, the beginning is told, and the window forgotten."""
        self._most_bytes = most_bytes
        self.forget()

    def forget(self) -> None:
        """What came before is not known any more: a message was left out."""
        self._both = tuple(zlib.decompressobj(-zlib.MAX_WBITS, zdict=window) for window in _WINDOWS)

    def inflate(self, payload: bytes, *, is_whole: bool = True) -> Inflated:
        """What a message says; of one that cannot be inflated, nothing."""
        try:
            one, other = (self._with(each, payload, is_whole=is_whole) for each in self._both)
        except zlib.error:
            self.forget()
            return Inflated(b"", b"", is_whole=False)
        is_whole = is_whole and not any(each.unconsumed_tail for each in self._both)
        if not is_whole or any(each.eof for each in self._both):
            self.forget()
        return Inflated(one, _differences(one, other), is_whole)

    def _with(self, inflating: zlib._Decompress, payload: bytes, *, is_whole: bool) -> bytes:
        return inflating.decompress(payload + _TAIL if is_whole else payload, self._most_bytes)


def _differences(one: bytes, other: bytes) -> bytes:
    if one == other:
        return bytes(len(one))
    size = min(len(one), len(other))  # the same, as lengths and literals do not depend on the window
    return (int.from_bytes(one[:size], "big") ^ int.from_bytes(other[:size], "big")).to_bytes(size, "big")

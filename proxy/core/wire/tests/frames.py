"""Frames that only the ends of a link build: fragments and pongs."""

from __future__ import annotations

from proxy.core.wire import framing
from proxy.core.wire.headers import PONG


def encode_frame(opcode: int, payload: bytes, *, mask: bytes | None = None, fin: bool = True) -> bytes:
    """One frame; without `fin`, other frames of its message follow."""
    frame = framing.encode_frame(opcode, payload, mask=mask)
    return frame if fin else bytes((opcode,)) + frame[1:]


def pong_frame(payload: bytes = b"", *, mask: bytes | None = None) -> bytes:
    """The answer to a ping that carried `payload`."""
    return encode_frame(PONG, payload, mask=mask)

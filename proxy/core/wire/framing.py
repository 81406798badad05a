"""Build WebSocket frames (RFC 6455, section 5.2): for injection, keep-alive and closing.

Towards the upstream a frame must be masked: pass `mask`, 4 fresh random bytes for each frame. Towards the
client it must not be.
"""

from __future__ import annotations

from proxy.core.closes import NO_STATUS, Close
from proxy.core.wire.headers import BINARY, CLOSE, MAX_CONTROL_BYTES, PING, TEXT, xor_mask


def encode_frame(opcode: int, payload: bytes, *, mask: bytes | None = None) -> bytes:
    """One whole message or control frame. Raises ValueError for a control frame of more than 125 bytes."""
    first, size = 0x80 | opcode, len(payload)
    if opcode >= CLOSE and size > MAX_CONTROL_BYTES:
        raise ValueError(f"a control frame is at most {MAX_CONTROL_BYTES} bytes, got {size}")
    mask_bit = 0 if mask is None else 0x80
    if size < 126:
        header = bytes((first, mask_bit | size))
    elif size < 0x10000:
        header = bytes((first, mask_bit | 126, size >> 8, size & 0xFF))
    else:
        header = bytes((first, mask_bit | 127)) + size.to_bytes(8, "big")
    return header + payload if mask is None else header + mask + xor_mask(payload, mask)


def frame_payload_bytes(frame: bytes) -> int:
    """Payload in one whole unmasked frame."""
    length = frame[1]
    return len(frame) - (2 if length < 126 else 4 if length == 126 else 10)


def text_frame(text: str, *, mask: bytes | None = None) -> bytes:
    """One whole text message."""
    return encode_frame(TEXT, text.encode(), mask=mask)


def message_frame(message: str | bytes) -> bytes:
    """One whole message, text or binary, unmasked."""
    if isinstance(message, str):
        return encode_frame(TEXT, message.encode())
    return encode_frame(BINARY, message)


def ping_frame(payload: bytes = b"", *, mask: bytes | None = None) -> bytes:
    """A ping; its pong brings `payload` back."""
    return encode_frame(PING, payload, mask=mask)


def close_frame(code: int, reason: str = "", *, mask: bytes | None = None) -> bytes:
    """As `Close.for_wire` decides: empty for 1005, 1011 for what may not be sent, reason clipped."""
    close = Close(code, reason).for_wire()
    payload = b"" if close.code == NO_STATUS else close.code.to_bytes(2, "big") + close.reason.encode()
    return encode_frame(CLOSE, payload, mask=mask)

"""The gateway's own messages inside a client's stream (DESIGN: control messages)."""

from __future__ import annotations

import json
from typing import Any

TYPE_PREFIX = "gateway."
REFRESH = "gateway.refresh"
MAX_CONTROL_MESSAGE_BYTES = 16 * 1024

# No JSON object has a `type` of ours without one of these: the prefix as it is, or a letter of it escaped.
_MARK, _ESCAPED = TYPE_PREFIX.encode(), b"\\u00"
_BACKSLASH = 0x5C
# What is so plainly meant for us is ours, even when the rest of it is broken: it may carry a token.
_PLAIN = '{"type":"gateway.'


def may_be_control(payload: bytes) -> bool:
    """Whether the payload of a text message is worth the closer look of `is_control`. A tenth of a µs."""
    return payload.find(_MARK) >= 0 or (_BACKSLASH in payload and payload.find(_ESCAPED) >= 0)


def is_control(message: str | bytes) -> bool:
    """Whether a client's message is for the gateway itself: an object whose `type` begins with `gateway.`.

    It may be spelled in any way that JSON allows. Bytes are the payload of a text message; what is not UTF-8
    or over 16 KiB is not ours.
    """
    if isinstance(message, bytes):
        if len(message) > MAX_CONTROL_MESSAGE_BYTES or not may_be_control(message):
            return False
        try:
            message = message.decode()
        except UnicodeDecodeError:
            return False
    elif not (TYPE_PREFIX in message or "\\u00" in message) or _is_long(message):
        return False
    try:
        parsed = json.loads(message)
    except (ValueError, RecursionError):
        return message.startswith(_PLAIN)
    kind = parsed.get("type") if isinstance(parsed, dict) else None
    return isinstance(kind, str) and kind.startswith(TYPE_PREFIX)


def parse_control(message: str) -> dict[str, Any]:
    """The control message as an object.

    Raises:
        ValueError: it is not a JSON object with a text `type`, or longer than 16 KiB.
    """
    if _is_long(message):
        raise ValueError("a control message is at most 16 KiB")
    try:
        parsed = json.loads(message)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("type"), str):
        raise ValueError("a control message is an object with a type")
    return parsed


def _is_long(message: str) -> bool:
    return len(message.encode("utf-8", "replace")) > MAX_CONTROL_MESSAGE_BYTES


def encode(**fields: Any) -> str:
    """One message of the gateway to a client, as compact JSON."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def encode_error(code: str, message: str) -> str:
    return encode(type="error", code=code, message=message)

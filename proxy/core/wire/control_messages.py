"""The gateway's own messages inside a client's stream (DESIGN: control messages)."""

from __future__ import annotations

import json
import re
from typing import Any

TYPE_PREFIX = "gateway."
REFRESH = "gateway.refresh"
MAX_CONTROL_MESSAGE_BYTES = 16 * 1024

# No JSON object has a `type` of ours without one of these: the prefix as it is, or a letter of it escaped.
_MARK, _ESCAPED = TYPE_PREFIX.encode(), b"\\u00"
_BACKSLASH = 0x5C
# What is so plainly meant for us is ours, even when it is no JSON: it may carry a token.
_PLAIN = re.compile(r'[ \t\r\n]*{[ \t\r\n]*"type"[ \t\r\n]*:[ \t\r\n]*"gateway\.')

# Objects as tuples of their members, so that none hides another; an integer may have thousands of digits.
_read = json.JSONDecoder(object_pairs_hook=tuple, parse_int=str).decode


def may_be_control(payload: bytes) -> bool:
    """Whether the payload of a text message is worth the closer look of `is_control`. A tenth of a µs."""
    return payload.find(_MARK) >= 0 or (_BACKSLASH in payload and payload.find(_ESCAPED) >= 0)


def is_control(message: str | bytes) -> bool:
    """Whether a client's message is for the gateway itself: an object whose `type` begins with `gateway.`.

    It may be spelled in any way that JSON allows; of several types, one of ours is enough, since a service
    may read any of them. What is nested too deeply to be read, and may be for us, is ours, too: it is refused
    rather than passed on with a token in it. Bytes are the payload of a text message; what is not UTF-8 or
    over 16 KiB is not ours.
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
        members = _read(message)
    except RecursionError:
        return message.lstrip(" \t\r\n").startswith("{")
    except ValueError:
        return _PLAIN.match(message) is not None
    return isinstance(members, tuple) and any(
        name == "type" and isinstance(value, str) and value.startswith(TYPE_PREFIX) for name, value in members
    )


def parse_control(message: str) -> dict[str, Any]:
    """The control message as an object. Raises ValueError for what is none, or longer than 16 KiB."""
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

"""The gateway's own messages inside a client's stream (DESIGN: control messages)."""

from __future__ import annotations

import json
from typing import Any

PREFIX = '{"type":"gateway.'
PREFIX_BYTES = PREFIX.encode()
REFRESH = "gateway.refresh"
MAX_CONTROL_BYTES = 16 * 1024


def is_control(message: str | bytes) -> bool:
    """True for a text message that begins with exactly `{"type":"gateway.`; such are never forwarded."""
    return isinstance(message, str) and message.startswith(PREFIX)


def parse_control(message: str) -> dict[str, Any]:
    """The control message as an object.

    Raises:
        ValueError: it is not a JSON object with a text `type`, or longer than 16 KiB.
    """
    if len(message.encode("utf-8", "replace")) > MAX_CONTROL_BYTES:
        raise ValueError("a control message is at most 16 KiB")
    try:
        parsed = json.loads(message)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("type"), str):
        raise ValueError("a control message is an object with a type")
    return parsed


def encode(**fields: Any) -> str:
    """One message of the gateway to a client, as compact JSON."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def encode_error(code: str, message: str) -> str:
    return encode(type="error", code=code, message=message)

"""What staff say to people in their clients: an event of one type, in plain text."""

from __future__ import annotations

import re
from typing import Any

TYPE = "staff.message"
MAX_CHARS = 500
# What no text field shows: control characters but for a line's end.
_UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def staff_message(text: str) -> dict[str, Any]:
    """The event. Lines end with a newline, however they were typed.

    Raises:
        ValueError: there is nothing to read, more than MAX_CHARS, or what cannot be seen.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not plain:
        raise ValueError("a message has a text")
    if len(plain) > MAX_CHARS:
        raise ValueError(f"a message has at most {MAX_CHARS} characters; this one has {len(plain)}")
    if _UNSEEN.search(plain):
        raise ValueError("a message is plain text, without control characters")
    return {"type": TYPE, "text": plain}

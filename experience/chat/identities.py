"""What names a message."""

from __future__ import annotations

import re

_NUMBER = re.compile("[1-9][0-9]{0,18}", re.ASCII)
_LAST = 2**63 - 1


def message_id(conversation_id: str, sequence: int) -> str:
    return f"{conversation_id}.{sequence}"


def sequence_of(message: str, *, conversation_id: str) -> int:
    """The number of a message of that conversation. Raises ValueError for what is no such id."""
    conversation, _, number = message.rpartition(".")
    if conversation != conversation_id or not _NUMBER.fullmatch(number) or int(number) > _LAST:
        raise ValueError("this is no id of a message of this conversation")
    return int(number)

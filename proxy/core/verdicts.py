"""What a route's policy says about one whole message that crosses a link."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from proxy.core.closes import Close


class Direction(StrEnum):
    """Which way a message goes: `in` from the client, `out` to the client."""

    IN = "in"
    OUT = "out"


class Verdict(NamedTuple):
    """Forward the message or drop it; also send `reply` to its sender; or close the link, which drops it.

    Nothing more is read of its sender for `pause_seconds`.
    """

    forward: bool
    reply: str | None = None
    close: Close | None = None
    pause_seconds: float = 0.0


FORWARD = Verdict(forward=True)
DROP = Verdict(forward=False)

# Called with direction, opcode (1 text, 2 binary) and payload: unmasked, and not checked to be UTF-8.
Inspect = Callable[[Direction, int, bytes], Verdict]

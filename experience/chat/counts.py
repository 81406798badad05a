"""What is counted of the chat, beside what is of every route. Labels are bounded by this code.

To count is dearer than to check a message, with several workers ten times as dear. So messages are added up,
and written down once a second.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter as Tally

from prometheus_client import Counter, Histogram

from proxy.api import Workplace, child

IN, OUT = "in", "out"
_SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 16_384, 65_536)
WRITE_SECONDS = 1.0

MESSAGES_TOTAL = Counter(
    "gateway_chat_messages_total",
    "Messages that were let through, by direction (in: from clients) and type; binary is a type here.",
    labelnames=("direction", "type"),
)
INVALID_TOTAL = Counter(
    "gateway_chat_invalid_messages_total",
    "Messages that were not, by direction and code.",
    labelnames=("direction", "code"),
)
SIZE_BYTES = Histogram(
    "gateway_chat_message_size_bytes",
    "Size of the messages that were let through.",
    labelnames=("direction",),
    buckets=_SIZES,
)
FILTERED_TOTAL = Counter(
    "gateway_chat_filtered_messages_total",
    "Messages that the content filter changed (masked) or kept back (refused).",
    labelnames=("outcome",),
)

_messages: Tally[tuple[str, str, int]] = Tally()  # by direction, type and the place of their size's bucket
_bytes: Tally[str] = Tally()


def count(direction: str, type_: str, size_bytes: int) -> None:
    """A message was let through. `type_` is one that the code knows."""
    _messages[direction, type_, bisect_left(_SIZES, size_bytes)] += 1
    _bytes[direction] += size_bytes


def write() -> None:
    """Write down what has been counted since the last time."""
    for (direction, type_, place), messages in _messages.items():
        child(MESSAGES_TOTAL, direction, type_).inc(messages)
        # Histograms of the client library take one value at a time; this is what they do with each.
        child(SIZE_BYTES, direction)._buckets[place].inc(messages)
    for direction, size_bytes in _bytes.items():
        child(SIZE_BYTES, direction)._sum.inc(size_bytes)
    _messages.clear()
    _bytes.clear()


async def write_again_and_again(_: Workplace) -> None:
    """Until cancelled, and then once more."""
    try:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            write()
    finally:
        write()

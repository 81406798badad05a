"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Iterator


def delays(first_seconds: float, *, longest_seconds: float) -> Iterator[float]:
    """Endless waits in seconds, each twice the last, up to `longest_seconds`; the caller adds jitter."""
    delay_seconds = first_seconds
    while True:
        yield min(delay_seconds, longest_seconds)
        delay_seconds = min(delay_seconds * 2, longest_seconds)


def jittered(delay_seconds: float, *, fraction: float, random: float) -> float:
    """`delay_seconds` moved by up to ± `fraction` of itself; `random` is in [0, 1)."""
    return delay_seconds * (1 + fraction * (2 * random - 1))

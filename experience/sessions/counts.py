"""What is counted of sessions, beside what is of every route. Labels are bounded by this code."""

from __future__ import annotations

import re
import time

from prometheus_client import Counter, Histogram

TOKENS_TOTAL = Counter(
    "sessions_tokens_total",
    "One-time tokens: taken; given_back, where the handshake failed then; lost, where that could not be.",
    labelnames=("outcome",),
)
ERRORS_TOTAL = Counter(
    "sessions_errors_total", "Messages of clients that were answered with an error.", labelnames=("code",)
)
LATENCY_SECONDS = Histogram(
    "sessions_message_latency_seconds",
    "From an agent's time stamp, where a message begins with one, to the gateway.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_STAMPED = b'{"ts":'
_STAMP = re.compile(rb'\{"ts": ?(\d{10}(?:\.\d{1,9})?)[,}]')
# Beyond that it is no latency but another clock.
_MOST_SECONDS = 3600.0


def count_latency(payload: bytes) -> None:
    """Observe how old a message is that begins with `{"ts":`, Unix seconds."""
    found = _STAMP.match(payload) if payload.startswith(_STAMPED) else None
    if found is not None:
        seconds = time.time() - float(found[1])
        if abs(seconds) < _MOST_SECONDS:
            LATENCY_SECONDS.observe(max(0.0, seconds))

"""What the server refuses and fails at by itself, counted under the route `none`: it knows no other."""

from __future__ import annotations

from typing import Literal

from proxy import metrics
from proxy.metrics import NO_ROUTE

# Beside these, an upgrade's `overloaded` and `draining`, which the composition says.
Reason = Literal[
    "body",
    "handshake",
    "handshake_timeout",
    "head",
    "http_overloaded",
    "http_per_address",
    "late",
    "per_address",
    "silent",
]
Failure = Literal["application_error", "application_killed", "ping_timeout", "tick_failed"]


def count_refusal(reason: Reason) -> None:
    """Whoever was told no, or gave way to others."""
    metrics.child(metrics.REJECTIONS_TOTAL, NO_ROUTE, reason).inc()


def count_failure(failure: Failure) -> None:
    """What went wrong, on our side or at a client that was given up."""
    metrics.child(metrics.ERRORS_TOTAL, failure, NO_ROUTE).inc()

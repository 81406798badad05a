"""What bounds the reference service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KbLimits:
    """Durations are seconds, sizes bytes. `idle_timeout_seconds`: of a connection without a request."""

    max_connections: int = 10_000
    max_actions: int = 1_000
    max_message_bytes: int = 64 * 1024
    idle_timeout_seconds: float = 20.0
    action_timeout_seconds: float = 10.0
    send_timeout_seconds: float = 10.0
    close_timeout_seconds: float = 5.0
    ping_interval_seconds: float = 30.0

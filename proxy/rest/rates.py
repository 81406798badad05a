"""How often a user may call the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from threading import Lock

from proxy.core.buckets import Buckets
from proxy.core.errors import TooMany
from proxy.core.limits import Rate


class UserRate:
    """A bucket for each user, on each process. `rate` is asked for once, at the first call."""

    def __init__(self, rate: Callable[[], Rate]) -> None:
        self._rate_of = rate
        self._lock = Lock()  # each request has a thread of its own

    @cached_property
    def _rate(self) -> Rate:
        return self._rate_of()

    @cached_property
    def _buckets(self) -> Buckets:
        return Buckets(self._rate)

    def take(self, user_id: str) -> None:
        """One call more. Raises TooMany."""
        with self._lock:
            wait_seconds = self._buckets.take(user_id, time.monotonic())
        if wait_seconds:
            raise TooMany("calls_per_user", limit=self._rate, retry_after_seconds=wait_seconds)

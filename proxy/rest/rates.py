"""How often a user may call the HTTP API, and anybody in vain."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from threading import Lock
from typing import Any

from django.conf import settings
from rest_framework.request import Request

from proxy.core.addresses import address_key
from proxy.core.buckets import Buckets
from proxy.core.errors import GatewayError, TooMany
from proxy.core.limits import Rate

_REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


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

    def take(self, user_id: str, *, bound: str = "calls_per_user") -> None:
        """One call more. Raises TooMany, of that bound."""
        with self._lock:
            wait_seconds = self._buckets.take(user_id, time.monotonic())
        if wait_seconds:
            raise TooMany(bound, limit=self._rate, retry_after_seconds=wait_seconds)


# Calls that are answered 401 or 403. By them alone: whoever fills another's bucket keeps out nobody who may.
REFUSED = UserRate(lambda: settings.API_RATE_PER_USER)


def take_refused(request: Request, error: Exception) -> None:
    """One refused call more, if `error` is why a call is refused. Raises TooMany.

    They are those of the caller, of the user whose token it was, or else of the address: of IPv6 its /64.
    """
    status = error.status if isinstance(error, GatewayError) else getattr(error, "status_code", None)
    if status not in _REFUSALS:
        return
    caller: Any = getattr(request, "_user", None)  # `user` would ask who it is once more
    principal = error.was_of if isinstance(error, GatewayError) else None
    name = getattr(caller, "name", "") or (f"user {principal.user_id}" if principal else "")
    REFUSED.take(name or address_key(request.META.get("REMOTE_ADDR", "")), bound="refused_calls")

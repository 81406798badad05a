"""Logging in to admin: how often it may fail, how many passwords are checked at a time, and what is logged.

django-axes counts failures in the database, so for all workers and nodes. A password costs a quarter of a
second of CPU: each process checks one at a time, and a few may wait for their turn without a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import async_only_middleware

from proxy.core.addresses import address_key

log = logging.getLogger("gateway.logins")
T = TypeVar("T")

# Failures within AXES_COOLOFF_TIME, in the order of AXES_LOCKOUT_PARAMETERS: of one name from one address, of
# one address, of one name from anywhere. The last is high: else anybody could keep a name out.
LIMITS = (5, 20, 100)

MOST_WAITING, MOST_WAITING_PER_ADDRESS = 20, 4
TURN_SECONDS = 10.0


class LoginLimits(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """axes' own handler has one limit for all that it counts by."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """How many of the limits are reached; AXES_FAILURE_LIMIT is 1."""
        counted = self.get_user_attempts(request, credentials)
        return sum(
            sum(attempts.values_list("failures_since_start", flat=True)) >= most
            for attempts, most in zip(counted, LIMITS, strict=True)
        )

    def reset_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """After a login: who knows one password has shown nothing for other names, or for other addresses."""
        of_this_name_from_here = self.filter_user_attempts(request, credentials)[0]
        return int(of_this_name_from_here.delete()[0])


def counted_address(request: HttpRequest) -> str | None:
    """What axes counts for an address: all of IPv4, the /64 of IPv6. None on a Unix socket."""
    return address_key(request.META.get("REMOTE_ADDR", "")).partition("/")[0] or None


def refuse_locked(request: HttpRequest, *_: Any) -> HttpResponse:
    """What who is locked sees, whether the password was right or not."""
    seconds = round(settings.AXES_COOLOFF_TIME.total_seconds())
    return _too_many(request, "Too many failed logins", seconds=seconds, minutes=seconds // 60)


def _too_many(request: HttpRequest, title: str, *, seconds: int, minutes: int | None = None) -> HttpResponse:
    response = render(request, "429.html", {"title": title, "minutes": minutes}, status=429)
    response["Retry-After"] = str(seconds)
    return response


@receiver(user_login_failed)
def log_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """After axes, which is connected first, has counted it."""
    extra = {
        "user": str(credentials.get("username", ""))[:150],
        "client_address": request.META.get("REMOTE_ADDR") if request else None,
        "locked": bool(getattr(request, "axes_locked_out", False)),
    }
    log.warning("login failed", extra=extra)


@receiver(user_logged_in)
def log_login(user: AbstractBaseUser, request: HttpRequest, **_: Any) -> None:
    log.info("login", extra={"user": user.get_username(), "client_address": request.META.get("REMOTE_ADDR")})


class Turns:
    """One at a time; a few may wait, fewer of one address."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting: Counter[str] = Counter()
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """What `work` answers, once it was its turn; None: too many wait already, or the turn does not come.

        `work` has its turn to its end, also when nobody waits for its answer any more: its thread cannot be
        stopped, and who hangs up must not get several passwords checked at a time.
        """
        if not await self._take(key):
            return None
        task = asyncio.create_task(self._finish(work), name="login")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _take(self, key: str) -> bool:
        if self._waiting[key] >= MOST_WAITING_PER_ADDRESS or self._waiting.total() >= MOST_WAITING:
            return False
        self._waiting[key] += 1
        try:
            async with asyncio.timeout(TURN_SECONDS):
                return await self._turn.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting[key] -= 1
            self._waiting += Counter()  # forgets those that are 0

    async def _finish(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        finally:
            self._turn.release()


@async_only_middleware
def one_login_at_a_time(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponse]],
) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Lets one password of this process be checked at a time, and answers 429 when too many wait."""
    turns = Turns()

    async def middleware(request: HttpRequest) -> HttpResponse:
        if request.method != "POST" or request.path != reverse("admin:login"):
            return await get_response(request)
        response = await turns.run(counted_address(request) or "", lambda: get_response(request))
        if response is None:
            response = await sync_to_async(_too_many)(request, "Too many logins at once", seconds=2)
        return response

    return middleware

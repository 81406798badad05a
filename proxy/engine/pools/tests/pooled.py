"""A pool whose clock and members a test controls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.core.pools.breaker import BreakerLimits
from proxy.core.routes import Upstream
from proxy.engine.pools.dial import DialRequest, Target
from proxy.engine.pools.members import Member
from proxy.engine.pools.pool import MemberLease, Pool

A, B, C = "ws://a/", "ws://b/", "ws://c/"
BREAKER = BreakerLimits(failures_to_open=2, first_wait_seconds=1, jitter_fraction=0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Service:
    """Answers dials: `down` members do as said, all others give a leg that is their URL."""

    def __init__(self) -> None:
        self.down: dict[str, Exception | None] = {}
        self.dialled: list[str] = []
        self.connects = False

    async def __call__(self, target: Target, request: DialRequest) -> str:
        url, target.is_connected = target.url, self.connects
        self.dialled.append(url)
        if url in self.down:
            error = self.down[url]
            if error is None:
                await asyncio.Event().wait()
            else:
                raise error
        return url


def make(
    *urls: str,
    clock: Callable[[], float] | None = None,
    dial_seconds: float = 5.0,
    turns: int = 100,
    **options: object,
) -> Pool:
    upstream = Upstream(name="studio", members=urls, breaker=BREAKER, **options)  # type: ignore[arg-type]
    return Pool(
        upstream,
        clock=clock or Clock(),
        random=lambda: 0.5,
        dial_seconds=dial_seconds,
        max_concurrent_dials=turns,
    )


def member(pool: Pool, url: str) -> Member:
    return next(member for member in pool.all_members() if member.url == url)


async def dial(pool: Pool, service: Service, *, key: str = "") -> MemberLease[str]:
    async with asyncio.timeout(30):
        return await pool.dial(service, DialRequest(), key=key)

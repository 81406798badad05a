"""No new links, finish the old ones, evenly and politely."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from proxy.core.closes import RESTART, ClosedBy, retry_in
from proxy.server.client import Leg
from proxy.server.clients import Clients

log = logging.getLogger("gateway.server")

# Clients that all come back at once would take the next node down.
RETRY_MS_LEAST, RETRY_MS_MOST = 500, 5_000
_STEP_SECONDS = 0.05


class Drain:
    """One drain: that it is `requested`, what it does, and how to hurry it."""

    def __init__(self, clients: Clients, *, http_requests: Callable[[], int]) -> None:
        self._clients = clients
        self._http_requests = http_requests
        self.requested = asyncio.Event()
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Close everything now."""
        self._hurried.set()

    async def run(self) -> None:
        """Return once no link and no HTTP request is left; by force when the deadline is over.

        Links that are still in their handshake are let through it, and closed after it.
        """
        loop, options = self._clients.loop, self._clients.options
        began = loop.time()
        log.info("draining", extra={"links": len(self._clients.present), "seconds": options.drain_seconds})
        await self._close_evenly(began)
        grace_seconds = options.limits.close_timeout_seconds + options.application_close_seconds
        deadline = loop.time() + (1.0 if self._hurried.is_set() else grace_seconds)
        while self._is_busy() and loop.time() < deadline:
            self._close_up_to(len(self._clients.present))
            await self._pause(_STEP_SECONDS)
            if self._hurried.is_set():
                deadline = min(deadline, loop.time() + 1.0)
        self._force()
        log.info("drained", extra={"seconds": round(loop.time() - began, 3)})

    def _is_busy(self) -> bool:
        return bool(self._clients.present) or self._http_requests() > 0

    async def _close_evenly(self, began: float) -> None:
        """Close a growing share of the links, so that the last one is due when `drain_seconds` are over."""
        seconds = self._clients.options.drain_seconds
        total = max(1, len(self._clients.present))
        closed = 0
        while self._is_busy() and not self._hurried.is_set():
            elapsed = self._clients.loop.time() - began
            if elapsed >= seconds:
                return
            due = 1 + int(total * elapsed / seconds)
            closed += self._close_up_to(due - closed)
            next_due = seconds * closed / total
            await self._pause(
                max(_STEP_SECONDS, next_due - elapsed) if self._clients.present else _STEP_SECONDS
            )

    def _close_up_to(self, count: int) -> int:
        """Close that many of the accepted legs; answers how many it found."""
        closed = 0
        for client in tuple(self._clients.present):
            if closed >= count:
                break
            closed += self._close(client.leg)
        return closed

    def _close(self, leg: Leg) -> bool:
        if not leg.is_live:
            return False
        retry_ms = random.randint(RETRY_MS_LEAST, RETRY_MS_MOST)  # noqa: S311  a jitter
        leg.close(retry_in(RESTART, retry_ms / 1000), by=ClosedBy.GATEWAY)
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait; not past the last link, and not past a hurry unless we hurry already."""
        ends = [] if self._hurried.is_set() else [self._hurried]
        if self._clients.present:
            ends.append(self._clients.is_empty)
        waits = [asyncio.ensure_future(end.wait()) for end in ends]
        if not waits:
            await asyncio.sleep(seconds)
            return
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _force(self) -> None:
        for client in tuple(self._clients.present):
            client.leg.abort()
            client.cancel()

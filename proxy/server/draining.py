"""No new links, finish the old ones, evenly and politely."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from itertools import islice

from proxy.core.closes import RESTART, ClosedBy, retry_in
from proxy.server.clients import Clients

log = logging.getLogger("gateway.server")

# Clients that all come back at once would take the next node down.
RETRY_MS_LEAST, RETRY_MS_MOST = 500, 5_000
_HURRIED_SECONDS = 1.0
_STEP_SECONDS = 0.05


class Drain:
    """One drain: that it is `requested` and perhaps `hurried`, and what it does."""

    def __init__(self, clients: Clients, *, http_requests: Callable[[], int]) -> None:
        self._clients, self._http_requests = clients, http_requests
        self._time = clients.loop.time
        self.requested = asyncio.Event()
        self.hurried = False

    async def run(self) -> None:
        """Return once no link and no HTTP request is left; by force when the deadline is over.

        Links that are still in their handshake are let through it, and closed after it.
        """
        options, began = self._clients.options, self._time()
        log.info("draining", extra={"links": len(self._clients.present), "seconds": options.drain_seconds})
        await self._close_evenly(began, seconds=options.drain_seconds)
        grace_seconds = options.limits.close_timeout_seconds + options.application_close_seconds
        await self._close_the_rest(self._time() + grace_seconds)
        for client in tuple(self._clients.present):
            client.leg.abort()
            client.cancel()
        log.info("drained", extra={"seconds": round(self._time() - began, 3)})

    def _is_busy(self) -> bool:
        return bool(self._clients.present) or self._http_requests() > 0

    async def _close_evenly(self, began: float, *, seconds: float) -> None:
        """Close a growing share of the links, so that the last one is due when `seconds` are over."""
        total, closed = max(1, len(self._clients.present)), 0
        while self._is_busy() and not self.hurried and (elapsed := self._time() - began) < seconds:
            closed += self._close_up_to(1 + int(total * elapsed / seconds) - closed)
            await asyncio.sleep(_STEP_SECONDS)

    async def _close_the_rest(self, deadline: float) -> None:
        while self._is_busy() and self._time() < deadline:
            self._close_up_to(len(self._clients.present))
            await asyncio.sleep(_STEP_SECONDS)
            if self.hurried:
                deadline = min(deadline, self._time() + _HURRIED_SECONDS)

    def _close_up_to(self, count: int) -> int:
        """Close that many of the accepted legs; answers how many it found."""
        live = (client.leg for client in tuple(self._clients.present) if client.leg.is_live)
        due = list(islice(live, max(0, count)))
        for leg in due:
            retry_ms = random.randint(RETRY_MS_LEAST, RETRY_MS_MOST)  # noqa: S311  a jitter
            leg.close(retry_in(RESTART, retry_ms / 1000), by=ClosedBy.GATEWAY)
        return len(due)

"""What waits for other services is counted, and given up once it has waited for too long."""

from __future__ import annotations

import logging
from typing import NoReturn

from proxy import metrics
from proxy.tables import outgoing_events
from proxy.tables.looking import look_forever
from proxy.work import RunInDatabase

logger = logging.getLogger(__name__)

TEND_SECONDS = 10.0
LATE_SECONDS = 60.0


async def tend_forever(run_in_database: RunInDatabase, *, destination: str, wait_seconds: float) -> NoReturn:
    """Until cancelled. What has waited for `wait_seconds` is deleted: counted, logged."""
    is_late = False
    for outcome in ("refused", "expired"):
        metrics.child(metrics.OUTGOING_EVENTS_TOTAL, destination, outcome)  # told as 0 before the first

    async def tend() -> None:
        nonlocal is_late
        if expired := await run_in_database(outgoing_events.expire, wait_seconds):
            logger.error("events for other services waited too long, and are lost", extra={"events": expired})
            metrics.child(metrics.OUTGOING_EVENTS_TOTAL, destination, "expired").inc(expired)
        found = await run_in_database(outgoing_events.counts)
        metrics.OUTGOING_EVENTS_WAITING.set(found.waiting)
        metrics.OUTGOING_EVENTS_WAITING_SECONDS.set(found.seconds)
        metrics.OUTGOING_EVENTS_REFUSED.set(found.refused)
        was_late, is_late = is_late, found.seconds > LATE_SECONDS
        if is_late and not was_late:
            told = {"events": found.waiting, "seconds": round(found.seconds)}
            logger.warning("events for other services wait long", extra=told)

    await look_forever(tend, seconds=TEND_SECONDS, fails="events for other services cannot be counted")

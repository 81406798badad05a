"""The background work of whoever sends: a node, or a service of the product's own."""

from __future__ import annotations

import asyncio

from proxy.outgoing.destination import Destination
from proxy.work import RunInDatabase

WAIT_SECONDS = 86_400.0


async def send_outgoing(
    destination: Destination, run_in_database: RunInDatabase, *, wait_seconds: float = WAIT_SECONDS
) -> None:
    """Send what `send_on_commit` wrote to `destination`, until cancelled; in any number of processes that
    share the database, of which one at a time sends.

    `run_in_database` is a Workplace's, or a DatabaseExecutor's `run`. What could not be sent for
    `wait_seconds` is given up: counted, and logged.
    """
    from proxy.outgoing.sender import Sender  # whose tables need settings, and a product's import does not
    from proxy.outgoing.tending import tend_forever

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Sender(destination, run_in_database).run(), name="outgoing:send")
        tasks.create_task(
            tend_forever(run_in_database, destination=destination.name, wait_seconds=wait_seconds),
            name="outgoing:tend",
        )

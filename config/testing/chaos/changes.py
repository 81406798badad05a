"""A service that publishes to a stream of JetStream, each number until the stream has it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

STREAM, SUBJECT = "WORLD", "world.updates.experience.chaos"
CHANGE_SECONDS = 0.5
TAKEN_SECONDS = 2.0


class Changes:
    """Publishes a number every half second, or as soon as it is taken, for as long as it is not cancelled."""

    def __init__(self, url: str) -> None:
        self.last = -1  # the last one that the stream has
        self._url = url

    async def publish(self) -> None:
        async with connected(self._url) as client:
            for number in itertools.count():
                while not await _is_taken(client, number):
                    await asyncio.sleep(0.1)
                self.last = number
                await asyncio.sleep(CHANGE_SECONDS)


async def make_stream(url: str) -> None:
    async with connected(url) as client:
        await client.jetstream().add_stream(name=STREAM, subjects=["world.updates.>"])


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A connection that comes back by itself."""
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_silent)
    try:
        yield client
    finally:
        await client.close()


async def _is_taken(client: Client, number: int) -> bool:
    """The stream takes none twice."""
    event = json.dumps({"type": "chaos.changed", "change": number}).encode()
    try:
        await client.jetstream().publish(
            SUBJECT, event, timeout=TAKEN_SECONDS, headers={"Nats-Msg-Id": str(number)}
        )
    except (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError):
        return False
    return True


async def _silent(_: Exception) -> None:
    """Who publishes tries again."""

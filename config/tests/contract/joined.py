"""Two nodes, and links on them that listen; the service behind says nothing."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import nats.aio.client
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway, issue

WOODS = "wylding-woods"
# nats-py does not close the socket of a reconnect that fails.
LEFT_OPEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@contextmanager
def two_nodes(directory: Path, environment: Mapping[str, str]) -> Iterator[tuple[Gateway, Gateway]]:
    """Each with a service of its own, and a database; they share what `environment` says, and no more."""
    made = []
    for name in ("first", "second"):
        (directory / name).mkdir()
        made.append(Gateway("serve", directory / name, dict(environment)))
    for node in made:
        node.migrate()
    for node in made:
        node.start()
    try:
        yield made[0], made[1]
    finally:
        for node in made:
            node.close()


@asynccontextmanager
async def publishing(nats_url: str) -> AsyncIterator[nats.aio.client.Client]:
    client = nats.aio.client.Client()
    await client.connect(nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0, error_cb=_ignored)
    yield client
    await client.close()
    del client
    gc.collect()  # what it left of dials that failed, while the test that expects that runs (LEFT_OPEN)


async def _ignored(_: Exception) -> None:
    """A server that is killed is what tests are about."""


async def stay(service: ServerConnection) -> None:
    await service.wait_closed()


@asynccontextmanager
async def joined(*clients: tuple[Gateway, str, str]) -> AsyncIterator[Sequence[ClientConnection]]:
    """Links, each on a node, of a user, in an experience."""
    async with AsyncExitStack() as stack:
        for node in dict.fromkeys(node for node, _, _ in clients):
            await stack.enter_async_context(node.serving(stay))
        yield [
            await stack.enter_async_context(node.connect(node.url(token=issue(user), experience=experience)))
            for node, user, experience in clients
        ]


async def heard(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    return [json.loads(await client.recv()) for _ in range(count)]

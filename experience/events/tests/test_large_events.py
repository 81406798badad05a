"""Events as large as may be, on topics that remember: live, missed, and more than may wait for one client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer

pytestmark = pytest.mark.timeout(120)
# What a client of Python's `websockets` takes, and a stock Daphne sends, unless told otherwise.
MOST_BYTES = 1 << 20
PUBLISH = """
import json
from proxy.api import publish

for size_bytes in {sizes}:
    event = {{"type": "said", "size_bytes": size_bytes, "text": ""}}
    bare = json.dumps(event, separators=(",", ":"))
    publish("room:r", event | {{"text": "x" * (size_bytes - len(bare))}})
"""


@pytest.fixture(params=["serve", "daphne"], scope="module")
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer
) -> Iterator[Gateway]:
    valkey_server.ensure_running()
    env = {"REDIS_URL": valkey_server.url, "ROUTES": "config.tests.remembering_route.ROUTE"}
    with Gateway.running(request.param, tmp_path_factory.mktemp("gateway"), env) as gateway:
        yield gateway


async def publish(gateway: Gateway, *sizes: int, check: bool = True) -> str:
    """Events of so many bytes of JSON each, as anybody's code would; what it has to say of its failure."""
    script = PUBLISH.format(sizes=sizes)
    told = await asyncio.to_thread(gateway.manage, "shell", "-v0", "-c", script, check=check)
    return told.stderr


@asynccontextmanager
async def joined(gateway: Gateway, since: str) -> AsyncIterator[tuple[ClientConnection, dict[str, Any]]]:
    """A client, and what it is told first."""
    url = gateway.url("/rooms/r", since=since)
    async with gateway.connect(url, max_size=MOST_BYTES, open_timeout=30) as socket:
        yield socket, json.loads(await socket.recv())


async def test_the_largest_event_of_a_topic_that_remembers_is_no_more_than_any_client_takes(
    gateway: Gateway,
) -> None:
    async with asyncio.timeout(90), joined(gateway, "") as (socket, _):
        refused = await publish(gateway, MOST_BYTES, check=False)
        assert "ValueError: an event has at most 1048528 bytes; this one has 1048576" in refused
        await publish(gateway, 1_048_528, 100)
        sizes = [json.loads(await socket.recv())["size_bytes"] for _ in range(2)]
        assert sizes == [1_048_528, 100]


async def test_who_comes_back_to_more_than_may_wait_for_it_is_told_and_hears_on(gateway: Gateway) -> None:
    async with asyncio.timeout(90):
        async with joined(gateway, "") as (_, told):
            since = told["since"]
        await publish(gateway, 300_000, 200_000)
        async with joined(gateway, since) as (socket, told):
            assert (told["recovered"], told["events"]) == (True, 2)
            assert [json.loads(await socket.recv())["size_bytes"] for _ in range(2)] == [300_000, 200_000]
        await publish(gateway, 100_000)  # with what it has, more than half of an outbox
        async with joined(gateway, since) as (socket, told):
            assert (told["recovered"], told["reason"]) == (False, "too_much")
            await publish(gateway, 100)
            assert json.loads(await socket.recv())["size_bytes"] == 100
        async with joined(gateway, told["since"]) as (socket, again):
            assert (again["recovered"], json.loads(await socket.recv())["size_bytes"]) == (True, 100)

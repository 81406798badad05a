"""What nodes have told, written as they would have written it then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from redis import Redis

from config.testing.servers import ValkeyServer
from proxy.cluster.samples import STREAM, RedisSamples
from proxy.core.samples import Sample
from proxy.engine.redis.commands import RedisCommands


@asynccontextmanager
async def samples_in(valkey: ValkeyServer) -> AsyncIterator[RedisSamples]:
    commands = RedisCommands(valkey.url)
    running = asyncio.create_task(commands.run(), name="commands")
    samples = RedisSamples(commands, valkey.url)
    try:
        yield samples
    finally:
        await samples.close()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def tell(valkey: ValkeyServer, ats: Iterable[int], *, nodes: str = "12", opens: int = 1) -> None:
    """Each node of each of those seconds, at its end."""
    with Redis.from_url(valkey.url) as redis:
        for at in ats:
            for place, node in enumerate(nodes):
                sample = Sample(at=at, opens={"game": opens}, links={"game": at % 100})
                fields = {"node": node, "name": f"host:{node}", "state": "running"}
                position = f"{(at + 1) * 1000}-{place + 1}"
                redis.xadd(STREAM, {**fields, "sample": sample.encoded()}, id=position)


async def until(is_so: Callable[[], bool], *, within_seconds: float = 20) -> None:
    async with asyncio.timeout(within_seconds):
        while not is_so():
            await asyncio.sleep(0.01)

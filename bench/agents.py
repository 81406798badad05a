"""Agents and their viewers: what is published in Redis for a session, and the clients that watch it.

The agents are this process: they publish over one socket and wait for no answer, so that they cost little
beside what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import hiredis
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.asyncio import Redis

from bench import load
from bench.running import Running
from bench.traffic import Arrivals

AT_ONCE = 50


class Agents(asyncio.Protocol):
    """All agents of a run, over one connection that nobody waits for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def say(self, session: str, message: bytes) -> None:
        self._transport.write(hiredis.pack_command(("PUBLISH", f"session:{session}:down", message)))

    async def settle(self) -> None:
        """Nothing to wait for: what was said is on its way."""

    def close(self) -> None:
        self._transport.close()


class GroupAgents:
    """As above, by way of a channel layer."""

    def __init__(self, redis_url: str) -> None:
        self._layer = RedisPubSubChannelLayer(hosts=[redis_url])
        self._saying: list[asyncio.Task[None]] = []

    def say(self, session: str, message: bytes) -> None:
        sending = self._layer.group_send(
            f"session.{session}", {"type": "session.message", "text": message.decode()}
        )
        self._saying.append(asyncio.ensure_future(sending))

    async def settle(self) -> None:
        saying, self._saying = self._saying, []
        await asyncio.gather(*saying)

    def close(self) -> None:
        """Its connections go with the loop."""


@contextlib.asynccontextmanager
async def agents_of(running: Running) -> AsyncIterator[Agents | GroupAgents]:
    agents: Agents | GroupAgents
    if running.name == "channels-sessions":
        agents = GroupAgents(running.redis_url)
    else:
        at = urlsplit(running.redis_url)
        _, agents = await asyncio.get_running_loop().create_connection(Agents, at.hostname, at.port)
    try:
        yield agents
    finally:
        agents.close()


async def urls(running: Running, count: int) -> list[str]:
    """Addresses of so many new sessions, each of which lets one client in."""
    fresh = [(secrets.token_hex(8), secrets.token_urlsafe(32)) for _ in range(count)]
    async with Redis.from_url(running.redis_url) as redis, redis.pipeline(transaction=False) as setting:
        for session, token in fresh:
            setting.set(f"session:{session}:auth", token, ex=600)
        await setting.execute()
    return [f"{running.address}/bench/ws/{session}?token={token}" for session, token in fresh]


@dataclass(frozen=True, slots=True)
class Audience:
    """Viewers that are there, and who speaks to them."""

    viewers: list[load.Link]
    agents: Agents | GroupAgents

    def say(self, viewer: load.Link, message: bytes) -> None:
        """To the session of that viewer, whose only one it is."""
        viewer.sent += 1
        self.agents.say(urlsplit(viewer.url).path.rpartition("/")[2], message)

    async def each_hears(self) -> None:
        """One short message each; raises TimeoutError."""
        arrivals = Arrivals(self.viewers)
        for viewer in self.viewers:
            self.say(viewer, load.message(viewer.sent, 32))
        await self.agents.settle()
        if not await arrivals.until(len(self.viewers)):
            raise TimeoutError("not every viewer hears its agent")


@contextlib.asynccontextmanager
async def watched(running: Running, count: int) -> AsyncIterator[Audience]:
    """So many sessions, each with one viewer."""
    async with (
        agents_of(running) as agents,
        load.opened(await urls(running, count), at_once=AT_ONCE) as viewers,
    ):
        yield Audience(viewers, agents)

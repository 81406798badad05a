"""Events published to one topic with many links: deliveries a second, publishing and Valkey included."""

from __future__ import annotations

import asyncio
import time

from channels_redis.pubsub import RedisPubSubChannelLayer
from picows import WSFrame

from bench import load
from bench.contenders import Running
from proxy.core.topics import group_name

WINDOW_EVENTS = 50
WINDOW_SECONDS = 20.0
EVENT_BYTES = 120
TOPIC = "experience:bench"


class Arrivals:
    """Counts events over all links, and those that came out of their publisher's order."""

    def __init__(self) -> None:
        self.count = 0
        self.disordered = 0
        self._next: dict[load.Link, int] = {}
        self._wanted = 0
        self._there = asyncio.Event()

    def on_message(self, link: load.Link, frame: WSFrame) -> None:
        number = load.sequence_of(frame)
        self.disordered += number != self._next.get(link, 0)
        self._next[link] = number + 1
        self.count += 1
        if self.count >= self._wanted:
            self._there.set()

    async def until(self, wanted: int) -> None:
        """Wait for `wanted` arrivals altogether; raises TimeoutError after WINDOW_SECONDS."""
        self._wanted = wanted
        self._there.clear()
        if self.count < wanted:
            async with asyncio.timeout(WINDOW_SECONDS):
                await self._there.wait()


async def fanout(running: Running, *, redis_url: str, links: int, events: int) -> dict[str, float]:
    """Publish `events` to `links`, at most WINDOW_EVENTS ahead of what has arrived."""
    layer = RedisPubSubChannelLayer(hosts=[redis_url], prefix="gateway")
    async with load.opened([running.url() for _ in range(links)]) as opened:
        await load.echoes(opened)
        arrivals = Arrivals()
        for link in opened:
            link.on_message = arrivals.on_message
        cpu, began = running.cpu_seconds(), time.perf_counter()
        for published in range(0, events, WINDOW_EVENTS):
            for number in range(published, published + WINDOW_EVENTS):
                await layer.group_send(group_name(TOPIC), _event(number))
            await arrivals.until((published + WINDOW_EVENTS) * links)
        cpu, elapsed = running.cpu_seconds() - cpu, time.perf_counter() - began
    await layer.flush()
    return {
        "deliveries_per_second": arrivals.count / elapsed,
        "cpu_us_per_delivery": cpu / arrivals.count * 1e6,
        "disordered": arrivals.disordered,
    }


def _event(number: int) -> dict[str, str]:
    return {"type": "gateway.event", "topic": TOPIC, "text": load.message(number, EVENT_BYTES).decode()}

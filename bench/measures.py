"""What is measured of links to a service: each function takes a running contender, opens links, closes them
and returns figures. CPU is user and system time of all of the proxy's processes.
"""

from __future__ import annotations

import asyncio
import time

from bench import load
from bench.figures import Figures, Meter, astray, percentiles
from bench.running import Running
from bench.traffic import Paced, PingPong

SETTLE_SECONDS = 5.0
WARM_UP_LINKS = 100


async def round_trips(running: Running, *, links: int, size_bytes: int, seconds: float) -> Figures:
    """Closed-loop ping-pong on `links` links, after a tenth of the time to warm up."""
    async with load.opened([running.url() for _ in range(links)]) as opened:
        game = PingPong(opened, size_bytes=size_bytes)
        await game.run(seconds / 10)
        meter = Meter(running)
        await game.run(seconds)
        return meter.of(len(game.latencies)) | astray(opened) | percentiles(game.latencies)


async def open_loop(
    running: Running, *, links: int, rate: float, seconds: float, size_bytes: int = 200
) -> Figures:
    """Latency at a fixed rate over all links, and whether each message came back once and in its turn.

    To warm up, each link has carried a message before.
    """
    async with load.opened([running.url() for _ in range(links)]) as opened:
        await load.echoes(opened)
        traffic = Paced(opened, size_bytes=size_bytes)
        meter = Meter(running)
        await traffic.run(rate=rate, seconds=seconds)
        return {
            **meter.of(len(traffic.latencies)),
            **astray(opened),
            "held": sum(link.alive for link in opened),
            "generator_late_most_ms": traffic.late_most * 1e3,
            **percentiles(traffic.latencies),
        }


async def new_connections(running: Running, *, count: int, at_once: int) -> Figures:
    """Open `count` links, `at_once` at a time, after some that are not counted."""
    await load.close_links(await load.open_links(_urls(running, WARM_UP_LINKS), at_once=at_once))
    await settled(running)
    links, figures = await opening(running, _urls(running, count), at_once=at_once)
    try:
        await load.echoes(links)
    finally:
        await load.close_links(links)
    await settled(running)
    return figures


def _urls(running: Running, count: int) -> list[str]:
    return [running.url() for _ in range(count)]


async def opening(running: Running, urls: list[str], *, at_once: int) -> tuple[list[load.Link], Figures]:
    """What it costs to open these. The CPU includes what the proxy does about them afterwards."""
    meter = Meter(running)
    links = await load.open_links(urls, at_once=at_once)
    elapsed = meter.spent().elapsed
    await settled(running)
    return links, {"per_second": len(urls) / elapsed, "cpu_ms": meter.spent().proxy / len(urls) * 1e3}


async def idle_links(running: Running, *, counts: tuple[int, ...]) -> Figures:
    """Memory of a link that has carried one message, at each count, over that of a proxy that was warmed up.

    Needs a proxy that has just started: memory that earlier links left behind would be used again.
    """
    figures: Figures = {}
    links = await load.open_links(_urls(running, WARM_UP_LINKS), at_once=50)
    try:
        await load.echoes(links)
        await settled(running)
        empty = running.memory_kb()
        for count in counts:
            links += await load.open_links(_urls(running, count - len(links) + WARM_UP_LINKS), at_once=50)
            await load.echoes(links)  # also those that are there already: none may have gone meanwhile
            await settled(running)
            for name, full in running.memory_kb().items():
                figures[f"{name}_at_{count}"] = (full - empty[name]) / count
    finally:
        await load.close_links(links)
    return figures


async def settled(running: Running) -> None:
    """Wait until the proxy rests: 10 ms of CPU or less in a third of a second; SETTLE_SECONDS at most."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = running.cpu_seconds()
    while time.monotonic() < deadline:
        await asyncio.sleep(0.34)
        now = running.cpu_seconds()
        if now - before < 0.01:
            return
        before = now

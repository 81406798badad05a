"""Sessions: what agents publish in Redis, brought to their viewers. Each function returns figures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bench import load, measures
from bench.agents import AT_ONCE, Audience, urls, watched
from bench.figures import Figures, Meter, astray, percentiles
from bench.running import Running
from bench.traffic import Arrivals, Paced

MESSAGE_BYTES = 200
# What an agent says to the viewer that does not read: a whole outbox of 10 MiB in some seconds.
FLOOD_BYTES, FLOOD_RATE = 64 << 10, 100
END_SECONDS = 10.0


class Spoken(Paced):
    """Open loop: agents publish when due; latency is from then to the viewer's socket."""

    def __init__(self, audience: Audience, viewers: list[load.Link]) -> None:
        super().__init__(viewers, size_bytes=MESSAGE_BYTES)
        self._audience = audience

    def _say(self, link: load.Link, payload: bytes) -> None:
        self._audience.say(link, payload)


async def hear_once(running: Running) -> None:
    """A session there and back; raises TimeoutError."""
    async with watched(running, 1) as audience, asyncio.timeout(load.ECHO_SECONDS):
        await audience.each_hears()


async def deliveries(running: Running, *, links: int, messages: int, window: int) -> Figures:
    """Messages in turn to all sessions, at most a window ahead of what has arrived, after one to warm up."""
    async with watched(running, links) as audience:
        arrivals = Arrivals(audience.viewers)
        await _say(audience, arrivals, messages=window, window=window)
        meter, before = Meter(running), arrivals.count
        await _say(audience, arrivals, messages=messages, window=window)
        return meter.of(arrivals.count - before) | astray(audience.viewers)


async def _say(audience: Audience, arrivals: Arrivals, *, messages: int, window: int) -> None:
    """Until all is said, or something has not come."""
    tail, viewers = load.message(0, MESSAGE_BYTES)[15:], audience.viewers
    heard = arrivals.count
    for said in range(0, messages, window):
        for number in range(said, said + window):
            viewer = viewers[number % len(viewers)]
            audience.say(viewer, b"%b%07d%b" % (load.HEAD, viewer.sent, tail))
        await audience.agents.settle()
        if not await arrivals.until(heard + said + window):
            return


async def crowd(running: Running, *, links: int, rate: float, seconds: float) -> Figures:
    """Memory of each of many sessions; then latency, from when a message was due, after a while to warm up.

    As for `idle`, the relay must have just started.
    """
    async with _weighed(running, links) as (audience, figures):
        await Spoken(audience, audience.viewers).run(rate=rate, seconds=seconds / 5)
        traffic = Spoken(audience, audience.viewers)
        meter = Meter(running)
        await traffic.run(rate=rate, seconds=seconds)
        return {
            **figures,
            **meter.of(len(traffic.latencies)),
            **astray(audience.viewers),
            "generator_late_most_ms": traffic.late_most * 1e3,
            **percentiles(traffic.latencies),
        }


async def idle(running: Running, *, count: int) -> Figures:
    """Memory of a session that has heard one message, over that of a relay that was warmed up."""
    async with _weighed(running, count) as (_, figures):
        return figures


@contextlib.asynccontextmanager
async def _weighed(running: Running, count: int) -> AsyncIterator[tuple[Audience, Figures]]:
    async with watched(running, measures.WARM_UP_LINKS) as first:
        await first.each_hears()
        await measures.settled(running)
        empty = running.memory_kb()
        async with watched(running, count) as audience:
            await audience.each_hears()
            await measures.settled(running)
            full = running.memory_kb()
            yield audience, {name: (full[name] - empty[name]) / count for name in full}


async def new_sessions(running: Running, *, count: int) -> Figures:
    """Open so many sessions, after some that are not counted."""
    async with watched(running, measures.WARM_UP_LINKS):
        await measures.settled(running)
    await measures.settled(running)
    links, figures = await measures.opening(running, await urls(running, count), at_once=AT_ONCE)
    await load.close_links(links)
    await measures.settled(running)
    return figures


async def beside_a_slow_viewer(running: Running, *, links: int, rate: float, seconds: float) -> Figures:
    """How long messages of all others take while one is told much, which first it reads, and then not."""
    async with watched(running, links) as audience:
        await audience.each_hears()
        slow, *others = audience.viewers
        slow.on_message = load.ignore
        beside_reader = await _beside(audience, slow, others, rate=rate, seconds=seconds)
        slow.transport.underlying_transport.pause_reading()
        beside_slow = await _beside(audience, slow, others, rate=rate, seconds=seconds)
        slow.transport.underlying_transport.resume_reading()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await slow.transport.wait_disconnected()
        return {
            **{f"reader_{name}": value for name, value in beside_reader.items()},
            **beside_slow,
            **astray(others),
            "slow_ended": float(not slow.alive),
        }


async def _beside(
    audience: Audience, told: load.Link, others: list[load.Link], *, rate: float, seconds: float
) -> Figures:
    traffic = Spoken(audience, others)
    flooding = asyncio.create_task(_flood(audience, told), name="flood")
    try:
        await traffic.run(rate=rate, seconds=seconds)
    finally:
        flooding.cancel()
    return percentiles(traffic.latencies)


async def _flood(audience: Audience, told: load.Link) -> None:
    much = load.message(0, FLOOD_BYTES)
    while True:
        audience.say(told, much)
        await asyncio.sleep(1 / FLOOD_RATE)

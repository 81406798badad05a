"""What is measured: each function takes a running contender, opens links, closes them and returns figures.

A figure's name ends in its unit. CPU is user and system time of all of the proxy's processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections import deque

from picows import WSFrame

from bench import load
from bench.contenders import Running
from bench.pacing import Pace

Figures = dict[str, float]
SETTLE_SECONDS = 5.0
ANSWER_SECONDS = 3.0
WARM_UP_LINKS = 100


def percentiles(seconds: array[float]) -> Figures:
    """p50, p99 and p99.9 in milliseconds; empty when there is nothing."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    at = {"p50_ms": 0.50, "p99_ms": 0.99, "p999_ms": 0.999}
    return {
        name: ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3 for name, share in at.items()
    }


class PingPong:
    """Closed loop: each link sends its next message when the last one is back, until the time is over."""

    def __init__(self, links: list[load.Link], *, size_bytes: int) -> None:
        self._links = links
        self._size_bytes = size_bytes
        self._tail = load.message(0, size_bytes)[15:]
        self.latencies = array("d")

    async def run(self, seconds: float) -> None:
        self._open = len(self._links)
        self._done = asyncio.get_running_loop().create_future()
        self.latencies = array("d")
        self._end = time.perf_counter() + seconds
        for link in self._links:
            link.on_message = self._answered
            self._send(link, time.perf_counter())
        async with asyncio.timeout(seconds + ANSWER_SECONDS + 10):
            await self._done

    def _send(self, link: load.Link, now: float) -> None:
        link.sent_at = now
        link.send(b"%b%07d%b" % (load.HEAD, link.sent, self._tail))

    def _answered(self, link: load.Link, frame: WSFrame) -> None:
        now = time.perf_counter()
        self.latencies.append(now - link.sent_at)
        link.check(frame)
        if now < self._end:
            self._send(link, now)
            return
        self._open -= 1
        if not self._open:
            self._done.set_result(None)


async def round_trips(running: Running, *, links: int, size_bytes: int, seconds: float) -> Figures:
    """Closed-loop ping-pong on `links` links, after a tenth of the time to warm up."""
    async with load.opened([running.url() for _ in range(links)]) as opened:
        game = PingPong(opened, size_bytes=size_bytes)
        await game.run(seconds / 10)
        cpu, began = running.cpu_seconds(), time.perf_counter()
        await game.run(seconds)
        cpu, elapsed = running.cpu_seconds() - cpu, time.perf_counter() - began
        count = len(game.latencies)
        return {
            "cpu_us": cpu / count * 1e6,
            "per_second": count / elapsed,
            "proxy_busy_share": cpu / elapsed,
            "disordered": sum(link.disordered for link in opened),
            **percentiles(game.latencies),
        }


class Paced:
    """Open loop: messages leave when due, answered or not; latency counts from when they were due."""

    def __init__(self, links: list[load.Link], *, size_bytes: int) -> None:
        self._links = links
        self._tail = load.message(0, size_bytes)[15:]
        self._due: dict[load.Link, deque[float]] = {link: deque() for link in links}
        self.latencies = array("d")
        self.late_most = 0.0
        self._answers = asyncio.Event()

    async def run(self, *, rate: float, seconds: float) -> None:
        """Send `rate` messages a second for `seconds`; wait ANSWER_SECONDS at most for what is missing."""
        total = self._missing = int(rate * seconds)
        for link in self._links:
            link.on_message = self._answered
        sent = 0
        async with Pace(rate=rate) as pace:
            while sent < total:
                for due in await pace.due():
                    if sent < total:
                        self._send(self._links[sent % len(self._links)], due)
                        sent += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._answers.wait()

    def _send(self, link: load.Link, due: float) -> None:
        self.late_most = max(self.late_most, time.monotonic() - due)
        self._due[link].append(due)
        link.send(b"%b%07d%b" % (load.HEAD, link.sent, self._tail))

    def _answered(self, link: load.Link, frame: WSFrame) -> None:
        if not self._due[link]:
            link.disordered += 1
            return
        self.latencies.append(time.monotonic() - self._due[link].popleft())
        link.check(frame)
        self._missing -= 1
        if not self._missing:
            self._answers.set()


async def open_loop(
    running: Running, *, links: int, rate: float, seconds: float, size_bytes: int = 200
) -> Figures:
    """Latency at a fixed rate over all links, and whether each message came back once and in its turn."""
    async with load.opened([running.url() for _ in range(links)]) as opened:
        traffic = Paced(opened, size_bytes=size_bytes)
        cpu, began = running.cpu_seconds(), time.perf_counter()
        await traffic.run(rate=rate, seconds=seconds)
        cpu, elapsed = running.cpu_seconds() - cpu, time.perf_counter() - began
        return {
            "sent": sum(link.sent for link in opened),
            "unanswered": sum(link.sent - link.received for link in opened),
            "disordered": sum(link.disordered for link in opened),
            "generator_late_most_ms": traffic.late_most * 1e3,
            "proxy_busy_share": cpu / elapsed,
            **percentiles(traffic.latencies),
        }


async def new_connections(running: Running, *, count: int, at_once: int) -> Figures:
    """Open `count` links, `at_once` at a time; the CPU includes what the proxy does about them afterwards."""
    cpu, began = running.cpu_seconds(), time.perf_counter()
    links = await load.open_links([running.url() for _ in range(count)], at_once=at_once)
    elapsed = time.perf_counter() - began
    await _settled(running)
    cpu = running.cpu_seconds() - cpu
    try:
        await load.echoes(links)
    finally:
        await load.close_links(links)
    await _settled(running)
    return {"per_second": count / elapsed, "cpu_ms": cpu / count * 1e3}


async def idle_links(running: Running, *, counts: tuple[int, ...]) -> Figures:
    """Memory of a link that has carried one message, at each count, over that of a proxy that was warmed up.

    Needs a proxy that has just started: memory that earlier links left behind would be used again.
    """
    figures: Figures = {}
    links = await load.open_links([running.url() for _ in range(WARM_UP_LINKS)], at_once=50)
    try:
        await load.echoes(links)
        await _settled(running)
        empty_pss, empty_rss = running.child.pss_bytes(), running.child.rss_bytes()
        for count in counts:
            missing = count - len(links) + WARM_UP_LINKS
            more = await load.open_links([running.url() for _ in range(missing)], at_once=50)
            links += more
            await load.echoes(links)  # also those that are there already: none may have gone meanwhile
            await _settled(running)
            figures[f"pss_kb_at_{count}"] = (running.child.pss_bytes() - empty_pss) / count / 1024
            figures[f"rss_kb_at_{count}"] = (running.child.rss_bytes() - empty_rss) / count / 1024
    finally:
        await load.close_links(links)
    return figures


async def held_links(running: Running, *, count: int, rate: float, seconds: float) -> Figures:
    """Whether one process holds `count` links at once and carries messages on each of them."""
    async with load.opened([running.url() for _ in range(count)]) as opened:
        await load.echoes(opened)
        traffic = Paced(opened, size_bytes=200)
        await traffic.run(rate=rate, seconds=seconds)
        return {
            "held": sum(link.alive for link in opened),
            "unanswered": sum(link.sent - link.received for link in opened),
            "disordered": sum(link.disordered for link in opened),
            **percentiles(traffic.latencies),
        }


async def _settled(running: Running) -> None:
    """Wait until the proxy rests: 10 ms of CPU or less in a third of a second; SETTLE_SECONDS at most."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = running.cpu_seconds()
    while time.monotonic() < deadline:
        await asyncio.sleep(0.34)
        now = running.cpu_seconds()
        if now - before < 0.01:
            return
        before = now

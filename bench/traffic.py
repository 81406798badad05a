"""Messages on links that are open: how they are sent, when, and what is noted of those that come."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections import deque
from collections.abc import Iterable

from picows import WSFrame

from bench import load
from bench.pacing import Pace

# Late is not lost: beyond that, it is.
ANSWER_SECONDS = 10.0
WINDOW_SECONDS = 20.0


class PingPong:
    """Closed loop: each link sends its next message when the last one is back, until the time is over."""

    def __init__(self, links: list[load.Link], *, size_bytes: int) -> None:
        self._links = links
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


class Paced:
    """Open loop: messages leave when due, answered or not; latency counts from when they were due."""

    def __init__(self, links: list[load.Link], *, size_bytes: int = 200) -> None:
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
        self._say(link, self._payload(link))

    def _say(self, link: load.Link, payload: bytes) -> None:
        link.send(payload)

    def _payload(self, link: load.Link) -> bytes:
        return b"%b%07d%b" % (load.HEAD, link.sent, self._tail)

    def _answered(self, link: load.Link, frame: WSFrame) -> None:
        if not self._due[link]:
            link.disordered += 1
            return
        self.latencies.append(time.monotonic() - self._due[link].popleft())
        self._check(link, frame)
        self._missing -= 1
        if not self._missing:
            self._answers.set()

    def _check(self, link: load.Link, frame: WSFrame) -> None:
        link.check(frame)


class Arrivals:
    """Counts what comes on all links, and what comes out of its turn."""

    def __init__(self, links: Iterable[load.Link]) -> None:
        self.count = self._wanted = 0
        self._there = asyncio.Event()
        for link in links:
            link.on_message = self._take

    def _take(self, link: load.Link, frame: WSFrame) -> None:
        link.check(frame)
        self.count += 1
        if self.count >= self._wanted:
            self._there.set()

    async def until(self, wanted: int) -> bool:
        """Whether so many came altogether. False: some are missing, and none came in WINDOW_SECONDS."""
        self._wanted = wanted
        while self.count < wanted:
            before = self.count
            self._there.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WINDOW_SECONDS):
                    await self._there.wait()
            if self.count == before:
                return False
        return True


class TimedArrivals(Arrivals):
    """As above, and `at`: when each came, by `time.monotonic()`."""

    def __init__(self, links: Iterable[load.Link]) -> None:
        super().__init__(links)
        self.at = array("d")

    def _take(self, link: load.Link, frame: WSFrame) -> None:
        self.at.append(time.monotonic())
        super()._take(link, frame)

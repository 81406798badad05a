"""What it costs to publish an event, by each way, and how soon it is with one client, or with all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from array import array
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

from bench import load
from bench.agents import AT_ONCE, watched
from bench.children import ROOT, python
from bench.contenders import Carries
from bench.figures import Figures, Meter, astray, percentiles
from bench.publisher import FORGETFUL, REMEMBERING
from bench.running import Running
from bench.traffic import TimedArrivals
from proxy.api import EVERYONE

# Of the table in the report: how it is published, and to what.
WAYS = {
    "apublish": ("apublish", FORGETFUL),
    "publish": ("publish", FORGETFUL),
    "batch": ("apublish_many", FORGETFUL),
    "history": ("apublish", REMEMBERING),
    "history_batch": ("apublish_many", REMEMBERING),
    "on_commit": ("publish_on_commit", FORGETFUL),
}
SAID_SECONDS = 60.0


class Publisher:
    """`bench.publisher`, in a process of its own on the cores of the load generator."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def publish(self, way: str, topic: str, *, first: int, count: int) -> dict[str, Any]:
        """What it says of it, once it is through. Raises TimeoutError, and OSError: it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"way": way, "topic": topic, "first": first, "count": count}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(SAID_SECONDS):
            said = await self._process.stdout.readline()
        if not said:
            raise OSError("the publisher has ended")
        told: dict[str, Any] = json.loads(said)
        return told


@contextlib.asynccontextmanager
async def publisher_of(running: Running) -> AsyncIterator[Publisher]:
    """Publishes as the code of that gateway's project would."""
    process = await asyncio.create_subprocess_exec(
        *python("-m", "bench.publisher"),
        cwd=ROOT,
        env={**os.environ, **running.env},
        stdin=PIPE,
        stdout=PIPE,
        limit=1 << 20,
    )
    try:
        yield Publisher(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def publishing(running: Running, *, events: int) -> Figures:
    """Each way in turn, after a tenth to warm up: CPU an event of caller, gateway and Redis, and time."""
    figures: Figures = {}
    async with load.opened([running.url()], at_once=1) as (link,), publisher_of(running) as publisher:
        arrivals = TimedArrivals([link])
        for name, (way, topic) in WAYS.items():
            await _published(publisher, arrivals, link, way, topic, count=events // 10)
            meter = Meter(running)
            told = await _published(publisher, arrivals, link, way, topic, count=events)
            taken = _figures(told, arrivals.at[-events:], meter.of(events), events)
            figures |= {f"{name}_{key}": value for key, value in taken.items()}
        return figures | astray([link])


async def _published(
    publisher: Publisher, arrivals: TimedArrivals, link: load.Link, way: str, topic: str, *, count: int
) -> dict[str, Any]:
    """What the publisher says, once all has come. Raises TimeoutError if it does not."""
    first = link.sent
    link.sent += count
    told = await publisher.publish(way, topic, first=first, count=count)
    if not await arrivals.until(link.sent):
        raise TimeoutError(f"not every event of {way} comes")
    return told


def _figures(told: dict[str, Any], at: array[float], costs: Figures, events: int) -> Figures:
    """Of a batch, which is called once, each event counts from then."""
    called_at = told["called_at"] if len(told["called_at"]) == events else told["called_at"] * events
    to_client = [came - called for came, called in zip(at, called_at, strict=True)]
    caller_us = told["cpu_seconds"] / events * 1e6
    return {
        "all_us": caller_us + costs["cpu_us"] + costs["redis_cpu_us"],
        "caller_us": caller_us,
        "gateway_us": costs["cpu_us"],
        "redis_us": costs["redis_cpu_us"],
        "call_ms": (told["ended_at"] - told["called_at"][0]) / len(told["called_at"]) * 1e3,
        **percentiles(to_client),
    }


async def event_to_all(running: Running, *, links: int, events: int) -> Figures:
    """One event for all at a time, after one to warm up: when the first client has it, half, and the last."""
    async with _clients(running, links) as clients, publisher_of(running) as publisher:
        arrivals = TimedArrivals(clients)
        await _to_all(publisher, arrivals, clients)
        meter = Meter(running)
        taken = [await _to_all(publisher, arrivals, clients) for _ in range(events)]
        return {
            "links": links,
            **{name: median(one[name] for one in taken) for name in taken[0]},
            "last_most_ms": max(one["last_ms"] for one in taken),
            **meter.of(links * events),
            **astray(clients),
        }


async def _to_all(publisher: Publisher, arrivals: TimedArrivals, clients: list[load.Link]) -> Figures:
    number, arrivals.at = clients[0].sent, array("d")
    for link in clients:
        link.sent += 1
    told = await publisher.publish("apublish", EVERYONE, first=number, count=1)
    await arrivals.until((number + 1) * len(clients))
    (called_at,), at = told["called_at"], sorted(arrivals.at)
    return {
        "first_ms": (at[0] - called_at) * 1e3,
        "half_ms": (at[len(at) // 2] - called_at) * 1e3,
        "last_ms": (at[-1] - called_at) * 1e3,
        "call_ms": (told["ended_at"] - called_at) * 1e3,
        "told_links": told["links"],
    }


@contextlib.asynccontextmanager
async def _clients(running: Running, count: int) -> AsyncIterator[list[load.Link]]:
    if running.contender.carries is Carries.SESSIONS:
        async with watched(running, count) as audience:
            yield audience.viewers
    else:
        async with load.opened([running.url() for _ in range(count)], at_once=AT_ONCE) as links:
            yield links

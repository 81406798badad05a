"""Gateways that are killed and frozen in turn, under the numbers that agents say."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from config.testing.ending import ended
from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from experience.sessions.tests.conftest import Agent, DurableAgent, Gaps, gaps, heard

GONE = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError)
QUICK: dict[str, Any] = {"open_timeout": 1, "close_timeout": 0.1}


class DurableViewer:
    """Goes to the other node when it hears nothing for a second, and says what it has heard last."""

    def __init__(self, agent: DurableAgent, nodes: list[Gateway], since: str) -> None:
        self.agent, self.nodes, self.since = agent, nodes, since
        self.at = 0
        self.numbers: list[int] = []
        self.closes: list[tuple[int, str]] = []

    async def watch(self, last: int | None = None) -> None:
        """Until it has heard that number; None: for good."""
        while not self.numbers or self.numbers[-1] != last:
            await self.agent.let_in()
            try:
                async with self.agent.client(self.nodes[self.at], since=self.since, **QUICK) as client:
                    assert (await heard(client))["recovered"]
                    while not self.numbers or self.numbers[-1] != last:
                        async with asyncio.timeout(1):
                            message = await heard(client)
                        self.numbers.append(message["n"])
                        self.since = message["since"]
                    return
            except GONE as gone:
                if isinstance(gone, ConnectionClosed) and gone.rcvd is not None:
                    self.closes.append((gone.rcvd.code, gone.rcvd.reason))
            self.at = 1 - self.at


class Viewer:
    """Stays with its node for as long as its connection lasts, and comes back to it."""

    def __init__(self, agent: Agent, node: Gateway) -> None:
        self.agent, self.node = agent, node
        self.heard: list[list[str]] = []  # of each connection

    async def watch(self) -> None:
        while True:
            await self.agent.let_in()
            with suppress(*GONE):
                async with self.agent.client(self.node, **QUICK) as client:
                    self.heard.append([])
                    while True:
                        self.heard[-1].append(str(await client.recv()))


async def _say(agent: Agent, over: asyncio.Event) -> None:
    number = 0
    while not over.is_set():
        number += 1
        await agent.say(str(number))
        await asyncio.sleep(0.005)


async def _add(agent: DurableAgent, over: asyncio.Event) -> int:
    """The last number."""
    number = 0
    while not over.is_set():
        number += 1
        await agent.add(json.dumps({"n": number}))
        await asyncio.sleep(0.005)
    return number


@asynccontextmanager
async def _fault(node: Gateway, how: str) -> AsyncIterator[None]:
    """A node that is killed or drained, and started again; or frozen, and thawed."""
    if how == "killed":
        node.program.kill()
    else:
        node.program.send_signal(signal.SIGTERM if how == "drained" else signal.SIGSTOP)
    yield
    if how == "frozen":
        node.program.send_signal(signal.SIGCONT)
    else:
        assert await asyncio.to_thread(node.program.wait_for_exit, within_seconds=30) <= 0
        await asyncio.to_thread(node.start)


@pytest.mark.parametrize("nodes", [{"RELAY_KEEP_MESSAGES": "100000"}], indirect=True)
async def test_gateways_that_die_or_hang_cost_a_durable_viewer_nothing_and_others_no_untold_gap(
    nodes: list[Gateway], own_valkey: ValkeyServer
) -> None:
    async with Redis.from_url(own_valkey.url) as redis, asyncio.timeout(90):
        durable, over = DurableAgent(redis, nodes[0]), asyncio.Event()
        await durable.become_durable()
        viewer = DurableViewer(durable, nodes, since=await durable.add('{"n":0}'))
        live = [Agent(redis, node) for node in nodes]
        others = [Viewer(agent, agent.gateway) for agent in live]
        async with asyncio.TaskGroup() as group:
            adding = group.create_task(_add(durable, over))
            works = [
                viewer.watch(),
                *(work for each in others for work in (_say(each.agent, over), each.watch())),
            ]
            beside = [group.create_task(work) for work in works]
            for how in (
                "killed",
                "killed",
                "frozen",
                "frozen",
            ):  # each node, since its viewer goes to the other
                await _heard_more(viewer)
                async with _fault(nodes[viewer.at], how):
                    await _heard_more(viewer, at=1 - viewer.at)
            for other in others:  # each has come back, and outlived the frost
                await _grown_by_100(other.heard[-1])
            over.set()
            await ended(beside)
        last = adding.result()
        await viewer.watch(last)
    assert viewer.numbers == list(range(1, last + 1))
    for other in others:
        assert [gaps(each) for each in other.heard] == [Gaps()] * len(other.heard)


async def _heard_more(viewer: DurableViewer, *, at: int | None = None) -> None:
    """Wait until it has heard a hundred more; at a certain node, where that is said."""
    while at is not None and viewer.at != at:
        await asyncio.sleep(0.01)
    await _grown_by_100(viewer.numbers)


async def _grown_by_100(heard: Sized) -> None:
    before = len(heard)
    while len(heard) < before + 100:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("nodes", [{"RELAY_KEEP_MESSAGES": "100000", "DRAIN_SECONDS": "3"}], indirect=True)
async def test_a_node_that_drains_sends_a_durable_viewer_to_another_where_it_misses_and_doubles_nothing(
    nodes: list[Gateway], own_valkey: ValkeyServer
) -> None:
    async with Redis.from_url(own_valkey.url) as redis, asyncio.timeout(90):
        durable, over = DurableAgent(redis, nodes[0]), asyncio.Event()
        await durable.become_durable()
        viewer = DurableViewer(durable, nodes, since=await durable.add('{"n":0}'))
        async with asyncio.TaskGroup() as group:
            adding = group.create_task(_add(durable, over))
            watching = group.create_task(viewer.watch())
            for _ in range(4):  # of each node its first and its second life
                await _heard_more(viewer)
                async with _fault(nodes[viewer.at], "drained"):
                    await _heard_more(viewer, at=1 - viewer.at)
            over.set()
            await ended([watching])
        last = adding.result()
        await viewer.watch(last)
        assert await redis.keys("session:*:auth:*") == []
    assert viewer.numbers == list(range(1, last + 1))
    assert [code for code, _ in viewer.closes] == [1001] * 4
    assert all(reason.startswith("restart; retry in ") for _, reason in viewer.closes)

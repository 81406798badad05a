"""One of three instances is killed with 300 links under traffic: nothing is lost, doubled or reordered."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from config.testing.studio import StudioInstance
from config.tests.pools.conftest import MakeNodes
from config.tests.pools.test_balancing import instance_of, open_many

LINKS = 300
PAUSE_SECONDS = 0.25


class Talker:
    """Sends numbers, one after another, and keeps what comes back."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.sent = 0
        self.echoed: list[int] = []
        self.instances: list[str] = []
        self.states: list[str] = []

    async def send_until(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                await self.client.send(json.dumps({"n": self.sent}))
                self.sent += 1
                await asyncio.sleep(PAUSE_SECONDS)
        except ConnectionClosed:
            pass

    async def receive(self) -> None:
        try:
            async for text in self.client:
                message = json.loads(text)
                if message["type"] == "gateway.upstream":
                    self.states.append(message["state"])
                else:
                    self.echoed.append(message["message"]["n"])
                    self.instances.append(message["instance"])
        except ConnectionClosed:
            pass

    async def caught_up(self) -> None:
        while self.echoed[-1:] != [self.sent - 1]:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("resume", ["close", "reconnect"])
@pytest.mark.timeout(120)
async def test_a_killed_instance_under_traffic(
    make_nodes: MakeNodes, studios: list[StudioInstance], resume: str
) -> None:
    nodes = make_nodes(2, STUDIO_RESUME=resume, SLOW_CONSUMER_SECONDS="20")
    stop = asyncio.Event()
    async with asyncio.timeout(100), AsyncExitStack() as stack:
        clients = await open_many(stack, nodes, LINKS)
        homes = dict(zip(clients, await asyncio.gather(*map(instance_of, clients)), strict=True))
        talkers = [Talker(client) for client in clients]
        tasks = [asyncio.create_task(talker.receive()) for talker in talkers]
        senders = [asyncio.create_task(talker.send_until(stop)) for talker in talkers]
        while min(talker.sent for talker in talkers) < 6:
            await asyncio.sleep(0.05)
        studios[0].program.kill()
        struck = [talker for talker in talkers if homes[talker.client] == "studio-1"]
        others = [talker for talker in talkers if homes[talker.client] != "studio-1"]
        assert LINKS / 3 * 0.9 <= len(struck) <= LINKS / 3 * 1.1
        for _ in range(10):  # new links land elsewhere at once
            async with nodes[0].connect(nodes[0].url("/ws")) as client:
                assert await instance_of(client) != "studio-1"
        if resume == "close":
            await asyncio.gather(*(talker.client.wait_closed() for talker in struck))
        else:
            while not all(talker.states == ["reconnecting", "connected"] for talker in struck):
                await asyncio.sleep(0.05)
        marks = [talker.sent for talker in talkers]
        while any(talker.sent < mark + 4 for talker, mark in zip(talkers, marks, strict=True)
                  if talker.client.close_code is None):  # fmt: skip
            await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*senders)
        alive = [talker for talker in talkers if talker.client.close_code is None]
        await asyncio.gather(*(talker.caught_up() for talker in alive))
        for task in tasks:
            task.cancel()
    for talker in others:
        assert talker.client.close_code in {None, 1000}
        assert talker.echoed == list(range(talker.sent))
        assert talker.states == []
    for talker in struck:
        before = [n for n, home in zip(talker.echoed, talker.instances, strict=True) if home == "studio-1"]
        assert before == list(range(len(before)))  # whole and in order up to the loss
        assert talker.echoed == sorted(set(talker.echoed))  # nothing doubled or reordered, ever
        if resume == "close":
            assert talker.client.close_code == 1011
        else:
            assert set(talker.instances) - {"studio-1"}
            assert len(talker.echoed) >= talker.sent - 4  # only what the dead instance had in hand

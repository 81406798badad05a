"""Topics that remember, on running gateways: clients that come and go, and what they are told."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway
from config.tests.remembering_route import BRIEF, ROOM
from proxy.cluster import signals
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.questions import Question
from proxy.core.topics import TopicKind, group_name

ROUTES = "config.tests.remembering_route.ROUTE"
EVENTS = 400


class Publisher:
    """Publishes numbered events from outside of any gateway."""

    def __init__(self, url: str) -> None:
        self._layer = GatewayChannelLayer(hosts=[{"address": url}], prefix="gateway")

    async def publish(self, number: int, kind: TopicKind = ROOM) -> None:
        topic = kind("r")
        signal = {**signals.event(json.dumps({"type": "said", "number": number})), "topic": topic}
        await self._layer.store.ask([Question(group=group_name(topic), signal=signal, history=kind.history)])

    async def close(self) -> None:
        await self._layer.flush()


@pytest.fixture
async def publisher(valkey: ValkeyServer) -> AsyncIterator[Publisher]:
    publisher = Publisher(valkey.url)
    yield publisher
    await publisher.close()


class Client:
    """Comes back with what it remembers; `heard` are the numbers, `told` what the gateway said each time."""

    def __init__(self) -> None:
        self.since = ""
        self.heard: list[int] = []
        self.told: list[dict[str, Any]] = []

    async def come(self, gateway: Gateway, *, leave_after: float | None) -> None:
        """Hear for so long, or until there is no more, and be gone without a word."""
        url = gateway.url("/rooms/r", since=self.since)
        try:
            async with gateway.connect(url) as socket, asyncio.timeout(leave_after):
                while not self.heard or self.heard[-1] != EVENTS - 1:
                    self._hear(json.loads(await socket.recv()))
                    if self.heard and random.random() < 0.02:
                        socket.transport.abort()
        except (TimeoutError, ConnectionClosed):
            pass

    def _hear(self, message: dict[str, Any]) -> None:
        self.since = message.get("since", self.since)
        if message["type"] == "gateway.recovered":
            self.told.append(message)
        else:
            self.heard.append(message["number"])


@pytest.mark.timeout(120)
async def test_clients_that_come_and_go_on_two_nodes_hear_every_event_once_in_order(
    make_gateway: MakeGateway, valkey: ValkeyServer, publisher: Publisher
) -> None:
    gateways = [make_gateway(REDIS_URL=valkey.url, ROUTES=ROUTES) for _ in range(2)]
    for gateway in gateways:
        await gateway.wait_until_ready(redis=True)
    clients = [Client() for _ in range(8)]

    async def live(client: Client) -> None:
        await client.come(random.choice(gateways), leave_after=1)
        began.release()
        while not client.heard or client.heard[-1] != EVENTS - 1:
            stays = random.uniform(0.01, 0.3)
            await client.come(random.choice(gateways), leave_after=stays)

    began = asyncio.Semaphore(0)
    async with asyncio.timeout(100), asyncio.TaskGroup() as lives:
        for client in clients:
            lives.create_task(live(client))
        for _ in clients:
            await began.acquire()
        for number in range(EVENTS):
            await publisher.publish(number)
    for client in clients:
        first, *later = client.told
        assert (first["recovered"], first["reason"]) == (False, "new")
        assert {told["recovered"] for told in later} == {True}
        assert client.heard == list(range(EVENTS))
    assert sum(len(client.told) for client in clients) > 5 * len(clients)


async def test_a_client_is_told_when_something_is_forgotten_or_redis_began_anew(
    make_gateway: MakeGateway, valkey: ValkeyServer, publisher: Publisher
) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url, ROUTES=ROUTES)
    await gateway.wait_until_ready(redis=True)

    async def told(since: str) -> dict[str, Any]:
        async with gateway.connect(gateway.url("/rooms/r", since=since)) as socket:
            message: dict[str, Any] = json.loads(await socket.recv())
            return message

    async with asyncio.timeout(60):
        new = await told("")
        for number in range(6):
            await publisher.publish(number, BRIEF)  # which remembers five
        assert await told(new["since"]) | {"since": ""} == {
            "type": "gateway.recovered", "recovered": False, "events": 0, "reason": "forgotten", "since": "",
        }  # fmt: skip
        last = (await told(""))["since"]
        assert (await told(last))["recovered"]
        valkey.kill()
        valkey.start()
        await gateway.wait_until_ready(redis=True)
        while (after := await told(last))["reason"] == "unavailable":
            await asyncio.sleep(0.1)
        assert after["reason"] == "unknown"


async def test_who_says_no_since_is_told_nothing(
    make_gateway: MakeGateway, valkey: ValkeyServer, publisher: Publisher
) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url, ROUTES=ROUTES)
    await gateway.wait_until_ready(redis=True)
    async with asyncio.timeout(30), gateway.connect(gateway.url("/rooms/r")) as socket:
        await publisher.publish(1)
        message = json.loads(await socket.recv())
    assert (message["type"], message["number"], bool(message["since"])) == ("said", 1, True)


async def test_who_publishes_to_nobody_is_told_that_a_topic_remembers(
    make_gateway: MakeGateway, valkey: ValkeyServer
) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url, ROUTES=ROUTES)
    said = [
        (await asyncio.to_thread(gateway.manage, "publish", topic, '{"type":"x"}')).stdout
        for topic in (ROOM("r"), "user:7")
    ]
    assert "nobody is there; who comes back in time hears it" in said[0]
    assert said[1].endswith("nobody is there\n")


async def test_who_asks_who_is_there_leaves_no_trace_in_what_is_remembered(
    make_gateway: MakeGateway, valkey: ValkeyServer, publisher: Publisher
) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url, ROUTES=ROUTES)
    await gateway.wait_until_ready(redis=True)
    ask = "from proxy.api import presence; presence('room:r')"

    async def hears(since: str, count: int) -> list[dict[str, Any]]:
        async with gateway.connect(gateway.url("/rooms/r", since=since)) as socket:
            return [json.loads(await socket.recv()) for _ in range(count)]

    async with asyncio.timeout(40):
        (new,) = await hears("", 1)
        await asyncio.to_thread(gateway.manage, "shell", "-v0", "-c", ask)
        await publisher.publish(1)
        recovered, said = await hears(new["since"], 2)
    assert (recovered["recovered"], recovered["events"], said["number"]) == (True, 1, 1)

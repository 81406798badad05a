"""Who is on a topic, over two nodes that share a Redis and a database, whatever becomes of any of them."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.contract.joined import WOODS, joined, stay, two_nodes
from proxy.api import LayerAway, Presence, apresence
from proxy.cluster import asking
from proxy.cluster.layer import GatewayChannelLayer

pytestmark = pytest.mark.timeout(120)
TOPIC = f"experience:{WOODS}"


@pytest.fixture
def nodes(tmp_path: Path, own_valkey: ValkeyServer) -> Iterator[tuple[Gateway, Gateway]]:
    shared = {
        "REDIS_URL": own_valkey.url,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'shared.sqlite3'}",
        "ROUTES": "experience.routes.ROUTES,config.tests.contract.rooms.ROUTES",
    }
    with two_nodes(tmp_path, shared) as made:
        yield made


@pytest.fixture
async def _asker(own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """This process is one more that shares the Redis."""
    layer = GatewayChannelLayer(hosts=[{"address": own_valkey.url}], prefix="gateway")
    monkeypatch.setattr(asking, "get_channel_layer", lambda: layer)
    yield
    await layer.flush()


async def asked(topic: str, *, silent: int = 0, **options: Any) -> Presence:
    """What `apresence` finds once all but so many nodes are quick enough: the machine may be slow."""
    while (found := await apresence(topic, **options)).silent != silent:
        await asyncio.sleep(0.05)
    return found


async def over_http(node: Gateway, path: str, key: str) -> Any:
    def get() -> Any:
        url = f"http://127.0.0.1:{node.port}/api/presence/{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Api-Key {key}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    while "silent" in (told := await asyncio.to_thread(get)):
        await asyncio.sleep(0.05)
    return told


@pytest.mark.usefixtures("_asker")
async def test_any_process_learns_who_is_on_a_topic_of_every_node(
    nodes: tuple[Gateway, Gateway], own_valkey: ValkeyServer
) -> None:
    one, two = nodes
    async with asyncio.timeout(60):
        for node in nodes:
            await node.wait_until_ready(redis=True)
        assert await asked(TOPIC) == Presence(nodes=0, links=0)
        who = [(one, "ann", WOODS), (one, "bob", WOODS), (two, "ann", WOODS), (two, "eve", "elsewhere")]
        async with joined(*who):
            found = await asked(TOPIC)
            assert (found.nodes, found.links) == (2, 3)
            assert Counter(each.user_id for each in found.who) == {"ann": 2, "bob": 1}
            assert sorted(found.users) == ["ann", "bob"]
            ids = {each.connection_id for each in found.who}
            while not ids <= {row["id"] for row in one.records("closed_at IS NULL")}:
                await asyncio.sleep(0.05)
            assert (await asked("everyone")).links == 4
            (bob,) = (each for each in found.who if each.user_id == "bob")
            assert (await asked(f"connection:{bob.connection_id}")).who == (bob,)
            few = await asked(TOPIC, named=1)
            assert (few.links, len(few.who)) == (3, 1)

            issued = await asyncio.to_thread(two.manage, "issue_api_key", "game", "--connections")
            key = issued.stdout.strip()
            assert await over_http(two, f"{TOPIC}?limit=0", key) == {"nodes": 2, "links": 3, "who": []}
            named = [{"connection": bob.connection_id, "user": "bob"}]
            assert await over_http(two, "user:bob", key) == {"nodes": 1, "links": 1, "who": named}

            two.program.send_signal(signal.SIGSTOP)
            found = await asked(TOPIC, silent=1)
            assert (found.nodes, found.links) == (1, 2)
            two.program.kill()
            found = await asked(TOPIC)
            assert sorted(each.user_id for each in found.who) == ["ann", "bob"]
            await asyncio.to_thread(own_valkey.kill)
            with pytest.raises(LayerAway):
                await apresence(TOPIC)


async def test_more_than_can_be_named_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 10000 links can be named, not 10001"):
        await apresence(TOPIC, named=10_001)
    with pytest.raises(ValueError, match="a topic is"):
        await apresence("nonsense")


class Member:
    """A client in the room, and whom it believes there by what it is told."""

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self.told: list[str] = []
        self.there: dict[str, str] = {}

    @property
    def users(self) -> list[str]:
        return sorted(self.there.values())

    async def hear(self) -> None:
        message: dict[str, Any] = json.loads(await self._client.recv())
        self.told.append(message["type"])
        if message["type"] == "gateway.resync":
            return
        assert message["topic"] == "room:7"
        who = {each["connection"]: each["user"] for each in message["who"]}
        if message["type"] == "gateway.present":
            assert message["links"] == len(who)
            self.there = who
        elif message["type"] == "gateway.joined":
            self.there |= who
        else:
            assert message["type"] == "gateway.left"
            self.there = {link: user for link, user in self.there.items() if link not in who}

    async def believes(self, *users: str) -> None:
        """Hear until these are there."""
        while self.users != sorted(users) or "gateway.present" not in self.told:
            await self.hear()


def room(node: Gateway, user: str) -> AbstractAsyncContextManager[ClientConnection]:
    return node.connect(node.url("/rooms/7", token=issue(user)))


async def test_links_of_a_topic_that_asks_for_it_are_told_who_joins_and_leaves(
    nodes: tuple[Gateway, Gateway],
) -> None:
    one, two = nodes
    async with asyncio.timeout(100), one.serving(stay), two.serving(stay), room(one, "ann") as client:
        ann = Member(client)
        await ann.believes("ann")
        async with room(two, "bob") as other:
            await ann.believes("ann", "bob")
            bob = Member(other)
            await bob.believes("ann", "bob")
        await ann.believes("ann")
        moves = [told for told in ann.told if told != "gateway.present"]  # told again of a node that is slow
        assert moves[-2:] == ["gateway.joined", "gateway.left"]
        async with room(two, "ann"), room(two, "eve"):
            await ann.believes("ann", "ann", "eve")
            two.program.kill()
            ann.told.clear()
            await ann.believes("ann")
        assert ann.told == ["gateway.present"]


async def test_after_an_outage_of_redis_links_know_who_is_there(
    nodes: tuple[Gateway, Gateway], own_valkey: ValkeyServer
) -> None:
    one, two = nodes
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(100))
        for node in nodes:
            await stack.enter_async_context(node.serving(stay))
        ann = Member(await stack.enter_async_context(room(one, "ann")))
        async with room(two, "bob"):
            await ann.believes("ann", "bob")
            await asyncio.to_thread(own_valkey.kill)
            for node in nodes:
                await asyncio.to_thread(node.program.wait_for_output, "channel layer is away")
        eve = Member(await stack.enter_async_context(room(two, "eve")))
        await asyncio.to_thread(own_valkey.start)
        await ann.believes("ann", "eve")
        await eve.believes("ann", "eve")

"""A change of state reaches the user's topic through a real Valkey; one that is away costs only events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer
from websockets.asyncio.client import ClientConnection, connect

from config.testing.servers import ValkeyServer
from experience.kb.tests.serving import running_kb
from experience.kb.world import WYLDING_WOODS
from proxy.core.topics import group_name, user_topic


@asynccontextmanager
async def hearing(valkey: ValkeyServer, topic: str) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """The events published to `topic`, as a gateway on this Valkey hears them."""
    layer = RedisPubSubChannelLayer(hosts=[valkey.url], prefix="gateway")
    channel = await layer.new_channel()
    await layer.group_add(group_name(topic), channel)
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive() -> None:
        while True:
            message = await layer.receive(channel)
            assert (message["type"], message["topic"]) == ("gateway.event", topic)
            events.put_nowait(json.loads(message["text"]))

    receiving = asyncio.create_task(receive())
    try:
        yield events
    finally:
        receiving.cancel()
        await asyncio.wait([receiving])
        await layer.flush()


async def collect(socket: ClientConnection, item_id: str) -> dict[str, Any]:
    spot_id = WYLDING_WOODS.items[item_id].spot_id
    action = {"type": "action", "action": "collect_bottle", "item_id": item_id, "spot_id": spot_id}
    await socket.send(json.dumps(action))
    answer: dict[str, Any] = json.loads(await socket.recv())
    return answer


async def test_every_change_is_published_once_and_in_order_and_a_refused_move_is_not(
    valkey: ValkeyServer, kb_environment: dict[str, str], tmp_path: Path, token: str, user_id: str
) -> None:
    with running_kb(tmp_path, {**kb_environment, "REDIS_URL": valkey.url}) as kb:
        async with (
            asyncio.timeout(20),
            hearing(valkey, user_topic(user_id)) as events,
            connect(kb.url(token), proxy=None) as socket,
        ):
            await socket.recv()
            for item_id in ("bottle_of_mist", "bottle_of_mist", "bottle_of_song"):
                await collect(socket, item_id)
            heard = [await events.get(), await events.get()]

    assert [event["type"] for event in heard] == ["state.changed"] * 2
    assert [event["version"] for event in heard] == [1, 2]
    assert [len(event["inventory"]) for event in heard] == [1, 2]
    assert events.empty()


async def test_a_valkey_that_is_away_costs_no_answer_and_events_return_with_it(
    valkey: ValkeyServer, kb_environment: dict[str, str], tmp_path: Path, token: str, user_id: str
) -> None:
    with running_kb(tmp_path, {**kb_environment, "REDIS_URL": valkey.url}) as kb:
        async with asyncio.timeout(40), connect(kb.url(token), proxy=None) as socket:
            await socket.recv()
            valkey.kill()
            away = await collect(socket, "bottle_of_mist")
            await asyncio.to_thread(kb.wait_for_output, "state change not announced")
            await asyncio.to_thread(valkey.start)
            async with hearing(valkey, user_topic(user_id)) as events:
                missed = await events.get()  # without a further move
                await collect(socket, "bottle_of_song")
                event = await events.get()

    assert away["success"]
    assert [(each["version"], len(each["inventory"])) for each in (missed, event)] == [(1, 1), (2, 2)]

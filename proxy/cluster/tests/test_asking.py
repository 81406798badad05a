"""Publishing and what comes back: in memory, and over a real Redis that two nodes share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer
from proxy.cluster import asking
from proxy.cluster.layer import GatewayChannelLayer
from proxy.cluster.publishing import Delivered, Publication, apublish, apublish_many, publish
from proxy.cluster.tests.answering import StartNode
from proxy.cluster.tests.hearing import DEADLINE_SECONDS, Heard

HELLO = {"type": "hello"}
pytestmark = pytest.mark.usefixtures("publishing_here")


def numbered(number: int) -> dict[str, object]:
    return {"type": "event", "number": number}


async def test_who_publishes_is_told_how_many_nodes_and_links_took_it(
    start_node: StartNode, heard: Heard, make_layer: Callable[[], Any]
) -> None:
    one = await start_node("1")
    await one.hub.join(heard.ear("a"), ["user:42", "everyone"])
    await one.hub.join(heard.ear("b"), ["user:42", "connection:x"])
    assert await apublish("user:42", HELLO) == Delivered(nodes=1, links=2)
    assert await apublish("user:nobody", HELLO) == Delivered(nodes=0, links=0)
    assert await sync_to_async(publish)("everyone", HELLO) == Delivered(nodes=1, links=1)
    if isinstance(make_layer(), GatewayChannelLayer):
        two = await start_node("2")
        await two.hub.join(heard.ear("c"), ["user:42"])
        assert await apublish("user:42", HELLO) == Delivered(nodes=2, links=3)
        assert await sync_to_async(publish)("user:42", HELLO) == Delivered(nodes=2, links=3)


async def test_a_node_that_listens_for_another_link_of_the_group_took_nothing(
    start_node: StartNode, heard: Heard
) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["connection:0"])
    # Connections share 64 groups, and these two the same one.
    assert asking.question("connection:0", {}).group == asking.question("connection:10", {}).group
    assert await apublish("connection:10", HELLO) == Delivered(nodes=0, links=0)


async def test_a_key_that_was_seen_publishes_nothing_and_answers_what_the_first_did(
    start_node: StartNode,
    heard: Heard,
    make_layer: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    slow_machine: None,
) -> None:
    node = await start_node("1")
    ear = heard.ear("a")
    await node.hub.join(ear, ["user:1"])

    async def once() -> Delivered:
        return await apublish("user:1", {"type": "once"}, idempotency_key="k")

    answers = await asyncio.gather(*(once() for _ in range(50)))
    other = make_layer()  # another process
    monkeypatch.setattr(asking, "get_channel_layer", lambda: other)
    node.hub.leave(ear, ["user:1"])
    answers += [await once() for _ in range(2)]
    assert set(answers) == {Delivered(nodes=1, links=1)}
    assert heard.messages == [("a", '{"type":"once"}')]
    assert await apublish("user:1", HELLO, idempotency_key="other") == Delivered(nodes=0, links=0)


async def test_one_publishers_keys_are_not_anothers(start_node: StartNode, heard: Heard) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    for publisher in ("one", "two", "one"):
        await apublish_many([Publication("user:1", {"type": publisher}, "k", publisher=publisher)])
    assert [text for _, text in heard.messages] == ['{"type":"one"}', '{"type":"two"}']


async def test_many_are_published_in_order_and_answered_each(start_node: StartNode, heard: Heard) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    many = [Publication("user:1", numbered(number)) for number in range(250)]
    many += [Publication("user:nobody", HELLO), *[Publication("user:1", {"type": "once"}, "k")] * 2]
    delivered = await apublish_many(many)
    took, nobody = Delivered(nodes=1, links=1), Delivered(nodes=0, links=0)
    assert delivered == [*[took] * 250, nobody, took, took]
    texts = [f'{{"type":"event","number":{number}}}' for number in range(250)]
    assert [text for _, text in heard.messages] == [*texts, '{"type":"once"}']


async def test_a_mistake_among_many_publishes_none(start_node: StartNode, heard: Heard) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    for wrong in (Publication("user:1", {}), Publication("x:1", HELLO), Publication("user:1", HELLO, "")):
        with pytest.raises(ValueError):  # noqa: PT011  which one does not matter here
            await apublish_many([Publication("user:1", HELLO), wrong])
    await apublish("user:1", {"type": "last"})
    assert heard.messages == [("a", '{"type":"last"}')]


async def test_what_blocks_is_refused_in_async_code() -> None:
    with pytest.raises(SynchronousOnlyOperation, match="await apublish"):
        publish("user:1", HELLO)


@pytest.mark.parametrize("make_layer", ["redis"], indirect=True)
async def test_an_event_loop_of_a_moment_leaves_no_connection(
    start_node: StartNode, heard: Heard, valkey: ValkeyServer
) -> None:
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    connections = []
    async with Redis.from_url(valkey.url) as client:
        for _ in range(3):
            delivered = await asyncio.to_thread(asyncio.run, apublish("user:1", HELLO))
            assert delivered == Delivered(nodes=1, links=1)
            connections.append({each["id"] for each in await client.client_list()})
        still = set.intersection(*connections)
        async with asyncio.timeout(DEADLINE_SECONDS):  # Redis reads the end of one a moment later
            while {each["id"] for each in await client.client_list()} - still:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("make_layer", ["memory"], indirect=True)
async def test_a_publisher_in_a_thread_with_a_loop_of_its_own_wakes_the_nodes(
    start_node: StartNode, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cluster.memory_store.ANSWER_SECONDS", 2 * DEADLINE_SECONDS)
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    async with asyncio.timeout(DEADLINE_SECONDS):
        in_thread = asyncio.to_thread(asyncio.run, apublish("user:1", HELLO))
        assert await in_thread == Delivered(nodes=1, links=1)


@pytest.mark.parametrize("make_layer", ["memory"], indirect=True)
async def test_keys_are_known_until_there_are_too_many_of_them(
    start_node: StartNode, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.cluster.memory_store._MOST_KEPT", 3)
    node = await start_node("1")
    await node.hub.join(heard.ear("a"), ["user:1"])
    for key in "abcad":
        await apublish("user:1", {"type": key}, idempotency_key=key)
    assert [json.loads(text)["type"] for _, text in heard.messages] == list("abcd")
    await apublish("user:1", {"type": "a"}, idempotency_key="a")
    assert heard.messages[-1] == ("a", '{"type":"a"}')

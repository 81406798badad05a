"""What others publish to NATS, on two nodes that share nothing else: no Redis, no database."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import nats.aio.client
import pytest
from nats.errors import NoRespondersError

from config.testing.ending import ended
from config.testing.gateway import Gateway
from config.testing.servers import NatsServer
from config.tests.contract.joined import LEFT_OPEN, WOODS, heard, joined, publishing, two_nodes
from proxy.core.bridging.subjects import written

Publisher = nats.aio.client.Client
USER = "world.updates.user."
EXPERIENCE = "world.updates.experience."

pytestmark = [pytest.mark.timeout(120), LEFT_OPEN]


@pytest.fixture
def nodes(tmp_path: Path, nats: NatsServer) -> Iterator[tuple[Gateway, Gateway]]:
    with two_nodes(tmp_path, {"NATS_URL": nats.url}) as made:
        yield made


async def has_no_subscriber(publisher: Publisher, subject: str) -> bool:
    """What the server says; False when whoever there is does not answer a request."""
    try:
        await publisher.request(subject, b'{"type": "asked"}', timeout=2)
    except (NoRespondersError, TimeoutError) as said:
        return isinstance(said, NoRespondersError)
    raise AssertionError("nobody answers here")


async def until(happens: Callable[[], Any]) -> None:
    while not await happens():
        await asyncio.sleep(0.05)


async def test_each_link_hears_each_message_once_and_in_order_on_every_node(
    nodes: tuple[Gateway, Gateway], nats: NatsServer
) -> None:
    one, two = nodes
    who = [(one, "ann", WOODS), (one, "ann", WOODS), (two, "ann", WOODS), (two, "bob", WOODS)]
    async with asyncio.timeout(60), joined(*who) as clients, publishing(nats.url) as publisher:
        for number in range(500):
            subject = (USER + "ann", EXPERIENCE + WOODS)[number % 2]
            await publisher.publish(subject, json.dumps({"type": "moved", "number": number}).encode())
        await publisher.publish(EXPERIENCE + WOODS, b'{"type": "last"}')
        *anns, bob = clients
        for ann in anns:
            *events, last = await heard(ann, 501)
            assert [event["number"] for event in events] == list(range(500))
            assert last == {"type": "last"}
        assert [event.get("number") for event in await heard(bob, 251)] == [*range(1, 500, 2), None]


async def test_a_node_subscribes_only_while_a_link_listens(
    nodes: tuple[Gateway, Gateway], nats: NatsServer
) -> None:
    async with asyncio.timeout(60), publishing(nats.url) as publisher:
        assert await has_no_subscriber(publisher, USER + "ann")
        async with joined((nodes[0], "ann", WOODS)) as (ann,):
            assert await has_no_subscriber(publisher, USER + "bob")
            assert not await has_no_subscriber(publisher, USER + "ann")
            assert await heard(ann, 1) == [{"type": "asked"}]
        await until(partial(has_no_subscriber, publisher, USER + "ann"))


async def test_no_name_hears_what_is_for_others_or_breaks_the_connection(
    nodes: tuple[Gateway, Gateway], nats: NatsServer
) -> None:
    names = [
        "*",
        ">",
        "a.b",
        "a b",
        "%2E",
        "x\r\nSUB > 1\r\n",
        "\u00e9\u2028",
        "$SYS.>",
        "y" * 128,
        "\x00",
    ]
    who = [(nodes[number % 2], "ann", name) for number, name in enumerate(names)]
    async with asyncio.timeout(60), joined(*who) as clients, publishing(nats.url) as publisher:
        for name in ("nowhere", *names):
            event = {"type": "for", "name": name}
            await publisher.publish(EXPERIENCE + written(name), json.dumps(event).encode())
        await publisher.publish(USER + "ann", b'{"type": "last"}')
        for name, client in zip(names, clients, strict=True):
            assert await heard(client, 2) == [{"type": "for", "name": name}, {"type": "last"}]
    assert [node.program.output.count("a bridge hears its broker") for node in nodes] == [1, 1]


async def test_what_is_no_event_is_wrapped_and_counted(
    nodes: tuple[Gateway, Gateway], nats: NatsServer
) -> None:
    node, _ = nodes
    async with asyncio.timeout(60), joined((node, "ann", WOODS)) as (ann,), publishing(nats.url) as publisher:
        for payload in (b"hello", b"\xff", b'{"type": "gateway.resync"}', b'{"type": "ours"}'):
            await publisher.publish(USER + "ann", payload)
        *wrapped, ours = await heard(ann, 4)
        common = {"type": "bridge.message", "bridge": "nats", "source": USER + "ann"}
        said: list[dict[str, Any]] = [
            {"text": "hello"},
            {"base64": "/w=="},
            {"data": {"type": "gateway.resync"}},
        ]
        assert wrapped == [common | each for each in said]
        assert ours == {"type": "ours"}
        _, metrics = await node.get("/metrics")
    assert 'bridge_messages_total{bridge="nats",outcome="wrapped"} 3.0' in metrics
    assert 'bridge_messages_total{bridge="nats",outcome="passed"} 1.0' in metrics
    assert "no events of ours" in node.program.output


async def publish_forever(publisher: Publisher) -> None:
    for number in itertools.count():
        with suppress(Exception):  # of a client whose server is away
            await publisher.publish(USER + "ann", json.dumps({"type": "moved", "number": number}).encode())
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("outage", ["kill", "freeze"])
async def test_links_outlive_nats_and_are_told_of_each_gap(
    nodes: tuple[Gateway, Gateway], nats: NatsServer, outage: str
) -> None:
    who = [(nodes[0], "ann", WOODS), (nodes[1], "ann", WOODS)]
    async with asyncio.timeout(90), joined(*who) as clients, publishing(nats.url) as publisher:
        traffic = asyncio.create_task(publish_forever(publisher))
        before = [await heard(client, 100) for client in clients]
        await asyncio.to_thread(getattr(nats, outage))
        for node in nodes:
            await asyncio.to_thread(node.program.wait_for_output, "broker is away", within_seconds=20)
        await asyncio.to_thread(nats.ensure_running)
        for client, already in zip(clients, before, strict=True):
            events = list(already)
            while events[-1]["type"] != "gateway.resync":
                events += await heard(client, 1)
            events += await heard(client, 100)
            numbers = [event["number"] for event in events if event["type"] == "moved"]
            gap = [event["type"] for event in events].index("gateway.resync")
            assert numbers[:gap] == list(range(numbers[0], numbers[0] + gap))
            assert numbers[gap] > numbers[gap - 1]
            assert numbers[gap:] == list(range(numbers[gap], numbers[gap] + 100))
        await ended([traffic])


async def test_a_link_that_came_while_nats_was_away_is_told_and_then_hears(
    tmp_path: Path, nats: NatsServer
) -> None:
    nats.stop()
    node = Gateway("daphne", tmp_path, {"NATS_URL": nats.url})
    node.migrate()
    node.start()
    try:
        async with asyncio.timeout(60), joined((node, "ann", WOODS)) as (ann,):
            await asyncio.to_thread(node.program.wait_for_output, "broker is away")
            await asyncio.to_thread(nats.ensure_running)
            assert (await heard(ann, 1))[0]["type"] == "gateway.resync"
            async with publishing(nats.url) as publisher:
                await publisher.publish(USER + "ann", b'{"type": "hello"}')
                assert await heard(ann, 1) == [{"type": "hello"}]
    finally:
        await asyncio.to_thread(node.stop)
        node.close()
    assert "did not end in time" not in node.program.output

"""Events reach exactly the clients they are for, in order, whatever the client's own stream does."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import COMMANDS, Gateway, issue
from config.testing.publisher import Publisher
from config.testing.segments import segments_in
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway

pytestmark = pytest.mark.long


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


async def heard_until(client: ClientConnection, last: str) -> list[str]:
    """Types of the events that arrive up to and with `last`."""
    heard: list[str] = []
    while not heard or heard[-1] != last:
        heard.append(json.loads(await client.recv())["type"])
    return heard


async def test_each_topic_reaches_exactly_its_own_clients(gateway: Gateway, publisher: Publisher) -> None:
    async with gateway.serving(echo), asyncio.timeout(15), AsyncExitStack() as stack:

        async def join(user: str, experience: str) -> ClientConnection:
            url = gateway.url(token=issue(user), experience=experience)
            return await stack.enter_async_context(gateway.connect(url))

        ann_in_woods = await join("ann", "woods")
        ann_in_caves = await join("ann", "caves")
        bob = f"bob-{uuid.uuid4().hex}"  # the record may still have another test's as there
        bob_in_woods = await join(bob, "woods")
        (row,) = await gateway.wait_for_records(f"user_id = '{bob}' AND closed_at IS NULL")
        for topic in ("user:ann", "experience:woods", f"connection:{row['id']}", "user:bo", "everyone"):
            await publisher.publish(topic, {"type": topic})
        assert await heard_until(ann_in_woods, "everyone") == ["user:ann", "experience:woods", "everyone"]
        assert await heard_until(ann_in_caves, "everyone") == ["user:ann", "everyone"]
        own = f"connection:{row['id']}"
        assert await heard_until(bob_in_woods, "everyone") == ["experience:woods", own, "everyone"]


async def test_a_thousand_events_of_one_publisher_keep_their_order_among_the_clients_own_messages(
    gateway: Gateway, publisher: Publisher
) -> None:
    count = 1000
    url = gateway.url(token=issue("ordered"))
    async with gateway.serving(echo), asyncio.timeout(30), gateway.connect(url) as client:

        async def publish_all() -> None:
            for number in range(count):
                await publisher.publish("user:ordered", {"type": "event", "number": number})

        async def ask_all() -> None:
            for number in range(count):
                await client.send(json.dumps({"type": "own", "number": number, "padding": "x" * 2000}))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publish_all())
            tasks.create_task(ask_all())
            heard = [json.loads(await client.recv()) for _ in range(2 * count)]
    for kind in ("event", "own"):
        assert [message["number"] for message in heard if message["type"] == kind] == list(range(count))


PUBLISH_TOGETHER = """
from proxy.api import Publication, publish_many

publish_many([Publication("user:together", {"type": str(number)}) for number in range(100)])
"""


async def test_events_that_are_published_together_share_segments(running: Callable[[str], Gateway]) -> None:
    gateway = running("serve")  # stock Daphne writes each message by itself
    url = gateway.url(token=issue("together"))
    async with gateway.serving(echo), asyncio.timeout(30), gateway.connect(url) as client:
        raw = client.transport.get_extra_info("socket")
        before = segments_in(raw)
        await asyncio.to_thread(gateway.manage, "shell", "-v0", "-c", PUBLISH_TOGETHER)
        assert await heard_until(client, "99") == [str(number) for number in range(100)]
        assert segments_in(raw) - before <= 20


@pytest.mark.parametrize("kind", COMMANDS)
async def test_an_event_that_is_larger_than_the_outbox_closes_nobody_who_keeps_up(
    make_gateway: MakeGateway, own_valkey: ValkeyServer, kind: str
) -> None:
    gateway = make_gateway(kind, REDIS_URL=own_valkey.url, OUTBOX_BYTES="100000")
    publisher = Publisher(own_valkey.url)  # who publishes to the Redis itself has no bound
    async with gateway.serving(echo) as url, asyncio.timeout(25):
        await gateway.wait_until_ready(redis=True)
        async with gateway.connect(url) as client:
            await publisher.publish("user:42", {"type": "large", "padding": "x" * 500_000})
            await publisher.publish("user:42", {"type": "small"})
            assert await heard_until(client, "small") == ["large", "small"]
    await publisher.close()


async def test_an_event_waits_for_the_end_of_a_fragmented_message(
    gateway: Gateway, publisher: Publisher
) -> None:
    go_on = asyncio.Event()

    async def fragments(upstream: ServerConnection) -> None:
        async def parts() -> AsyncIterator[str]:
            yield "first half, "
            await go_on.wait()
            yield "second half"

        await upstream.send(parts())
        await upstream.wait_closed()

    url = gateway.url(token=issue("patient"))
    async with gateway.serving(fragments), asyncio.timeout(30), gateway.connect(url) as client:
        await publisher.publish("user:patient", {"type": "event"})
        asyncio.get_running_loop().call_later(0.3, go_on.set)
        heard = {await client.recv(), await client.recv()}
    assert heard == {"first half, second half", '{"type":"event"}'}


@pytest.mark.parametrize("event", ["{}", "[]", "nonsense", '{"type":"gateway.close"}'])
async def test_the_shell_refuses_what_is_no_event(gateway: Gateway, event: str) -> None:
    answer = await asyncio.to_thread(gateway.manage, "publish", "user:42", event, check=False)
    assert answer.returncode != 0
    assert answer.stderr.startswith("CommandError:")


async def test_the_shell_publishes_to_clients(gateway: Gateway) -> None:
    url = gateway.url(token=issue("shell"))
    async with gateway.serving(echo), asyncio.timeout(15), gateway.connect(url) as client:
        await asyncio.to_thread(gateway.manage, "publish", "user:shell", '{"type":"quest.updated"}')
        assert await client.recv() == '{"type":"quest.updated"}'


async def test_how_long_events_took_is_measured_from_their_publisher_to_the_sockets(gateway: Gateway) -> None:
    url = gateway.url(token=issue("timed"))
    async with gateway.serving(echo), asyncio.timeout(30), gateway.connect(url) as client:
        before = await _deliveries(gateway)
        await asyncio.to_thread(gateway.manage, "publish", "user:timed", '{"type":"quest.updated"}')
        await client.recv()
        while (after := await _deliveries(gateway))[0] == before[0]:  # timed when it was given to the socket
            await asyncio.sleep(0.05)
    assert after[0] == before[0] + 1
    assert 0 < after[1] - before[1] < 10


async def _deliveries(gateway: Gateway) -> tuple[float, float]:
    """How many there were, and the seconds that they took together."""
    _, told = await gateway.get("/metrics")
    count, seconds = (
        told.partition(f"\ngateway_websocket_event_delivery_seconds_{name} ")[2].partition("\n")[0]
        for name in ("count", "sum")
    )
    return float(count), float(seconds)

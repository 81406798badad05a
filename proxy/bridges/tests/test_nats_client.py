"""What others publish to a real NATS in bytes of their own, and a bridge that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from nats.js import JetStreamContext

from config.testing.servers import JetStreamServer
from proxy.bridges.bridge import Broker
from proxy.bridges.inbox import Inbox
from proxy.bridges.jetstream import JetStreamBroker
from proxy.bridges.nats import NatsBroker
from proxy.bridges.tests.test_inbox import Node, number
from proxy.bridges.tests.test_jetstream import BRIDGED

NO_HEADERS = (
    b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
    b"NATS/1.0 503 \xff\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
    b"NATS/1.0",
    b"\xff\xff\r\n\r\n",
)


def publish_odd_bytes(server: JetStreamServer) -> int:
    """The last number of those that are published, from 0 on."""
    server.publish_raw(b"a.\xff.all", number(0))
    server.publish_raw(b"a.user.ann", number(1), reply=b"\xff")
    for value, headers in enumerate(NO_HEADERS, 2):
        server.publish_raw(b"a.user.ann", number(value), headers=headers)
    return 1 + len(NO_HEADERS)


def plain(server: JetStreamServer) -> Broker:
    return NatsBroker("nats", servers=[server.url], bridged=BRIDGED)


def of_stream(server: JetStreamServer) -> Broker:
    return JetStreamBroker("jetstream", servers=[server.url], bridged=BRIDGED, stream="A")


@pytest.mark.parametrize("made", [plain, of_stream])
async def test_no_bytes_that_somebody_publishes_end_a_session(
    stream: JetStreamContext, jetstream: JetStreamServer, made: Callable[[JetStreamServer], Broker]
) -> None:
    node = Node()
    inbox = Inbox("nats", node.workplace)
    async with asyncio.timeout(20), made(jetstream).session(inbox) as session:
        await session.subscribe(["user:ann", "everyone"])
        work = [asyncio.create_task(each) for each in (inbox.deliver_forever(), session.last())]
        last = await asyncio.to_thread(publish_odd_bytes, jetstream)
        while len(node.did) <= last and not work[1].done():
            await asyncio.sleep(0.01)
        for task in work:
            task.cancel()
    assert node.did == list(range(last + 1))

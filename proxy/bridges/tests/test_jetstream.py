"""Reading a stream of a real JetStream, and reading on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from nats.js import JetStreamContext

from config.testing.servers import JetStreamServer
from proxy.bridges import jetstream as reading
from proxy.bridges.inbox import Inbox
from proxy.bridges.jetstream import JetStreamBroker
from proxy.bridges.tests.test_inbox import Node, number
from proxy.core.bridging.subjects import BridgedSubject

BRIDGED = [BridgedSubject.parse(text) for text in ("a.user.{id}=user:{id}", "a.*.all=everyone")]
Sent = Callable[[int], Awaitable[object]]


@pytest.fixture
def broker(jetstream: JetStreamServer) -> JetStreamBroker:
    return JetStreamBroker("jetstream", servers=[jetstream.url], bridged=BRIDGED, stream="A")


async def read(broker: JetStreamBroker, node: Node, *, until: int, publish: Awaitable[object]) -> bool:
    """What `broker` brings for ann in one session, up to the number `until`; whether some may be missing."""
    inbox = Inbox("jetstream", node.workplace, most_messages=reading.BATCH_MESSAGES)
    async with asyncio.timeout(20), broker.session(inbox) as session:
        await session.subscribe(["user:ann", "everyone"])
        work = [asyncio.create_task(each) for each in (inbox.deliver_forever(), session.last())]
        await publish
        while not node.did or node.did[-1] != until:
            await asyncio.sleep(0.01)
        for task in work:
            task.cancel()
        return session.may_have_missed


async def begin(broker: JetStreamBroker) -> None:
    inbox = Inbox("jetstream", Node().workplace, most_messages=reading.BATCH_MESSAGES)
    async with asyncio.timeout(20), broker.session(inbox):
        pass


async def sent(stream: JetStreamContext, *numbers: int, subject: str = "a.user.ann") -> None:
    for value in numbers:
        await stream.publish(subject, number(value))


async def test_a_session_reads_on_where_the_one_before_it_ended(
    stream: JetStreamContext, broker: JetStreamBroker
) -> None:
    node = Node()
    await sent(stream, -1)  # before there was a node
    await read(broker, node, until=2, publish=sent(stream, 0, 1, 2))
    await sent(stream, 3, 4)
    await sent(stream, 99, subject="a.user.bob")
    await sent(stream, 5, subject="a.b.all")
    missed = await read(broker, node, until=6, publish=sent(stream, 6))
    assert (node.did, missed) == ([0, 1, 2, 3, 4, 5, 6], False)


async def test_a_stream_that_is_not_there_is_named(broker: JetStreamBroker) -> None:
    with pytest.raises(ConnectionError, match="stream A: stream not found"):
        await begin(broker)


@pytest.mark.usefixtures("stream")
async def test_subjects_that_the_stream_does_not_keep_are_named(
    jetstream: JetStreamServer, broker: JetStreamBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The server would say nothing, and nothing would come of them."""
    await begin(broker)
    assert caplog.messages == []
    others = [*BRIDGED, BridgedSubject.parse("b.{id}=user:{id}")]
    await begin(JetStreamBroker("jetstream", servers=[jetstream.url], bridged=others, stream="A"))
    (warning,) = caplog.records
    assert vars(warning)["subjects"] == ["b.*"]


async def test_what_the_stream_no_longer_has_is_known_to_be_missing(
    stream: JetStreamContext, broker: JetStreamBroker
) -> None:
    node = Node()
    await read(broker, node, until=0, publish=sent(stream, 0))
    await sent(stream, 1, 2)
    await stream.purge_stream("A", seq=3)
    assert await read(broker, node, until=3, publish=sent(stream, 3))
    assert node.did == [0, 2, 3]


async def test_a_stream_that_is_made_anew_is_read_from_its_end(
    stream: JetStreamContext, broker: JetStreamBroker
) -> None:
    node = Node()
    await read(broker, node, until=0, publish=sent(stream, 0))
    await stream.delete_stream("A")
    await stream.add_stream(name="A", subjects=["a.>"])
    await sent(stream, 1, 2, 3)
    assert await read(broker, node, until=4, publish=sent(stream, 4))
    assert node.did == [0, 4]


async def test_after_a_long_absence_nothing_old_is_brought(
    stream: JetStreamContext, broker: JetStreamBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node()
    await read(broker, node, until=0, publish=sent(stream, 0))
    await sent(stream, 1)
    monkeypatch.setattr(reading, "MOST_CATCH_UP_SECONDS", 0.0)
    assert await read(broker, node, until=2, publish=sent(stream, 2))
    assert node.did == [0, 2]


async def test_more_than_an_inbox_holds_waits_in_the_stream(
    stream: JetStreamContext, broker: JetStreamBroker
) -> None:
    node = Node()
    await read(broker, node, until=0, publish=sent(stream, 0))
    most = 3 * reading.BATCH_MESSAGES + 7
    await asyncio.gather(*(sent(stream, value) for value in range(1, most)))
    missed = await read(broker, node, until=most, publish=sent(stream, most))
    assert (sorted(node.did), missed) == (list(range(most + 1)), False)


async def test_a_consumer_that_is_gone_ends_the_session(
    stream: JetStreamContext, broker: JetStreamBroker
) -> None:
    node = Node()
    inbox = Inbox("jetstream", node.workplace)
    async with asyncio.timeout(20), broker.session(inbox) as session:
        await session.subscribe(["user:ann"])
        last = asyncio.create_task(session.last())
        delivering = asyncio.create_task(inbox.deliver_forever())
        await sent(stream, 0)
        while not node.did:
            await asyncio.sleep(0.01)
        [consumer] = await stream.consumers_info("A")
        await stream.delete_consumer("A", consumer.name)
        with pytest.raises(ExceptionGroup, match="TaskGroup") as ended:
            await last
        delivering.cancel()
    assert "Consumer Deleted" in repr(ended.value.exceptions[0])
    assert await read(broker, node, until=1, publish=sent(stream, 1)) is False

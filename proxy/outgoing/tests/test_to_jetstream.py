"""What JetStream itself says, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest

from config.testing.ending import ended
from config.testing.servers import JetStreamServer, NatsServer
from proxy.bridges.jetstream import JetStreamBroker
from proxy.core.findings import Amiss
from proxy.core.outgoing import Row
from proxy.outgoing.destination import Sent
from proxy.outgoing.sender import FIRST_WAIT_SECONDS, MOST_HELD
from proxy.outgoing.sending import send_outgoing
from proxy.outgoing.tests.brokers import Nats
from proxy.outgoing.tests.events import DEADLINE_SECONDS, first_seen, none_waits, sending, write, written
from proxy.outgoing.to_jetstream import ToJetStream
from proxy.tables import outgoing_events
from proxy.tables.executor import DatabaseExecutor

P = ParamSpec("P")
T = TypeVar("T")
ROW = Row(1, "chat.message.k", "k", "{}", "1-1")
on_sqlite = pytest.mark.parametrize("stored_in", ["sqlite"], indirect=True)


async def refused(url: str, *subjects: str) -> str:
    """Why there is no session."""
    with pytest.raises(ConnectionError) as failed:
        async with ToJetStream("events", servers=[url], stream="CHAT", subjects=subjects).session():
            pass
    return str(failed.value)


async def test_the_doctor_sees_what_the_stream_keeps_and_makes_none(jetstream: JetStreamServer) -> None:
    jetstream.ensure_running()
    destination = ToJetStream("events", servers=[jetstream.url], stream="CHAT", subjects=["chat.>"])
    for _ in range(2):
        assert "the stream CHAT is made with the first event" in await destination.look()
    async with destination.session():
        pass
    assert "NATS 2." in await destination.look()
    assert "stream CHAT has 0 messages" in await destination.look()
    other = ToJetStream("events", servers=[jetstream.url], stream="CHAT", subjects=["chat.>", "shop.>"])
    with pytest.raises(Amiss, match="does not keep shop"):
        await other.look()
    missing = JetStreamBroker("nats", servers=[jetstream.url], bridged=[], stream="WORLD")
    with pytest.raises(Amiss, match="there is no stream WORLD"):
        await missing.look()


async def told(caplog: pytest.LogCaptureFixture, why: str) -> None:
    """Wait until it is logged that events wait, for that reason."""
    while not any(why in getattr(record, "why", "") for record in caplog.records):
        await asyncio.sleep(0.02)


async def test_a_nats_without_jetstream_is_told_as_that(nats: NatsServer) -> None:
    assert await refused(nats.url, "chat.>") == "this NATS has no JetStream"


async def test_a_stream_that_lacks_a_subject_or_would_take_anothers_is_told_as_that(
    jetstream: JetStreamServer,
) -> None:
    async with Nats(jetstream).context() as context:
        await context.add_stream(name="CHAT", subjects=["chat.message.>"])
        await context.add_stream(name="OTHER", subjects=["shop.>"])
        assert await refused(jetstream.url, "chat.>") == "stream CHAT does not keep chat.>"
        await context.delete_stream("CHAT")
        assert await refused(jetstream.url, "shop.order.>") == (
            "stream CHAT: subjects overlap with an existing stream"
        )


async def test_where_it_cannot_be_reached_is_said_without_the_password() -> None:
    why = await refused("nats://user:hidden@127.0.0.1:1", "chat.>")
    assert "127.0.0.1:1" in why
    assert "hidden" not in why


async def test_what_is_sent_twice_is_there_once(jetstream: JetStreamServer) -> None:
    broker = Nats(jetstream)
    async with broker.destination().session() as session:
        assert [await session.send(ROW) for _ in range(2)] == [Sent.SENT, Sent.DOUBLED]
    assert await broker.count() == 1


@on_sqlite
async def test_a_stream_that_is_deleted_meanwhile_is_made_again(
    jetstream: JetStreamServer, database: DatabaseExecutor
) -> None:
    broker = Nats(jetstream)
    async with sending(broker.destination()), asyncio.timeout(DEADLINE_SECONDS):
        await database.run(write, range(7))
        await none_waits(database)
        async with broker.context() as context:
            await context.delete_stream("CHAT")
        await database.run(write, range(7, 14))
        await none_waits(database)
    assert first_seen(await broker.got()) == {f"k{key}": [7 + key] for key in range(7)}


@on_sqlite
async def test_a_stream_that_is_full_holds_events_up_until_there_is_room(
    jetstream: JetStreamServer, database: DatabaseExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    from nats.js.api import DiscardPolicy

    broker = Nats(jetstream)
    async with broker.context() as context:
        await context.add_stream(name="CHAT", subjects=["chat.>"], max_msgs=10, discard=DiscardPolicy.NEW)
        async with sending(broker.destination()), asyncio.timeout(DEADLINE_SECONDS):
            await database.run(write, range(30))
            while "a broker does not take some events for other services now" not in caplog.text:
                await asyncio.sleep(0.02)
            assert await broker.count() == 10
            await context.update_stream(name="CHAT", subjects=["chat.>"], max_msgs=1000)
            await none_waits(database)
    assert first_seen(await broker.got()) == written(30)


@on_sqlite
async def test_a_full_stream_is_asked_ever_less_often_however_many_keys_wait(
    jetstream: JetStreamServer, database: DatabaseExecutor
) -> None:
    """More than can be held one by one."""
    from nats.js.api import DiscardPolicy

    broker, loads = Nats(jetstream), list[float]()
    await database.run(write, range(3 * MOST_HELD), keys=3 * MOST_HELD, at_once=500)

    async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if work is outgoing_events.load:
            loads.append(asyncio.get_running_loop().time())
        return await database.run(work, *args, **kwargs)

    async with broker.context() as context, asyncio.timeout(DEADLINE_SECONDS):
        await context.add_stream(name="CHAT", subjects=["chat.>"], max_msgs=1, discard=DiscardPolicy.NEW)
        sending = asyncio.create_task(send_outgoing(broker.destination(), run))
        while len(loads) < 6:
            await asyncio.sleep(0.02)
        await ended([sending])
    assert loads[5] - loads[1] > FIRST_WAIT_SECONDS * (1 + 2 + 4)


@on_sqlite
async def test_whoever_waits_for_a_server_hears_what_is_wrong_once_it_is_back(
    jetstream: JetStreamServer, database: DatabaseExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Nats(jetstream)
    async with broker.context() as context:
        await context.add_stream(name="CHAT", subjects=["chat.message.>"])
    await asyncio.to_thread(jetstream.kill)
    await database.run(write, range(1))
    async with sending(broker.destination()), asyncio.timeout(DEADLINE_SECONDS / 2):
        await told(caplog, "Connect call failed")
        await asyncio.to_thread(jetstream.start)
        await told(caplog, "stream CHAT does not keep chat.>")


@on_sqlite
async def test_a_server_that_freezes_is_given_up_and_has_all_once_it_is_back(
    jetstream: JetStreamServer, database: DatabaseExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Nats(jetstream)
    async with sending(broker.destination()), asyncio.timeout(DEADLINE_SECONDS):
        await database.run(write, range(50))
        await none_waits(database)
        jetstream.freeze()
        await database.run(write, range(50, 100))
        while "events for other services wait" not in caplog.text:
            await asyncio.sleep(0.02)
        jetstream.ensure_running()
        await none_waits(database)
    assert first_seen(await broker.got()) == written(100)

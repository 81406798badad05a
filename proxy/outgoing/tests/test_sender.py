"""What was written comes to a real broker: at least once, in order a key, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest
from django.db import Error, connection, transaction
from django.test.utils import CaptureQueriesContext

from config.testing.servers import JetStreamServer, PostgresServer
from proxy import metrics
from proxy.core.outgoing import Outgoing
from proxy.models import OutgoingEvent
from proxy.outgoing.sender import AT_ONCE
from proxy.outgoing.tests.brokers import BrokerUnderTest, Nats
from proxy.outgoing.tests.events import (
    DEADLINE_SECONDS,
    event,
    first_seen,
    none_waits,
    sending,
    until_it_has,
    write,
    written,
)
from proxy.outgoing.writing import send_many_on_commit
from proxy.tables.executor import DatabaseExecutor
from proxy.tests.counting import counted

pytestmark = pytest.mark.timeout(240)  # RabbitMQ takes its time to start
INSERT = """
INSERT INTO proxy_outgoingevent (subject, key, body, size_bytes) VALUES ('chat.message.late', %s, %s, 10)
"""


def rolled_back() -> None:
    with transaction.atomic():
        write(range(1000, 1010))
        transaction.set_rollback(True)


async def test_what_was_committed_comes_once_in_order_a_key_and_nothing_else_does(
    broker: BrokerUnderTest, database: DatabaseExecutor
) -> None:
    before = counted(metrics.OUTGOING_EVENTS_TOTAL, "events", "sent")
    await database.run(write, range(100))
    async with sending(broker.destination()):
        await database.run(rolled_back)
        await database.run(write, range(100, 700))
        await none_waits(database)
    got = await broker.got()
    assert len(got) == 700
    assert first_seen(got) == written(700)
    assert counted(metrics.OUTGOING_EVENTS_TOTAL, "events", "sent") - before == 700


async def test_a_broker_that_is_killed_and_comes_back_misses_nothing(
    broker: BrokerUnderTest, database: DatabaseExecutor
) -> None:
    async with sending(broker.destination()), asyncio.timeout(DEADLINE_SECONDS):
        await database.run(write, range(3000))
        await until_it_has(broker, 200)
        broker.server.kill()
        await database.run(write, range(3000, 3100))
        assert await database.run(OutgoingEvent.objects.count) > 100
        await asyncio.to_thread(broker.server.start)
        await none_waits(database)
    assert first_seen(await broker.got()) == written(3100)


@pytest.mark.parametrize("stored_in", ["postgresql"], indirect=True)
async def test_rows_of_a_transaction_that_commits_late_are_neither_skipped_nor_reordered(
    stored_in: str, database: DatabaseExecutor, jetstream: JetStreamServer
) -> None:
    """Its ids are lower than those of others that were sent long ago."""
    broker = Nats(jetstream)
    async with sending(broker.destination()), asyncio.timeout(DEADLINE_SECONDS):
        async with await psycopg.AsyncConnection.connect(stored_in) as late, late.transaction():
            await late.execute(INSERT, ["late", json.dumps({"key": "late", "number": 0})])
            for number in range(5):
                await database.run(write_one, "a", number)
            await none_waits(database)
            assert first_seen(await broker.got()) == {"a": list(range(5))}
            await late.execute(INSERT, ["late", json.dumps({"key": "late", "number": 1})])
        await database.run(write_one, "a", 5)
        await database.run(write_one, "late", 2)
        await none_waits(database)
    assert first_seen(await broker.got()) == {"a": list(range(6)), "late": [0, 1, 2]}


def write_one(key: str, number: int) -> None:
    send_many_on_commit([event(number, key)])


@pytest.mark.parametrize("stored_in", ["postgresql"], indirect=True)
async def test_a_thousand_events_are_one_insert(database: DatabaseExecutor) -> None:
    assert await database.run(statements_of, 1000) == ["INSERT"]


def statements_of(count: int) -> list[str]:
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        send_many_on_commit([event(number, "k") for number in range(count)])
    return [query["sql"].split()[0] for query in captured.captured_queries]


async def test_what_the_broker_never_takes_is_set_aside_and_told_and_others_go_on(
    broker: BrokerUnderTest, database: DatabaseExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """A body too large for the stream; a routing key that is none of RabbitMQ's."""
    before = counted(metrics.OUTGOING_EVENTS_TOTAL, "events", "refused")
    refused = Outgoing(f"chat.{'x' * 300}", {"text": "x" * 2000}, "k1")
    if isinstance(broker, Nats):
        async with broker.context() as context:
            await context.add_stream(name="CHAT", subjects=["chat.>"], max_msg_size=1000)
    await database.run(write, range(50))
    await database.run(send_many_on_commit, [refused])
    await database.run(write, range(50, 100))
    async with sending(broker.destination()):
        await none_waits(database)
        assert first_seen(await broker.got()) == written(100)
        (row,) = await database.run(lambda: list(OutgoingEvent.objects.values("key", "refused")))
        assert row["key"] == "k1"
        assert row["refused"] in (
            "a routing key has at most 255 bytes",
            "message size exceeds maximum allowed",
        )
        assert caplog.text.count("a broker refuses an event for other services, which is set aside") == 1
    assert counted(metrics.OUTGOING_EVENTS_TOTAL, "events", "refused") - before == 1


async def test_of_two_that_send_one_has_the_turn_and_the_other_goes_on_when_it_ends(
    broker: BrokerUnderTest, database: DatabaseExecutor
) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with sending(broker.destination()):
            async with sending(broker.destination()):
                await database.run(write, range(2000))
                await until_it_has(broker, 300)
            await database.run(write, range(2000, 2100))
            await none_waits(database)
    got = await broker.got()
    assert first_seen(got) == written(2100)
    assert len(got) <= 2100 + AT_ONCE  # what was under way when the one was cancelled


async def test_what_waits_too_long_is_given_up_counted_and_logged(
    database: DatabaseExecutor, jetstream: JetStreamServer, caplog: pytest.LogCaptureFixture
) -> None:
    jetstream.kill()
    before = counted(metrics.OUTGOING_EVENTS_TOTAL, "events", "expired")
    await database.run(write, range(10))
    async with sending(Nats(jetstream).destination(), wait_seconds=0.001):
        await none_waits(database)
        async with asyncio.timeout(10):
            while "waited too long, and are lost" not in caplog.text:
                await asyncio.sleep(0.01)
    assert counted(metrics.OUTGOING_EVENTS_TOTAL, "events", "expired") - before == 10


@pytest.mark.parametrize("stored_in", ["postgresql"], indirect=True)
async def test_a_database_that_is_killed_and_comes_back_has_all_sent(
    database: DatabaseExecutor, jetstream: JetStreamServer, postgres: PostgresServer
) -> None:
    broker = Nats(jetstream)
    async with sending(broker.destination()), asyncio.timeout(DEADLINE_SECONDS):
        await database.run(write, range(2000))
        await until_it_has(broker, 100)
        postgres.kill()
        await asyncio.to_thread(postgres.start)
        while True:
            try:
                await none_waits(database)
                break
            except Error:
                await asyncio.sleep(0.1)
    assert first_seen(await broker.got()) == written(2000)

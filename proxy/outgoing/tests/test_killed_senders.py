"""Processes that send are killed and frozen: events may come twice, and none is lost or overtaken."""

from __future__ import annotations

import asyncio
import signal
import sys

import psycopg
import pytest

from config.testing.plugin import Spawn
from config.testing.program import Program
from config.testing.rabbitmq import needs_rabbitmq
from proxy.models import OutgoingEvent
from proxy.outgoing.sender import AT_ONCE
from proxy.outgoing.tests.brokers import BrokerUnderTest, Nats, Rabbit
from proxy.outgoing.tests.events import DEADLINE_SECONDS, first_seen, none_waits, until_it_has, write, written
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.timeout(240)  # RabbitMQ takes its time to start
MODULE = "proxy.outgoing.tests.sending_process"


def process(spawn: Spawn, broker: BrokerUnderTest, database_url: str) -> Program:
    kind, name = ("nats", "CHAT") if isinstance(broker, Nats) else ("rabbitmq", getattr(broker, "name", ""))
    env = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "a key of a process that sends, in tests only",
        "DATABASE_URL": database_url,
    }
    return spawn([sys.executable, "-m", MODULE, kind, broker.url, name], name="sender", env=env)


async def test_a_sender_that_is_killed_in_mid_stream_loses_nothing(
    broker: BrokerUnderTest, database: DatabaseExecutor, stored_in: str, spawn: Spawn
) -> None:
    await database.run(write, range(3000))
    async with asyncio.timeout(DEADLINE_SECONDS):
        killed = process(spawn, broker, stored_in)
        await until_it_has(broker, 300)
        killed.kill()
        process(spawn, broker, stored_in)
        await none_waits(database)
    got = await broker.got()
    assert first_seen(got) == written(3000)
    assert len(got) == 3000 or broker.lets_doubles_in


@needs_rabbitmq
@pytest.mark.parametrize("stored_in", ["postgresql"], indirect=True)
async def test_what_a_killed_sender_had_sent_and_not_deleted_is_sent_again_from_the_first_one_on(
    rabbit: Rabbit, database: DatabaseExecutor, stored_in: str, spawn: Spawn
) -> None:
    """A lock on the table keeps it from deleting, as a database that has just become slow."""
    await database.run(write, range(100))
    async with asyncio.timeout(DEADLINE_SECONDS), await psycopg.AsyncConnection.connect(stored_in) as other:
        await other.execute("LOCK TABLE proxy_outgoingevent IN SHARE MODE")
        killed = process(spawn, rabbit, stored_in)
        await until_it_has(rabbit, 100)
        killed.kill()
        await other.rollback()
        assert await database.run(OutgoingEvent.objects.count) == 100
        process(spawn, rabbit, stored_in)
        await none_waits(database)
    got = await rabbit.got()
    assert first_seen(got) == written(100)
    assert len(got) == len({each.message_id for each in got}) * (len(got) // 100) >= 200


@needs_rabbitmq
@pytest.mark.parametrize("stored_in", ["sqlite"], indirect=True)
async def test_a_sender_that_was_frozen_sends_nothing_more_once_it_is_anothers_turn(
    rabbit: Rabbit, database: DatabaseExecutor, stored_in: str, spawn: Spawn
) -> None:
    await database.run(write, range(3000))
    async with asyncio.timeout(DEADLINE_SECONDS):
        frozen = process(spawn, rabbit, stored_in)
        await until_it_has(rabbit, 200)
        frozen.send_signal(signal.SIGSTOP)
        other = process(spawn, rabbit, stored_in)
        await none_waits(database)
        frozen.send_signal(signal.SIGCONT)
        await database.run(write, range(3000, 3100))
        await none_waits(database)
        assert frozen.running
        assert other.running
    got = await rabbit.got()
    assert first_seen(got) == written(3100)
    assert len(got) <= 3100 + 2 * AT_ONCE + 500  # what was under way, and what was sent and not deleted

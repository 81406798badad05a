"""Numbered events of some keys, and what has to be true of those that arrived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from django.db import transaction

from config.testing.ending import ended
from proxy.core.outgoing import Outgoing
from proxy.models import OutgoingEvent
from proxy.outgoing.destination import Destination
from proxy.outgoing.sending import send_outgoing
from proxy.outgoing.tests.brokers import BrokerUnderTest, Got
from proxy.outgoing.writing import send_many_on_commit
from proxy.tables.executor import DatabaseExecutor

DEADLINE_SECONDS = 120  # RabbitMQ alone may take 40 to start again


def event(number: int, key: str) -> Outgoing:
    return Outgoing(f"chat.message.{key}", {"key": key, "number": number}, key)


def write(numbers: Iterable[int], *, keys: int = 7, at_once: int = 50) -> None:
    """Numbers that rise in each key, so many to a transaction, each of which is one statement."""
    waiting = list(numbers)
    for first in range(0, len(waiting), at_once):
        with transaction.atomic():
            some = waiting[first : first + at_once]
            send_many_on_commit([event(number, f"k{number % keys}") for number in some])


def first_seen(got: Iterable[Got]) -> dict[str, list[int]]:
    """What each key has said, in the order in which it came first: who knows message ids hears that."""
    seen = set[str]()
    numbers: dict[str, list[int]] = {}
    for each in got:
        if each.message_id not in seen:
            seen.add(each.message_id)
            numbers.setdefault(each.body["key"], []).append(each.body["number"])
    return numbers


def written(count: int, *, keys: int = 7) -> dict[str, list[int]]:
    """What `write(range(count))` has to come to."""
    return {f"k{key}": list(range(key, count, keys)) for key in range(keys)}


@asynccontextmanager
async def sending(destination: Destination, *, wait_seconds: float = 3600) -> AsyncIterator[None]:
    """As a process of its own would: with its own thread for the database."""
    database = DatabaseExecutor()
    work = asyncio.create_task(send_outgoing(destination, database.run, wait_seconds=wait_seconds))
    try:
        yield
    finally:
        await ended([work])
        await database.close()


async def until_it_has(broker: BrokerUnderTest, count: int) -> None:
    while await broker.count() < count:
        await asyncio.sleep(0.01)


async def none_waits(database: DatabaseExecutor, *, but: int = 0) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await database.run(OutgoingEvent.objects.filter(refused="").count) > but:
            await asyncio.sleep(0.02)

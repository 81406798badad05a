"""Announcing changes: in order, bounded, and never in the player's way."""

from __future__ import annotations

import asyncio
from typing import Any

from experience.kb.announcer import Announcer, Change

CHANGE = Change("wylding-woods", "42", 1)


async def test_events_are_published_in_order_and_the_last_before_the_end() -> None:
    published: list[tuple[str, dict[str, Any]]] = []

    async def publish(topic: str, event: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        published.append((topic, event))

    announcer = Announcer(publish)
    for number in range(5):
        announcer.announce("user:42", {"number": number}, CHANGE)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(announcer.run())
        await announcer.finish()

    assert published == [("user:42", {"number": number}) for number in range(5)]


async def test_a_failed_or_stuck_publish_costs_only_its_own_event() -> None:
    published: list[int] = []

    async def publish(_: str, event: dict[str, Any]) -> None:
        if event["number"] == 0:
            raise ConnectionError
        if event["number"] == 1:
            await asyncio.Event().wait()
        published.append(event["number"])

    announcer = Announcer(publish, deadline_seconds=0.01)
    for number in range(3):
        announcer.announce("user:42", {"number": number}, CHANGE)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(announcer.run())
        await announcer.finish()

    assert (published, announcer.dropped) == ([2], 2)
    assert (announcer.take_announced(), announcer.take_announced()) == ([CHANGE], [])


async def test_a_full_queue_drops_what_is_new_and_counts_it() -> None:
    async def publish(_: str, __: dict[str, Any]) -> None: ...

    announcer = Announcer(publish, most_waiting=2)
    for number in range(5):
        announcer.announce("user:42", {"number": number}, CHANGE)

    assert announcer.dropped == 3

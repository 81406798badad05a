from __future__ import annotations

import asyncio

import pytest

from proxy.tables import turns
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.usefixtures("any_database")


def test_a_turn_is_one_holders_until_it_is_given_up() -> None:
    assert turns.take("t", "a", 60)
    assert turns.take("t", "a", 60)
    assert not turns.take("t", "b", 60)
    assert turns.take("another", "b", 60)
    turns.give_up("t", "b")  # which has none
    assert not turns.take("t", "b", 60)
    turns.give_up("t", "a")
    assert turns.take("t", "b", 60)
    assert not turns.take("t", "a", 60)


async def test_a_turn_that_nobody_keeps_passes_on_when_it_is_over_and_not_before(
    executor: DatabaseExecutor,
) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    assert await executor.run(turns.take, "t", "killed", 1.0)
    async with asyncio.timeout(10):
        while not await executor.run(turns.take, "t", "next", 1.0):
            await asyncio.sleep(0.01)
    assert clock() - began >= 1.0


async def test_of_many_who_take_it_in_one_moment_one_has_it() -> None:
    executors = [DatabaseExecutor() for _ in range(8)]
    took = await asyncio.gather(
        *(each.run(turns.take, "t", f"{number}", 60) for number, each in enumerate(executors)),
        return_exceptions=True,
    )
    await asyncio.gather(*(each.close() for each in executors))
    assert took.count(True) == 1, took


async def test_what_is_due_is_due_for_one_and_again_behind_its_time(executor: DatabaseExecutor) -> None:
    executors = [DatabaseExecutor() for _ in range(8)]
    asked = [each.run(turns.is_due, "t", 60) for each in executors]
    due = await asyncio.gather(*asked, return_exceptions=True)  # SQLite may be locked for one
    await asyncio.gather(*(each.close() for each in executors))
    assert due.count(True) == 1, due
    assert await executor.run(turns.is_due, "another", 0.05)
    async with asyncio.timeout(10):
        while not await executor.run(turns.is_due, "another", 60):
            await asyncio.sleep(0.01)
    assert not await executor.run(turns.is_due, "another", 60)

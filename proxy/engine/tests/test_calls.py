"""Calls of a library that swallows a cancellation, as redis-py does now and then, or makes one up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proxy.engine.calls import CancelledItself, call_within, in_own_thread, without_waiting


async def swallowing(begun: asyncio.Event, then: Exception | None = None) -> str:
    begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if then is not None:
            raise then from None
    return "as if nothing had happened"


@pytest.mark.parametrize("then", [None, OSError("gone")])
async def test_a_cancellation_that_was_swallowed_is_raised_after_all(then: Exception | None) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(call_within(10, swallowing(begun, then)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_answer_comes_back_and_a_late_one_is_a_timeout() -> None:
    async def answer() -> str:
        return "answer"

    assert await call_within(10, answer()) == "answer"
    with pytest.raises(TimeoutError):
        await call_within(0.01, asyncio.Event().wait())
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_what_was_cancelled_before_is_no_cancellation_of_the_call() -> None:
    """A task group that fails leaves its body's task so."""

    async def cleaning_up() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await call_within(10, asyncio.sleep(0, "cleaned up"))
        return "not cancelled"

    task = asyncio.create_task(cleaning_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned up"


async def test_a_failed_task_group_of_the_calls_is_a_failure_and_no_cancellation() -> None:
    async def fail() -> None:
        raise ConnectionError

    async def in_a_group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await call_within(10, in_a_group())


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_of_the_call() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(CancelledItself):
        await call_within(10, cancelled())


async def test_what_blocks_answers_from_a_daemon_and_holds_up_neither_the_loop_nor_its_end() -> None:
    release, daemons = threading.Event(), list[bool]()

    def block() -> str:
        daemons.append(threading.current_thread().daemon)
        release.wait(30)
        return "answer"

    given_up, awaited = (in_own_thread(block, name="blocking") for _ in range(2))
    given_up.cancel()
    release.set()
    async with asyncio.timeout(30):
        assert await awaited == "answer"
    assert daemons == [True, True]


def test_a_coroutine_that_waits_for_nothing_answers_code_that_is_not_async() -> None:
    async def part() -> int:
        return 1

    async def answers() -> int:
        return await part() + await part()

    async def fails() -> None:
        raise LookupError

    assert without_waiting(answers()) == 2
    with pytest.raises(LookupError):
        without_waiting(fails())
    with pytest.raises(RuntimeError, match="it waits"):
        without_waiting(asyncio.sleep(0))

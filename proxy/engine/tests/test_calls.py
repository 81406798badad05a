"""Calls of a library that swallows a cancellation, as redis-py does now and then, or makes one up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proxy.engine.calls import CancelledItself, call_within, in_own_thread


async def swallowing(then: Exception | None = None) -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if then is not None:
            raise then from None
    return "as if nothing had happened"


@pytest.mark.parametrize("then", [None, OSError("gone")])
async def test_a_cancellation_that_was_swallowed_is_raised_after_all(then: Exception | None) -> None:
    task = asyncio.create_task(call_within(10, swallowing(then)))
    await asyncio.sleep(0)
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

"""Calls of a library that swallows a cancellation, as redis-py does now and then."""

from __future__ import annotations

import asyncio

import pytest

from proxy.engine.calls import call_within


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

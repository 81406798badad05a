"""What becomes of things that wait when the one who works on them fails."""

from __future__ import annotations

import asyncio

import pytest

from experience.chat.batching import Batches
from proxy.api import Background


async def test_what_waits_is_worked_on_although_the_one_before_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[int] = []

    async def work(some: list[int]) -> None:
        if 1 in some:
            raise RuntimeError("nobody expects this")
        done.extend(some)

    batches, background = Batches(work, most_at_once=2), Background()
    for number in range(4):
        batches.put(number)
    background.start("batches", batches.run)
    try:
        async with asyncio.timeout(10):
            await batches.until_idle()
    finally:
        await background.stop()

    assert done == [2, 3]
    assert "background work crashed" in caplog.text

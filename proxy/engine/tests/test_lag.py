"""The measure of how late the event loop is."""

from __future__ import annotations

import asyncio
import time

from proxy.engine.lag import LoopLag


async def test_a_blocked_loop_is_seen_and_forgotten_again() -> None:
    lag = LoopLag(interval_seconds=0.01, kept=3)
    assert lag.seconds == 0
    measuring = asyncio.create_task(lag.run())
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251  this is the lateness
        while lag.seconds < 0.1:
            await asyncio.sleep(0)
        while lag.seconds >= 0.1:
            await asyncio.sleep(0.001)
    measuring.cancel()
    await asyncio.wait([measuring], timeout=5)
    assert measuring.cancelled()

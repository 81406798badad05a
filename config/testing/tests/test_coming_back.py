"""Clients of tests come back when they are asked to."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.server import ServerConnection, serve

from config.testing import coming_back
from config.testing.coming_back import come_back_forever, linked


@dataclass
class Story:
    refused: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)


async def test_a_client_comes_back_after_the_pause_that_a_close_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coming_back, "COME_BACK_SECONDS", (0.0, 0.0))
    came: list[float] = []
    has_come = asyncio.Event()
    now = asyncio.get_running_loop().time

    async def send_away(socket: ServerConnection) -> None:
        came.append(now())
        if len(came) == 2:
            has_come.set()
        await socket.close(4013, "overloaded; retry in 300 ms")

    story = Story()
    async with serve(send_away, "127.0.0.1", 0) as server, asyncio.timeout(20):
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        async def play_one_link() -> None:
            async with linked(url, headers={}) as socket:
                await socket.recv()

        coming = asyncio.create_task(come_back_forever(play_one_link, lambda: story))
        await has_come.wait()
        coming.cancel()
        await asyncio.wait([coming])
    assert came[1] - came[0] >= 0.3
    assert story.ended["4013"] >= 1
    assert not story.refused

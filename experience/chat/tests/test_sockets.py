"""What a service says to a socket by itself, and what may wait for one."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import connect

from experience.chat.sockets import MOST_WAITING_BYTES, PING_SECONDS, ChatSocket
from experience.chat.tests.serving import DEADLINE_SECONDS, ChatProgram


async def test_sockets_are_pinged_in_turn(shared_service: ChatProgram) -> None:
    async with AsyncExitStack() as open_sockets:
        waiting = []
        for _ in range(PING_SECONDS):
            url = shared_service.url("alice")
            socket = await open_sockets.enter_async_context(connect(url, proxy=None))
            waiting.append(asyncio.create_task(socket.recv()))
        async with asyncio.timeout(DEADLINE_SECONDS):
            for heard in itertools.islice(asyncio.as_completed(waiting), 2):
                assert json.loads(await heard) == {"type": "ping"}
        assert sum(each.done() for each in waiting) < PING_SECONDS


@pytest.mark.parametrize(("character", "size"), [("a", 1), ("й", 2), ("中", 2), ("🂡", 4)])
async def test_what_waits_is_bounded_by_the_memory_that_it_takes(character: str, size: int) -> None:
    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    socket = ChatSocket(send, user_id="bob", only=None)
    tenth = character * (MOST_WAITING_BYTES // size // 10 - 100)
    for _ in range(10):
        socket.tell(tenth)
    writing = asyncio.create_task(socket.write())
    while len(sent) < 10:
        await asyncio.sleep(0)
    assert [event.get("text") for event in sent] == [tenth] * 10

    for _ in range(11):
        socket.tell(tenth)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await writing
    assert sent[10:] == [{"type": "websocket.close", "code": 1008, "reason": "slow consumer"}]

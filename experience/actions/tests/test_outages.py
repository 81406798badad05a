"""The KB killed, stopped and replaced under the traffic of players, who count what they send and hear."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from config.testing.gateway import Gateway
from config.testing.servers import NatsServer
from experience.actions.tests.conftest import StartGateway
from experience.actions.tests.test_route import COLLECT, V2, restart
from experience.kb.tests.serving import KbProgram, issue, running_kb
from experience.kb.world import WYLDING_WOODS

pytestmark = pytest.mark.timeout(120)
PLAYERS = 20


class Player:
    """Talks all the time, one numbered message after the other, and collects a bottle when told to."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._bottles = asyncio.Queue[str]()
        self.answered, self.versions, self.collected = 0, list[int](), 0

    def collect(self, item_id: str) -> None:
        self._bottles.put_nowait(item_id)

    async def play(self) -> None:
        """Until cancelled. Raises AssertionError: an answer is missing, out of its turn, or an error."""
        while True:
            move: dict[str, Any] = {"type": "talk", "npc_id": "wren"}
            if not self._bottles.empty():
                item = WYLDING_WOODS.items[self._bottles.get_nowait()]
                move = {**COLLECT, "item_id": item.id, "spot_id": item.spot_id}
            await self._socket.send(json.dumps({**move, "request_id": str(self.answered)}))
            answer = await self._answer()
            assert answer.get("request_id") == str(self.answered), answer
            if move["type"] == "action":
                assert answer["success"], answer
                self.collected += 1
            else:
                assert answer["type"] == "npc_response", answer
            self.answered += 1

    async def _answer(self) -> dict[str, Any]:
        while (message := json.loads(await self._socket.recv()))["type"] == "state.changed":
            self.versions.append(message["version"])
        return dict(message)


@pytest.fixture
def own_kb(kb_environment: dict[str, str], tmp_path: Path, nats: NatsServer) -> Iterator[KbProgram]:
    with running_kb(tmp_path, {**kb_environment, "NATS_URL": nats.url}) as kb:
        yield kb


async def joined(stack: AsyncExitStack, gateway: Gateway, user_id: str) -> Player:
    socket = await stack.enter_async_context(connect(gateway.url(V2, token=issue(user_id)), proxy=None))
    assert json.loads(await socket.recv())["type"] == "connected"
    return Player(socket)


def end(kb: KbProgram, how: str) -> None:
    """Without a word, in good order, or after it has hung."""
    if how == "stopped":
        kb.stop(number=signal.SIGTERM)
    elif how == "hung":
        kb.send_signal(signal.SIGSTOP)
    else:
        kb.kill()


async def test_players_lose_no_answer_no_move_no_change_and_no_socket_while_the_service_is_replaced(
    gateway_before: StartGateway, own_kb: KbProgram, nats: NatsServer, user_id: str
) -> None:
    async with (
        asyncio.timeout(100),
        gateway_before(own_kb.address, KB_ACTION_SECONDS="15", NATS_URL=nats.url) as gateway,
        AsyncExitStack() as stack,
        asyncio.TaskGroup() as playing,
    ):
        players = [await joined(stack, gateway, f"{user_id}-{number}") for number in range(PLAYERS)]
        tasks = [playing.create_task(player.play()) for player in players]

        async def all_have(answered: int) -> None:
            while min(player.answered for player in players) < answered:
                await asyncio.sleep(0.05)

        for number, (item_id, how) in enumerate(
            zip(WYLDING_WOODS.items, ("killed", "stopped", "hung"), strict=True)
        ):
            await all_have(10 * (number + 1))
            for player in players:
                player.collect(item_id)
            await asyncio.to_thread(end, own_kb, how)
            if how == "hung":
                await asyncio.to_thread(own_kb.kill)
            await asyncio.to_thread(restart, own_kb)
        while any(player.collected < 3 or player.versions[-1:] != [3] for player in players):
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
    for player in players:
        assert player.versions == sorted(player.versions)

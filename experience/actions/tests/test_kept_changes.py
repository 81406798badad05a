"""A state change that a stream of JetStream keeps reaches who holds a socket, whatever is away meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from config.testing.forwarder import Forwarder
from config.testing.gateway import Gateway
from config.testing.servers import JetStreamServer
from experience.actions.tests.conftest import StartGateway
from experience.actions.tests.test_route import COLLECT, V2, ask, restart
from experience.kb.tests.serving import KbProgram, issue, running_kb
from experience.kb.world import WYLDING_WOODS

pytestmark = pytest.mark.timeout(150)
PLAYERS = 5
TALK = {"type": "talk", "npc_id": WYLDING_WOODS.quest.giver_id}
# Each changes the state once: the n-th makes version n.
MOVES: list[dict[str, Any]] = [
    TALK,
    *({**COLLECT, "item_id": item.id, "spot_id": item.spot_id} for item in WYLDING_WOODS.items.values()),
    TALK,
]


@pytest.fixture
def own_kb(kb_environment: dict[str, str], tmp_path: Path, jetstream: JetStreamServer) -> Iterator[KbProgram]:
    env = {**kb_environment, "NATS_URL": jetstream.url, "NATS_STREAM": "WORLD"}
    with running_kb(tmp_path, env) as kb:
        kb.wait_for_output("stream made")
        yield kb


class Watcher:
    """Holds one socket from its beginning to the end, and asks for the state but once."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.heard = list[int]()
        self.said = list[str]()

    async def watch(self) -> None:
        """Until cancelled. Raises ConnectionClosed."""
        while True:
            message = json.loads(await self._socket.recv())
            self.said.append(message["type"])
            if message["type"] == "state.changed":
                self.heard.append(message["version"])

    async def has_heard(self, version: int) -> None:
        while self.heard[-1:] != [version]:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def watching(gateway: Gateway, user_id: str) -> AsyncIterator[Watcher]:
    async with connect(gateway.url(V2, token=issue(user_id)), proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "connected"
        watcher = Watcher(socket)
        task = asyncio.create_task(watcher.watch())
        try:
            yield watcher
        finally:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def make(gateway: Gateway, user_id: str, version: int) -> None:
    """The move that leads to `version`, over as many sockets as it takes."""
    while True:
        with suppress(ConnectionClosed, InvalidHandshake, OSError):
            async with connect(gateway.url(V2, token=issue(user_id)), proxy=None) as socket:
                if (await ask(socket, type="get_state")).get("version") == version:
                    return
                await ask(socket, **MOVES[version - 1])


async def test_who_holds_a_socket_hears_of_each_state_whatever_was_away_as_it_was_made(
    gateway_before: StartGateway, own_kb: KbProgram, jetstream: JetStreamServer, user_id: str, tmp_path: Path
) -> None:
    users = [f"{user_id}-{number}" for number in range(PLAYERS)]
    env = {"KB_ACTION_SECONDS": "15", "NATS_STREAM": "WORLD", "SLOW_CONSUMER_SECONDS": "20"}
    own = {"DATABASE_URL": f"sqlite:///{tmp_path / 'second.sqlite3'}"}
    async with (
        asyncio.timeout(140),
        Forwarder(jetstream.port).open() as way,
        gateway_before(own_kb.address, NATS_URL=jetstream.url, **env) as first,
        gateway_before(own_kb.address, NATS_URL=f"nats://127.0.0.1:{way.port}", **env, **own) as second,
        AsyncExitStack() as stack,
    ):
        watchers = [await stack.enter_async_context(watching(second, user)) for user in users]

        async def all_move(version: int) -> None:
            async with asyncio.TaskGroup() as tasks:
                for user in users:
                    tasks.create_task(make(first, user, version))

        async def all_heard(version: int) -> None:
            for watcher in watchers:
                await watcher.has_heard(version)

        async def while_they_move(version: int, *programs: Any) -> None:
            """Killed as the moves are under way, and started again."""
            moving = asyncio.create_task(all_move(version))
            for program in programs:
                await asyncio.to_thread(program.kill)
            await asyncio.sleep(0.5)
            for program in programs:
                start = partial(restart, own_kb) if program is own_kb else program.start
                await asyncio.to_thread(start)
            await moving
            await all_heard(version)

        await all_move(1)
        await all_heard(1)
        way.freeze()  # the second gateway alone hears nothing, and is told nothing
        await all_move(2)
        await all_heard(2)
        await while_they_move(3, own_kb, jetstream)
        await while_they_move(4, first.program)
        await while_they_move(5, own_kb, jetstream, first.program)
    for watcher in watchers:
        assert watcher.heard == sorted(watcher.heard)
        assert set(watcher.said) == {"state.changed"}  # nothing was missing, so nobody is told to look

"""Two gateways before two chat services: one of each is killed while fifty users talk in one conversation."""

from __future__ import annotations

import asyncio
import itertools
import json
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from config.testing.gateway import issue
from config.testing.nodes import Node
from config.testing.program import free_port
from config.testing.servers import ValkeyServer
from experience.chat.tests.serving import Chat, ChatProgram

USERS, MESSAGES_EACH = 50, 12
DEADLINE_SECONDS = 90.0
# Of a send; then it is repeated.
ANSWER_SECONDS = 1.0
COME_BACK_SECONDS = 0.2
OPTIONS: dict[str, Any] = {"proxy": None, "compression": None, "open_timeout": 10, "close_timeout": 1}


class House:
    """The gateways and the services; `alive` are the addresses of gateways that clients may try."""

    def __init__(self, gateways: list[Node], services: list[ChatProgram]) -> None:
        self.gateways, self.services = gateways, services
        self._addresses = itertools.cycle([f"{node.host}:{node.port}" for node in gateways])

    @property
    def next_address(self) -> str:
        """Another one at each time, dead or alive: clients do not know."""
        return next(self._addresses)


class Client:
    """A user who says numbered texts, each until it is acknowledged, and who comes back, whatever happens."""

    def __init__(self, house: House, room: str, user_id: str) -> None:
        self._house, self._room, self.user_id = house, room, user_id
        self._token = issue(user_id)
        self._acknowledged: dict[str, asyncio.Event] = {}
        self.heard: dict[int, dict[str, Any]] = {}
        self.socket: ClientConnection | None = None
        self.progress = 0

    async def run(self) -> None:
        """Stay connected, until cancelled."""
        while True:
            address = self._house.next_address
            query = urlencode({"token": self._token, "conversation_id": self._room})
            url = f"ws://{address}/v1/chat/ws?{query}"
            with suppress(OSError, InvalidHandshake, ConnectionClosed, TimeoutError):
                # Without a bound it reads on, and sees the end of its link, while it catches up.
                async with connect(url, **OPTIONS, max_queue=None) as self.socket:
                    await self._catch_up(address)
                    await self._hear(self.socket)
            self.socket = None
            await asyncio.sleep(COME_BACK_SECONDS)

    async def _hear(self, socket: ClientConnection) -> None:
        last = 0
        async for text in socket:
            message = json.loads(text)
            if message["type"] != "message.created":
                continue
            number = int(message["message"]["id"].rpartition(".")[2])
            if self.user_id != message["message"]["sender_id"] or number > last:
                assert number > last, "a socket hears rising numbers"
                last = number
            self._keep(message["message"])
            if key := message.get("idempotency_key"):
                self._acknowledged.setdefault(key, asyncio.Event()).set()

    def _keep(self, message: dict[str, Any]) -> None:
        number = int(message["id"].rpartition(".")[2])
        assert self.heard.setdefault(number, message) == message

    async def _catch_up(self, address: str) -> None:
        """As a client that was away does: what follows the last of those that it has all before."""
        after = next(number for number in itertools.count(1) if number not in self.heard) - 1
        way, place = ("after", f"{self._room}.{after}") if after else ("before", "")
        while True:
            query = urlencode({"limit": 100, **({way: place} if place else {})})
            page = await asyncio.to_thread(self._get, f"http://{address}{self._path}?{query}")
            for message in page["messages"]:
                self._keep(message)
            place = page["next"]
            if place is None:
                return

    @property
    def _path(self) -> str:
        return f"/api/chat/conversations/{self._room}/messages"

    def _get(self, url: str) -> dict[str, Any]:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            page: dict[str, Any] = json.loads(answer.read())
            return page

    async def talk(self) -> None:
        """Say all, one after another."""
        for number in range(MESSAGES_EACH):
            await self._say(f"{self.user_id} {number}")
            self.progress += 1

    async def _say(self, text: str) -> None:
        told = self._acknowledged.setdefault(text, asyncio.Event())
        said = {"conversation_id": self._room, "text": text, "idempotency_key": text}
        message = json.dumps({"type": "message.send", **said})
        while not told.is_set():
            try:
                if self.socket is not None:
                    await self.socket.send(message)
                    async with asyncio.timeout(ANSWER_SECONDS):
                        await told.wait()
                        return
            except (ConnectionClosed, TimeoutError):
                pass
            await asyncio.sleep(COME_BACK_SECONDS)


@pytest.fixture
def house(chat: Chat, own_valkey: ValkeyServer, tmp_path: Path) -> Iterator[House]:
    services = [chat.service(REDIS_URL=own_valkey.url) for _ in range(2)]
    env = {
        "DATABASE_URL": chat.url,
        "REDIS_URL": own_valkey.url,
        "CHAT_SERVICE_URL": ",".join(f"http://{service.address}" for service in services),
        "CHAT_MESSAGE_RATE_PER_CONNECTION": "6000/m",
        "KB_PROBE": "none",
    }
    gateways = [
        Node(f"gateway-{number}", tmp_path, env, host="127.0.0.1", port=free_port()) for number in range(2)
    ]
    yield House(gateways, services)
    for gateway in gateways:
        gateway.program.kill()


async def until(clients: list[Client], progress: int) -> None:
    """All together have said so much."""
    while sum(client.progress for client in clients) < progress:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("chat_url", ["postgresql"], indirect=True)
async def test_fifty_users_end_with_the_same_messages_whatever_is_killed(chat: Chat, house: House) -> None:
    users = [f"user-{number}" for number in range(USERS)]
    room = await chat.conversation(*users)
    await asyncio.gather(*(gateway.start() for gateway in house.gateways))
    clients = [Client(house, room, user) for user in users]

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as tasks:
        staying = [tasks.create_task(client.run()) for client in clients]
        talking = [tasks.create_task(client.talk()) for client in clients]
        await until(clients, USERS * MESSAGES_EACH // 3)
        house.gateways[0].program.kill()
        await until(clients, USERS * MESSAGES_EACH * 2 // 3)
        house.services[0].kill()
        await asyncio.gather(*talking)
        while any(len(client.heard) < USERS * MESSAGES_EACH for client in clients):
            await asyncio.sleep(0.05)
        for task in staying:
            task.cancel()

    expected = clients[0].heard
    assert sorted(expected) == list(range(1, USERS * MESSAGES_EACH + 1))
    assert all(client.heard == expected for client in clients)
    for user in users:
        of_user = [expected[number] for number in sorted(expected) if expected[number]["sender_id"] == user]
        said = [message["text"] for message in of_user]
        assert said == [f"{user} {number}" for number in range(MESSAGES_EACH)]

"""Gateways of both kinds on a Valkey, and agents that speak to it as any would."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer

SETTINGS = {
    "RELAY_MAX_MESSAGE_BYTES": "1000",
    "RELAY_REDIS_TIMEOUT_SECONDS": "4",
    "RELAY_GRACE_SECONDS": "20",
    "RELAY_OUTBOX_BYTES": "1000000",
}


class Agent:
    """One session's agent: redis-py, and nothing of the gateway's."""

    def __init__(self, redis: Redis, gateway: Gateway, *, token: str = "") -> None:
        self.redis, self.gateway = redis, gateway
        self.session, self.token = f"s-{secrets.token_hex(4)}", token or secrets.token_urlsafe(16)
        self.up: Any = redis.pubsub()

    async def let_in(self, *, seconds: int = 60) -> None:
        await self.redis.set(f"session:{self.session}:auth", self.token, ex=seconds)

    async def listen(self) -> None:
        await self.up.subscribe(f"session:{self.session}:up")
        assert (await self.up.get_message(timeout=20))["type"] == "subscribe"

    @property
    def down(self) -> str:
        return f"session:{self.session}:down"

    async def hearers(self) -> int:
        """How many connections of gateways are subscribed to what it says; -1: Redis was lost."""
        try:
            return int((await self.redis.pubsub_numsub(self.down))[0][1])
        except RedisError:
            return -1

    async def hear(self) -> Any:
        """The client's next message, parsed."""
        while (message := await self.up.get_message(timeout=20)) is None:
            raise TimeoutError("the client said nothing")
        return json.loads(message["data"])

    async def say(self, message: str | bytes) -> int:
        """How many hear it."""
        return int(await self.redis.publish(self.down, message))

    def url(self, gateway: Gateway | None = None, **query: str) -> str:
        port = (gateway or self.gateway).port
        return f"ws://127.0.0.1:{port}/agent-1/ws/{self.session}?{urlencode(query)}"

    def client(
        self,
        gateway: Gateway | None = None,
        *,
        token: str | None = None,
        since: str | None = None,
        **options: Any,
    ) -> connect:
        query = {} if since is None else {"since": since}
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        return connect(
            self.url(gateway, **query),
            additional_headers=headers,
            compression=None,
            proxy=None,
            max_size=None,
            **options,
        )

    @asynccontextmanager
    async def joined(self, gateway: Gateway | None = None, **options: Any) -> AsyncIterator[ClientConnection]:
        await self.let_in()
        async with self.client(gateway, **options) as client:
            yield client


class DurableAgent(Agent):
    """Adds to a stream, and says that it has: what docs/sessions.md asks of agents."""

    async def become_durable(self) -> None:
        await self.redis.set(f"session:{self.session}:mode", "durable")

    async def add(self, message: str | bytes, *, id_: str = "*") -> str:
        """The id of its entry."""
        async with self.redis.pipeline(transaction=True) as both:
            both.xadd(self.down, {"message": message}, id=id_)
            both.expire(self.down, 3600)
            both.publish(self.down, "")
            return str((await both.execute())[0].decode())


async def heard(client: ClientConnection) -> dict[str, Any]:
    """The next message but for what is told of events, which are no concern of sessions."""
    while True:
        message: dict[str, Any] = json.loads(await client.recv())
        if message.get("type") != "gateway.resync":
            return message


async def refused(gateway: Gateway, connecting: connect, *, status: int, code: str) -> None:
    """A handshake is refused so; stock Daphne has but one refusal."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connecting:
            pass
    answer = refusal.value.response
    if gateway.kind == "daphne":
        assert answer.status_code == 403
    else:
        assert (answer.status_code, json.loads(answer.body)["code"]) == (status, code)


async def closed(client: ClientConnection) -> Close:
    """Read to the end: the close frame that came, or (1006, "")."""
    try:
        while True:
            await client.recv()
    except ConnectionClosed as end:
        return Close(1006, "") if end.rcvd is None else end.rcvd


class Gaps(NamedTuple):
    """Of one connection: how many it was told of, had without a word, and was told of without having them."""

    told: int = 0
    untold: int = 0
    superfluous: int = 0


def gaps(heard: list[str]) -> Gaps:
    """Of numbers, which have to come in order and once, with what the gateway says of the session between."""
    told = untold = superfluous = last = 0
    is_told = False
    for message in heard:
        if message.startswith("{"):
            if json.loads(message)["reason"] == "messages of the session may have been lost":
                told, superfluous, is_told = told + 1, superfluous + is_told, True
            continue
        number = int(message)
        assert number > last
        has_gap = number > last + 1 and last > 0
        untold, superfluous = untold + (has_gap > is_told), superfluous + (is_told > has_gap)
        last, is_told = number, False
    return Gaps(told, untold, superfluous + is_told)


async def until(ask: Callable[[], Awaitable[Any]], wanted: object) -> None:
    async with asyncio.timeout(20):
        while await ask() != wanted:
            await asyncio.sleep(0.02)


def made(kind: str, directory: Path, valkey: ValkeyServer, **env: str) -> Gateway:
    gateway = Gateway(kind, directory, {**SETTINGS, "REDIS_URL": valkey.url, **env})
    gateway.migrate()
    gateway.start()
    return gateway


@pytest.fixture
async def nodes(
    request: pytest.FixtureRequest, tmp_path: Path, own_valkey: ValkeyServer
) -> AsyncIterator[list[Gateway]]:
    """Two, that share a Redis; each has a database of its own, which is no concern of sessions."""
    nodes, env = [], getattr(request, "param", {})
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        nodes.append(await asyncio.to_thread(made, "serve", tmp_path / name, own_valkey, **env))
    yield nodes
    for node in nodes:
        await asyncio.to_thread(node.close)


@pytest.fixture(params=["serve", "daphne"], scope="module")
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer
) -> Iterator[Gateway]:
    valkey_server.ensure_running()
    gateway = made(request.param, tmp_path_factory.mktemp("gateway"), valkey_server)
    yield gateway
    gateway.close()


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def agent(gateway: Gateway, redis: Redis) -> AsyncIterator[Agent]:
    agent = Agent(redis, gateway)
    await agent.listen()
    yield agent
    await agent.up.aclose()

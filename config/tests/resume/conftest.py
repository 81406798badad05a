"""A gateway of each kind whose studio route resumes, before two members that a test plays itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway
from config.testing.program import free_port
from config.testing.servers import ValkeyServer

MakeGateway = Callable[..., Gateway]


class Member:
    """One member: what it `heard`, and its open `sockets`. It answers each message with its name and that."""

    def __init__(self, name: str) -> None:
        self.name, self.port = name, free_port()
        self.heard: list[str] = []
        self.sockets: list[ServerConnection] = []
        self.opened = asyncio.Event()
        self._server: Server | None = None

    async def start(self, **options: Any) -> None:
        defaults = {"compression": None, "close_timeout": 1, "max_size": None}
        self._server = await serve(self._serve, "127.0.0.1", self.port, **{**defaults, **options})

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self.opened.set()
        with suppress(ConnectionClosed):
            async for message in socket:
                self.heard.append(str(message))
                await socket.send(f"{self.name}:{message!s}")

    async def kill(self) -> None:
        """Gone, as a process is: nothing listens, and every socket is dropped without a close."""
        if self._server is not None:
            self._server.close(close_connections=False)
            for socket in self.sockets:
                socket.transport.abort()
            await self._server.wait_closed()
            self._server = None


@pytest.fixture
async def members() -> AsyncIterator[tuple[Member, Member]]:
    """The first runs; the second has yet to be started."""
    first, second = Member("first"), Member("second")
    await first.start()
    yield first, second
    for member in (first, second):
        await member.kill()


@pytest.fixture(params=["serve", "daphne"])
async def make_gateway(
    request: pytest.FixtureRequest, tmp_path: Path, valkey: ValkeyServer, members: tuple[Member, Member]
) -> AsyncIterator[MakeGateway]:
    """`make_gateway(NAME=value…)`: a started gateway, which ends while its members still answer."""
    made: list[Gateway] = []

    def make(**env: str) -> Gateway:
        variables = {
            "REDIS_URL": valkey.url,
            "STUDIO_WS_URLS": ",".join(f"ws://127.0.0.1:{member.port}" for member in members),
            "STUDIO_RESUME": "reconnect",
            "STUDIO_PROBE": "none",
            "STUDIO_POLICY": "round_robin",
            "MESSAGE_RATE_PER_USER": "100000/s",
            "LOG_FORMAT": "console",
            **env,
        }
        gateway = Gateway(request.param, tmp_path, variables)
        gateway.migrate()
        made.append(gateway)
        gateway.start()
        return gateway

    yield make
    for gateway in made:
        try:
            if gateway.program.running:
                await asyncio.to_thread(gateway.stop)
        finally:
            gateway.close()


@asynccontextmanager
async def linked(gateway: Gateway, user: str, **options: Any) -> AsyncIterator[Any]:
    from config.testing.gateway import issue

    async with gateway.connect(gateway.url("/ws", token=issue(user)), open_timeout=20, **options) as client:
        yield client


def state(name: str) -> str:
    """The notice, as it is contracted."""
    return json.dumps({"type": "gateway.upstream", "state": name}, separators=(",", ":"))

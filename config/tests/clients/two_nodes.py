"""What a team runs: two gateways, PostgreSQL, Valkey, two studios, a KB service, and staff."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway, issue
from config.testing.program import free_port
from config.testing.studio import StudioInstance
from config.tests.clients.staff import PASSWORD

GROUPS = {"vera": "Viewers", "sam": "Support", "olga": "Operators"}
_STAFF = f"""
from django.contrib.auth.models import Group, User
User.objects.create_superuser("ada", password="{PASSWORD}")
for name, group in {GROUPS}.items():
    user = User.objects.create_user(name, password="{PASSWORD}", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
"""


class TwoNodes:
    """Both hold clients, and both answer staff: `one` those of the tests, unless they ask `two`."""

    def __init__(
        self, directory: Path, *, database_url: str, redis_url: str, studios: int = 2, **env: str
    ) -> None:
        self.kb_port = free_port()
        self.studios = [StudioInstance(f"studio-{number + 1}", directory) for number in range(studios)]
        kb_url = f"http://127.0.0.1:{self.kb_port}"
        shared = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "KB_SERVICE_URL": kb_url,
            "STUDIO_WS_URLS": ",".join(studio.url for studio in self.studios),
            "STUDIO_PROBE_SECONDS": "1",
            "STUDIO_RESUME": "reconnect",
            "HTTPS_ONLY": "false",
            **env,
        }
        self.one, self.two = (Gateway("serve", directory, shared) for _ in range(2))

    @contextmanager
    def running(self) -> Iterator[TwoNodes]:
        """With every table and somebody of each group of staff."""
        try:
            for studio in self.studios:
                studio.start()
            self.one.migrate()
            self.one.manage("shell", "-v0", "-c", _STAFF)
            self.one.start()
            self.two.start()
            yield self
        finally:
            for gateway in (self.one, self.two):
                gateway.close()
            for studio in self.studios:
                studio.program.kill()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Their KB service, which drops who says `fall` and answers all else as it was said."""
        async with serve(_echo_until_it_falls, "127.0.0.1", self.kb_port, compression=None, close_timeout=2):
            yield

    async def studio_of(self, client: ClientConnection) -> StudioInstance:
        """Which of them is behind that link."""
        await client.send('{"type":"whoami"}')
        name = json.loads(await client.recv())["instance"]
        return next(studio for studio in self.studios if studio.name == name)


async def carried_over(house: TwoNodes, client: ClientConnection) -> None:
    """Its studio is killed; another takes it on, and the studio is started again."""
    studio = await house.studio_of(client)
    studio.program.kill()
    async with asyncio.timeout(30):
        while json.loads(await client.recv()) != {"type": "gateway.upstream", "state": "connected"}:
            pass
    studio.start()


async def _echo_until_it_falls(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        while (message := await connection.recv()) != "fall":
            await connection.send(message)
        connection.transport.abort()


class Visits:
    """Clients of either node that stay until they are sent away, or the test ends."""

    def __init__(self) -> None:
        self._all = AsyncExitStack()

    async def __aenter__(self) -> Visits:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._all.aclose()

    async def comes(self, gateway: Gateway, user_id: str, path: str = "/ws/experience") -> ClientConnection:
        url = gateway.url(path, token=issue(user_id, email=f"{user_id}@example.com"))
        return await self._all.enter_async_context(gateway.connect(url))

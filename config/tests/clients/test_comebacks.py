"""Whether npm's socket.io-client, with the options that nobody changed, comes back after a close."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from config.testing.gateway import issue
from config.tests.clients.conftest import Cell
from config.tests.clients.node import Node, new_user
from config.tests.clients.programs import KINDS, MATRIX_DIR

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]

SOCKETIO = next(kind for kind in KINDS if kind.name == "socketio")
EXPIRES_MINUTES = 3 / 60


class StayingClient:
    """clients/matrix/socketio_stays.cjs, which says what it is told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, *words: str) -> None:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)

    async def hear(self) -> list[Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(40):
            heard: list[Any] = json.loads(await asyncio.to_thread(self._process.stdout.readline))
            return heard

    async def hear_until(self, word: str) -> list[Any]:
        """The next that begins with `word`; attempts that fail before it are left out."""
        while (heard := await self.hear())[0] != word:
            assert heard[0] == "failed", heard
        return heard


@pytest.fixture
def client() -> Iterator[StayingClient]:
    command = ["node", str(MATRIX_DIR / "socketio_stays.cjs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield StayingClient(process)
        process.kill()


class Comebacks:
    """One client a test, on a node of the class."""

    async def test_who_is_kicked_stays_away(self, node: Node, client: StayingClient) -> None:
        user = await connected(client, node)
        await node.kick(user, "Bitte neu starten ☂")
        assert await client.hear() == ["closed", "io server disconnect", 4001, False]
        await node.gateway.wait_for_records(
            f"user_id = '{user}' AND close_code = 4001 AND closed_by = 'staff'"
        )

    @pytest.mark.parametrize("namespaces", [("/admin",), ("/", "/admin")], ids="+".join)
    async def test_who_is_kicked_stays_away_from_every_namespace(
        self, node: Node, client: StayingClient, namespaces: tuple[str, ...]
    ) -> None:
        user = await connected(client, node, namespaces=namespaces)
        await node.kick(user, "Bitte neu starten ☂")
        for _ in namespaces:
            assert await client.hear() == ["closed", "io server disconnect", 4001, False]

    async def test_who_is_blocked_stays_away(self, node: Node, client: StayingClient) -> None:
        user = await connected(client, node)
        block = f"from proxy.models import Block; Block.objects.create(user_id='{user}')"
        await asyncio.to_thread(node.gateway.manage, "shell", "-c", block)
        assert await client.hear() == ["closed", "io server disconnect", 4003, False]

    async def test_who_is_expired_comes_back_with_the_token_of_the_day(
        self, node: Node, client: StayingClient
    ) -> None:
        user = await connected(client, node, minutes=EXPIRES_MINUTES)
        client.tell(issue(user))
        assert await client.hear() == ["closed", "transport close", 4010, True]
        assert await client.hear() == ["opened"]

    async def test_who_has_no_token_but_an_expired_one_is_refused_until_there_is(
        self, node: Node, client: StayingClient
    ) -> None:
        user = await connected(client, node, minutes=EXPIRES_MINUTES)
        assert await client.hear() == ["closed", "transport close", 4010, True]
        assert await client.hear() == ["failed", node.unauthenticated_status]
        client.tell(issue(user))
        assert await client.hear_until("opened") == ["opened"]

    async def test_who_is_drained_comes_back(self, node: Node, client: StayingClient) -> None:
        await connected(client, node)
        assert await asyncio.to_thread(node.gateway.stop) == 0
        closed = await client.hear()
        node.gateway.start()
        assert closed == ["closed", "transport close", node.told(1001), True]
        assert await client.hear_until("opened") == ["opened"]


@pytest.mark.parametrize(
    "node", [Cell(server="serve", path="/socket.io/", kind=SOCKETIO)], ids=str, indirect=True
)
class TestServe(Comebacks):
    """The product's own server."""


@pytest.mark.parametrize(
    "node", [Cell(server="daphne", path="/socket.io/", kind=SOCKETIO)], ids=str, indirect=True
)
class TestDaphne(Comebacks):
    """Stock Daphne."""


async def connected(
    client: StayingClient, node: Node, *, minutes: float = 60, namespaces: tuple[str, ...] = ("/",)
) -> str:
    """The user as which `client` has connected."""
    await node.gateway.wait_until_ready(database=True)
    assert await client.hear() == ["ready"]  # node.js may take as long to load as a token lives
    user = new_user()
    client.tell(issue(user, minutes=minutes), f"http://127.0.0.1:{node.gateway.port}", *namespaces)
    for _ in namespaces:
        assert await client.hear() == ["opened"]
    return user

"""Two gateway processes on one Valkey and one PostgreSQL: record, kicks, and what becomes of a lost node."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from config.testing.forwarder import Forwarder
from config.testing.gateway import Gateway, issue
from config.testing.servers import PostgresServer, ValkeyServer

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]


@pytest.fixture
async def kb(nodes: tuple[Gateway, Gateway]) -> AsyncIterator[None]:
    """A KB service that echoes."""

    async with nodes[0].serving(_echo):
        yield


async def _echo(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


async def rows(
    node: Gateway, where: Callable[[list[dict[str, Any]]], bool], *, within_seconds: float
) -> list[dict[str, Any]]:
    """The record, once it is as `where` wants it."""
    deadline = time.monotonic() + within_seconds
    while True:
        listed = await asyncio.to_thread(node.manage, "connections", "--all", "--json")
        found: list[dict[str, Any]] = json.loads(listed.stdout)
        if where(found):
            return found
        assert time.monotonic() < deadline, found


async def echoes(client: ClientConnection, message: str) -> bool:
    await client.send(message)
    return await client.recv() == message


def told(node: Gateway, reason: str) -> str:
    """What a client hears of a reason: stock Daphne drops it."""
    return "" if node.kind == "daphne" else reason


async def test_a_kick_from_a_shell_ends_a_users_links_on_every_node_within_two_seconds(
    nodes: tuple[Gateway, Gateway], kb: None
) -> None:
    one, two = nodes
    token, other = issue("42"), issue("7")
    async with (
        asyncio.timeout(60),
        one.connect(one.url(token=token)) as first,
        two.connect(two.url(token=token)) as second,
        two.connect(two.url(token=other)) as neighbour,
    ):
        await rows(one, lambda found: len(found) == 3, within_seconds=10)
        kicking = asyncio.to_thread(one.manage, "kick", "--user", "42", "--reason", "Bitte neu starten ☂")
        done = asyncio.create_task(kicking, name="kick")
        for client in (first, second):
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4001, told(one, "Bitte neu starten ☂"))
        assert (await done).stdout == "2 links ended.\n"
        assert await echoes(neighbour, "still here")
        found = await rows(
            two, lambda found: sum(bool(row["closed_at"]) for row in found) == 2, within_seconds=10
        )
    ended = {(row["closed_by"], row["close_code"], row["close_reason"]) for row in found if row["closed_at"]}
    assert ended == {("staff", 4001, "Bitte neu starten ☂")}


async def test_a_kick_reaches_a_node_that_redis_does_not_and_says_how_many_links_ended(
    tmp_path: Path, valkey: ValkeyServer, database_url: str
) -> None:
    async with asyncio.timeout(90), Forwarder(valkey.port).open() as path:
        near, far = (
            Gateway("serve", tmp_path, {"REDIS_URL": url, "DATABASE_URL": database_url})
            for url in (valkey.url, f"redis://127.0.0.1:{path.port}/0")
        )
        await asyncio.to_thread(near.migrate)
        near.start()
        far.start()
        try:
            async with far.serving(_echo):
                await near.wait_until_ready(redis=True, database=True)
                await far.wait_until_ready(redis=True, database=True)
                async with far.connect(far.url()) as client, far.connect(far.url(token=issue("7"))) as other:
                    path.freeze()
                    kicked = asyncio.create_task(
                        asyncio.to_thread(near.manage, "shell", "--no-imports", "-c", _KICK)
                    )
                    await client.wait_closed()
                    assert client.close_code == 4001
                    assert (await kicked).stdout == "1 link ended.\n"
                    assert await echoes(other, "still here")
        finally:
            near.close()
            far.close()


async def test_a_kick_and_a_block_reach_a_node_without_redis(tmp_path: Path, database_url: str) -> None:
    node = Gateway("serve", tmp_path, {"DATABASE_URL": database_url})
    await asyncio.to_thread(node.migrate)
    node.start()
    try:
        async with asyncio.timeout(60), node.serving(_echo):
            await node.wait_until_ready(database=True)
            async with node.connect(node.url()) as client, node.connect(node.url(token=issue("7"))) as other:
                kicked = await asyncio.to_thread(node.manage, "shell", "--no-imports", "-c", _KICK)
                assert kicked.stdout == "1 link ended.\n"
                await client.wait_closed()
                assert client.close_code == 4001
                await asyncio.to_thread(node.manage, "shell", "-c", _BLOCK)
                await other.wait_closed()
                assert other.close_code == 4003
    finally:
        node.close()


@pytest.mark.timing
async def test_staff_kick_a_link_of_another_node_from_the_admin(
    nodes: tuple[Gateway, Gateway], kb: None
) -> None:
    one, two = nodes
    await asyncio.to_thread(one.manage, "shell", "-c", _MAKE_STAFF)
    base = f"http://127.0.0.1:{one.port}/admin"
    async with (
        asyncio.timeout(60),
        two.connect(two.url()) as client,
        httpx.AsyncClient(follow_redirects=True, timeout=10, trust_env=False) as browser,
    ):
        [row] = await rows(one, lambda found: len(found) == 1, within_seconds=10)
        page = await browser.get(f"{base}/login/")
        login = {"username": "ada", "password": "sesame", "csrfmiddlewaretoken": _csrf(page.text)}
        page = await browser.post(f"{base}/login/?next=/admin/proxy/connection/", data=login)
        assert row["id"] in page.text
        form = {"action": "kick_links", "_selected_action": row["id"], "confirmed": "yes", "reason": "bye"}
        form["csrfmiddlewaretoken"] = _csrf(page.text)
        started = time.monotonic()
        page = await browser.post(f"{base}/proxy/connection/", data=form)
        await client.wait_closed()
        assert time.monotonic() - started < 2
    assert "1 link ended." in page.text
    assert (client.close_code, client.close_reason) == (4001, told(one, "bye"))


async def test_a_killed_nodes_records_are_closed_by_another_and_nothing_else_is_touched(
    nodes: tuple[Gateway, Gateway], kb: None
) -> None:
    one, two = nodes
    async with (
        asyncio.timeout(90),
        one.connect(one.url()),
        two.connect(two.url(token=issue("7"))) as survivor,
    ):
        await rows(two, lambda found: len(found) == 2, within_seconds=10)
        one.program.kill()
        found = await rows(two, lambda found: any(row["closed_at"] for row in found), within_seconds=30)
        ended = {row["user_id"]: (row["closed_by"], row["close_code"]) for row in found}
        assert ended == {"42": ("node_lost", 1006), "7": ("", None)}
        assert await echoes(survivor, "still here")


async def test_postgresql_may_restart_under_open_sockets_and_the_record_catches_up(
    nodes: tuple[Gateway, Gateway], kb: None, postgres: PostgresServer
) -> None:
    one, _ = nodes
    async with asyncio.timeout(90), one.connect(one.url()) as first:
        await rows(one, lambda found: len(found) == 1, within_seconds=10)
        postgres.kill()
        async with one.connect(one.url(token=issue("7"))) as second:
            assert await echoes(first, "no database")
            assert await echoes(second, "no database either")
        await asyncio.to_thread(postgres.start)
        found = await rows(one, lambda found: len(found) == 2, within_seconds=30)
    ended = {row["user_id"]: bool(row["closed_at"]) for row in found}
    assert ended == {"42": False, "7": True}


def _csrf(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found, page
    return found[1]


# The node looks for rows every two seconds; on a busy machine it says later than in three what it ended.
_KICK = (
    "from django.core.management import call_command; from proxy.cluster import kicks; "
    "kicks.REPORT_SECONDS = 20; call_command('kick', '--user', '42')"
)
_BLOCK = "from proxy.models import Block; Block.objects.create(user_id='7')"
_MAKE_STAFF = (
    "from django.contrib.auth.models import User; User.objects.create_superuser('ada', password='sesame')"
)

"""Tokens that are taken back, on two gateway processes with one Valkey and one PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.testing.forwarder import Forwarder
from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]


def token(user: str, *, iat: int | None = None, **claims: Any) -> str:
    """One of a moment ago, unless it says when it was issued."""
    return issue(user, iat=int(time.time()) - 1 if iat is None else iat, **claims)


@pytest.fixture
async def kb(nodes: tuple[Gateway, Gateway]) -> AsyncIterator[None]:
    """A KB service that echoes."""
    async with nodes[0].serving(_echo):
        yield


async def _echo(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


async def echoes(client: ClientConnection) -> bool:
    """Whether what it sends comes back; it may be told before that Redis was away."""
    await client.send("still here")
    heard = await client.recv()
    while "gateway.resync" in str(heard):
        heard = await client.recv()
    return heard == "still here"


async def refused(node: Gateway, shown: str) -> tuple[int, dict[str, str]]:
    """Status and body."""
    with pytest.raises(InvalidStatus) as caught:
        async with node.connect(node.url(token=shown)):
            pass
    body: dict[str, str] = json.loads(caught.value.response.body or b"")
    return caught.value.response.status_code, body


async def closed(client: ClientConnection, *, within_seconds: float) -> tuple[int | None, str | None]:
    async with asyncio.timeout(within_seconds):
        await client.wait_closed()
    return client.close_code, client.close_reason


@pytest.mark.timing
async def test_a_users_tokens_are_taken_back_on_every_node_within_two_seconds_and_for_good(
    nodes: tuple[Gateway, Gateway], kb: None
) -> None:
    one, two = nodes
    key = (await asyncio.to_thread(one.manage, "issue_api_key", "login", "--revoke")).stdout.strip()
    adas, bobs = token("ada"), token("bob")
    async with (
        asyncio.timeout(90),
        one.connect(one.url(token=adas)) as first,
        two.connect(two.url(token=adas)) as second,
        two.connect(two.url(token=bobs)) as neighbour,
        httpx.AsyncClient(trust_env=False, timeout=10) as http,
    ):
        asked = http.post(
            f"http://127.0.0.1:{one.port}/api/revoke",
            json={"user": "ada"},
            headers={"Authorization": f"Api-Key {key}"},
        )
        asking = asyncio.create_task(asked, name="revoke")
        for client in (first, second):
            assert await closed(client, within_seconds=2) == (4011, "token revoked")
        assert (await asking).status_code == 200
        assert await echoes(neighbour)

        said = (403, {"code": "token_revoked", "message": "The token was revoked."})
        assert [await refused(node, adas) for node in nodes] == [said, said]
        async with one.connect(one.url(token=adas, refuse="close")) as client:
            assert await closed(client, within_seconds=5) == (4011, "token revoked")
        counted = 'gateway_websocket_auth_failures_total{reason="revoked"} 2.0'
        assert counted in (await one.get("/metrics"))[1]
        async with two.connect(two.url(token=token("ada", iat=int(time.time()) + 1))) as fresh:
            assert await echoes(fresh)

        await asyncio.to_thread(one.stop)
        one.start()
        await one.wait_until_ready(redis=True, database=True)
        assert await refused(one, adas) == said
    causes = {row["user_id"]: row["cause"] for row in await one.wait_for_records("cause = 'revoked'", 2)}
    assert causes == {"ada": "revoked"}
    turned_away = one.rows("SELECT DISTINCT user_id, cause FROM proxy_refusal")
    assert turned_away == [{"user_id": "ada", "cause": "token_revoked"}]


async def test_a_node_that_redis_does_not_reach_closes_all_the_same(
    tmp_path: Path, valkey: ValkeyServer, database_url: str
) -> None:
    async with asyncio.timeout(90), Forwarder(valkey.port).open() as path:
        env = {"REDIS_URL": f"redis://127.0.0.1:{path.port}/0", "DATABASE_URL": database_url}
        far = Gateway("serve", tmp_path, env)
        await asyncio.to_thread(far.migrate)
        far.start()
        try:
            async with far.serving(_echo):
                await far.wait_until_ready(redis=True, database=True)
                async with (
                    far.connect(far.url(token=token("ada", jti="lost"))) as client,
                    far.connect(far.url(token=token("ada", jti="kept"))) as other,
                ):
                    path.freeze()
                    revoked = asyncio.to_thread(far.manage, "revoke", "--jti", "lost", "--json")
                    asking = asyncio.create_task(revoked, name="revoke")
                    assert await closed(client, within_seconds=20) == (4011, "token revoked")
                    age = "SELECT extract(epoch FROM now() - created_at) AS ago FROM proxy_revocation"
                    (row,) = far.rows(age)
                    assert row["ago"] < 5, "a look every two seconds, and what a busy machine takes"
                    assert json.loads((await asking).stdout).keys() == {"jti", "until"}
                    assert await echoes(other)
        finally:
            far.close()


async def test_a_password_that_staff_change_closes_what_was_opened_before_and_a_refreshed_link_counts_as_new(
    nodes: tuple[Gateway, Gateway], kb: None
) -> None:
    one, two = nodes
    await asyncio.to_thread(one.manage, "shell", "-c", _MAKE_USERS)
    later = token("ada", iat=int(time.time()) + 5, jti="new")  # its issuer's clock is ahead
    async with (
        asyncio.timeout(90),
        two.connect(two.url(token=token("bob"))) as bob,
        two.connect(two.url(token=token("ada", jti="old"))) as ada,
        httpx.AsyncClient(follow_redirects=True, timeout=10, trust_env=False) as browser,
    ):
        await ada.send(json.dumps({"type": "gateway.refresh", "token": later}))
        assert json.loads(await ada.recv())["type"] == "gateway.refreshed"
        await asyncio.to_thread(one.manage, "revoke", "--jti", "old")
        await ada.send(json.dumps({"type": "gateway.refresh", "token": token("ada", jti="old")}))
        told = json.loads(await ada.recv())
        assert (told["code"], told["message"]) == ("invalid_token", "The token was revoked.")

        base = f"http://127.0.0.1:{one.port}/admin"
        page = await browser.get(f"{base}/login/")
        login = {"username": "root", "password": "sesame", "csrfmiddlewaretoken": _csrf(page.text)}
        page = await browser.post(f"{base}/login/", data=login)
        user_id = one.rows("SELECT id FROM auth_user WHERE username = 'bob'")[0]["id"]
        path = f"{base}/auth/user/{user_id}/password/"
        form = {"password1": "a new secret", "password2": "a new secret", "usable_password": "true"}
        form["csrfmiddlewaretoken"] = _csrf((await browser.get(path)).text)
        asking = asyncio.create_task(browser.post(path, data=form), name="change password")
        assert await closed(bob, within_seconds=30) == (4011, "token revoked")
        assert "Password changed successfully" in (await asking).text
        assert await echoes(ada)


def _csrf(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found, page
    return found[1]


_MAKE_USERS = (
    "from django.contrib.auth.models import User; User.objects.create_superuser('root', password='sesame'); "
    "User.objects.create_user('bob', password='sesame')"
)

"""What staff's pages hear of all nodes, second by second, from whichever of them they ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from proxy.cluster.live import MOST_LISTENERS

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]

EVENTS, SERIES = "/admin/proxy/live/events/", "/admin/proxy/live/series/"
_LOG_IN = """
from django.contrib.auth import SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.db import SessionStore
for name in ("viewer", "other"):
    user = User.objects.create_user(name, password="sesame", is_staff=True)
    if name == "viewer":
        user.user_permissions.add(Permission.objects.get(codename="view_connection"))
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    print(name, session.session_key)
"""

Event = dict[str, Any]


@pytest.fixture
async def sessions(nodes: tuple[Gateway, Gateway]) -> dict[str, str]:
    """Those of `viewer`, who may see connections, and of `other`, who may not."""
    said = await asyncio.to_thread(nodes[0].manage, "shell", "-v0", "-c", _LOG_IN)
    return dict(line.split() for line in said.stdout.splitlines() if line.startswith(("viewer", "other")))


@pytest.fixture
async def browser(sessions: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        cookies={"sessionid": sessions["viewer"]},
        timeout=20,
        trust_env=False,
        limits=httpx.Limits(max_connections=200),
    ) as browser:
        yield browser


@asynccontextmanager
async def listening(
    browser: httpx.AsyncClient, node: Gateway, **headers: str
) -> AsyncIterator[AsyncIterator[Event]]:
    """The seconds that a page hears; the last of them is None where the stream has ended."""
    url = f"http://127.0.0.1:{node.port}{EVENTS}"
    async with browser.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        yield _seconds(answer)


async def _seconds(answer: httpx.Response) -> AsyncIterator[Event]:
    name = identity = ""
    async for line in answer.aiter_lines():
        word, _, value = line.partition(": ")
        if word == "event":
            name = value
        elif word == "id":
            identity = value
        elif word == "data":
            assert name == "second", line
            second = json.loads(value)
            assert identity == str(second["at"])
            yield second


async def until(seconds: AsyncIterator[Event], wanted: Any, *, within_seconds: float = 20) -> Event:
    """The first that is as wanted."""
    async with asyncio.timeout(within_seconds):
        async for second in seconds:
            if wanted(second):
                return second
    raise AssertionError("the stream has ended")


@pytest.fixture
def valkey(own_valkey: ValkeyServer) -> ValkeyServer:
    """Gateways that other tests share tell theirs to the one that all share."""
    return own_valkey


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def test_a_page_of_one_node_sees_what_happens_on_both_and_misses_nothing_when_it_changes_nodes(
    nodes: tuple[Gateway, Gateway], browser: httpx.AsyncClient
) -> None:
    one, two = nodes
    async with one.serving(echo), listening(browser, one) as seconds:
        await until(seconds, lambda second: len(second["nodes"]) == 2)
        async with two.connect(two.url()) as client:
            opened = await until(seconds, lambda second: second["opens"])
            assert opened["opens"] == {"experience": 1}
            both = await until(seconds, lambda second: len(second["nodes"]) == 2)
            assert both["links"] == {"experience": 1}
            assert sorted(node["links"] for node in both["nodes"]) == [0, 1]
            series = (await browser.get(f"http://127.0.0.1:{two.port}{SERIES}?span=15m")).json()
            assert len(series["at"]) == len(series["opens"]) == 180
            assert 1 in series["links"]["experience"]
            await client.send("hello")
            assert await client.recv() == "hello"
        closed = await until(seconds, lambda second: second["closes"])
        assert sum(closed["closes"].values()) == 1
        async with listening(browser, two, **{"Last-Event-ID": str(opened["at"] - 1)}) as again:
            first = await anext(again)
            assert (first["at"], first["opens"]) == (opened["at"], opened["opens"])
            missed = await until(again, lambda second: second["closes"])
            assert [{**each, "lately": None} for each in (missed, closed)] == [{**closed, "lately": None}] * 2


async def test_pages_have_a_bound_of_their_own_and_none_of_them_holds_up_a_request_or_the_end(
    nodes: tuple[Gateway, Gateway], browser: httpx.AsyncClient
) -> None:
    node, _ = nodes
    async with AsyncExitStack() as pages:
        heard = [await pages.enter_async_context(listening(browser, node)) for _ in range(MOST_LISTENERS)]
        for seconds in heard:
            await until(seconds, bool)
        refused = await browser.get(f"http://127.0.0.1:{node.port}{EVENTS}")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        answers = await asyncio.gather(
            *(browser.get(f"http://127.0.0.1:{node.port}{SERIES}?span={span}") for span in ("1h", "7d"))
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        stopping = asyncio.create_task(asyncio.to_thread(node.stop))
        async with asyncio.timeout(20):
            for seconds in heard:
                async for _ in seconds:
                    pass
            assert await stopping == 0


async def test_only_staff_that_may_see_connections_are_told(
    nodes: tuple[Gateway, Gateway], sessions: dict[str, str]
) -> None:
    address = f"http://127.0.0.1:{nodes[0].port}"
    async with httpx.AsyncClient(timeout=20, trust_env=False) as browser:
        for path in (EVENTS, SERIES):
            for session in ("", "f" * 32, sessions["other"]):
                answer = await browser.get(address + path, headers={"cookie": f"sessionid={session}"})
                assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
        viewer = {"cookie": f"sessionid={sessions['viewer']}"}
        wrong = await browser.get(f"{address}{SERIES}?span=9y", headers=viewer)
        assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_request")

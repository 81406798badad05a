"""New links over a pool: fair, and around what is down."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from config.testing.gateway import Gateway, issue
from config.testing.studio import StudioInstance
from config.tests.pools.conftest import MakeNodes


async def ask(client: ClientConnection, **message: object) -> dict[str, object]:
    await client.send(json.dumps(message))
    answer: dict[str, object] = json.loads(await client.recv())
    return answer


async def instance_of(client: ClientConnection) -> str:
    return str((await ask(client, type="whoami"))["instance"])


async def open_many(stack: AsyncExitStack, nodes: list[Gateway], count: int) -> list[ClientConnection]:
    """`count` links, spread over the nodes, 50 at a time."""
    turns = asyncio.Semaphore(50)
    token = issue("7")

    async def one(number: int) -> ClientConnection:
        async with turns:
            node = nodes[number % len(nodes)]
            return await stack.enter_async_context(
                node.connect(node.url("/ws", token=token), open_timeout=20)
            )

    return list(await asyncio.gather(*map(one, range(count))))


@pytest.mark.parametrize("policy", ["least_connections", "round_robin"])
async def test_a_thousand_links_are_spread_within_ten_percent(make_nodes: MakeNodes, policy: str) -> None:
    nodes = make_nodes(2, STUDIO_POLICY=policy)
    async with asyncio.timeout(45), AsyncExitStack() as stack:
        clients = await open_many(stack, nodes, 1000)
        held = Counter(await asyncio.gather(*map(instance_of, clients)))
    fair = 1000 / 3
    assert sorted(held) == ["studio-1", "studio-2", "studio-3"]
    assert all(abs(links - fair) <= fair * 0.1 for links in held.values()), held


async def test_with_affinity_a_user_stays_on_one_member_on_every_node(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(2, STUDIO_POLICY="affinity")
    homes = set()
    async with asyncio.timeout(30):
        for user in map(str, range(12)):
            seen = set()
            for node in nodes * 2:
                async with node.connect(node.url("/websocket", token=issue(user))) as client:
                    seen.add(await instance_of(client))
            assert len(seen) == 1
            homes |= seen
    assert len(homes) > 1


async def test_the_instance_is_told_who_the_client_is_and_nobody_can_lie(make_nodes: MakeNodes) -> None:
    (node,) = make_nodes(1)
    url = node.url("/ws", token=issue("user é 7"), user_id="admin", color="blue")
    lies = {
        "X-User-Id": "admin",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Request-Id": "lie",
    }
    async with asyncio.timeout(20), node.connect(url, additional_headers=lies) as client:
        told = await ask(client, type="whoami")
        assert await ask(client, type="heartbeat") == {"type": "ack"}
        assert (await ask(client, type="hello", n=1))["message"] == {"type": "hello", "n": 1}
    assert told["path"] == "/ws"
    query = told["query"]
    assert isinstance(query, list)
    assert sorted(map(tuple, query)) == [
        ("color", "blue"),
        ("experience", "wylding-woods"),
        ("user_id", "user é 7"),
    ]
    headers = told["headers"]
    assert isinstance(headers, dict)
    assert headers["x-user-id"] == "user%20%C3%A9%207"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == f"127.0.0.1:{node.port}"
    assert headers["x-request-id"] != "lie"


async def test_the_instance_is_told_what_a_trusted_proxy_says_as_far_as_it_can_be_true(
    make_nodes: MakeNodes,
) -> None:
    (node,) = make_nodes(1, TRUSTED_PROXIES="127.0.0.1", ALLOWED_HOSTS="127.0.0.1,play.example")
    url = node.url("/ws", token=issue())
    said = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Host": "play.example",
        "X-Forwarded-Proto": "https",
    }
    async with asyncio.timeout(20), node.connect(url, additional_headers=said) as client:
        headers = (await ask(client, type="whoami"))["headers"]
    assert isinstance(headers, dict)
    assert {name: headers[name.lower()] for name in said} == said

    with pytest.raises(InvalidStatus) as refused:
        async with node.connect(url, additional_headers={**said, "X-Forwarded-Host": "evil.example"}):
            pass
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body)["code"] == "host_refused"


async def test_a_dead_instance_is_never_noticed_by_new_clients(
    make_nodes: MakeNodes, studios: list[StudioInstance]
) -> None:
    nodes = make_nodes(2)
    studios[0].program.kill()
    async with asyncio.timeout(40), AsyncExitStack() as stack:
        clients = await open_many(stack, nodes, 60)
        held = Counter(await asyncio.gather(*map(instance_of, clients)))
        assert set(held) == {"studio-2", "studio-3"}
        studios[0].start()
        while "studio-1" not in held:
            async with nodes[0].connect(nodes[0].url("/ws")) as client:
                held[await instance_of(client)] += 1


async def test_no_instance_at_all_answers_503(make_nodes: MakeNodes, studios: list[StudioInstance]) -> None:
    (node,) = make_nodes(1)
    for instance in studios:
        instance.program.kill()
    async with asyncio.timeout(20):
        with pytest.raises(InvalidStatus) as refused:
            async with node.connect(node.url("/ws")):
                pass
    assert refused.value.response.status_code == 503
    assert "Retry-After" in refused.value.response.headers


async def test_without_members_the_route_answers_503(make_nodes: MakeNodes) -> None:
    (node,) = make_nodes(1, STUDIO_WS_URLS="")
    async with asyncio.timeout(20):
        with pytest.raises(InvalidStatus) as refused:
            async with node.connect(node.url("/socket.io/")):
                pass
    assert refused.value.response.status_code == 503

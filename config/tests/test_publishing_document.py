"""docs/publishing.md: each of its ways reaches clients of a running gateway, on every topic that it lists."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from types import ModuleType
from typing import Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.testing.starts import run
from config.tests.conftest import MakeGateway
from proxy.core.topics import check_topic, group_name
from proxy.registry import topic_kinds

DOCUMENT = documents.read("publishing.md")
EXAMPLES = {example.kind: example.text for example in examples(DOCUMENT) if example.kind}
EVENT = {"type": "quest.updated", "quest": 7}


@pytest.fixture
def valkey(own_valkey: ValkeyServer) -> ValkeyServer:
    """One node at a time ships what transactions publish: no other installation's may be here."""
    return own_valkey


@pytest.fixture
def gateway(make_gateway: MakeGateway, valkey: ValkeyServer) -> Gateway:
    return make_gateway(REDIS_URL=valkey.url)


@pytest.fixture
def outside(valkey: ValkeyServer) -> Any:
    """What the example for another project defines; its database is not the gateway's: no matter."""
    names: dict[str, Any] = {}
    text = EXAMPLES["outside"]
    assert "redis://127.0.0.1:6379" in text
    exec(
        compile(
            text.replace("redis://127.0.0.1:6379", f"redis://127.0.0.1:{valkey.port}/3"),
            "publishing.md",
            "exec",
        ),
        names,
    )
    yield names
    names["gateway"].close()


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("inside", ""),
        ("now", "1 on 1"),
        ("shell", "published to user:ada: 1 link on 1 node took it"),
    ],
)
async def test_an_event_from_the_project_reaches_the_user(gateway: Gateway, way: str, says: str) -> None:
    words = shlex.split(EXAMPLES[way])[2:] if way == "shell" else ["shell", "-v0", "-c", EXAMPLES[way]]
    url = gateway.url(token=issue("ada"))
    async with gateway.serving(wait), asyncio.timeout(40):
        await gateway.wait_until_ready(redis=True)
        async with gateway.connect(url) as client:
            said = await asyncio.to_thread(gateway.manage, *words)
            assert json.loads(await client.recv()) == EVENT
            assert said.stdout.strip() == says


async def test_an_event_over_http_reaches_the_user_once_however_often_it_is_sent(gateway: Gateway) -> None:
    async with gateway.serving(wait), asyncio.timeout(40):
        await gateway.wait_until_ready(redis=True)
        key = gateway.manage(*shlex.split(EXAMPLES["key"])[2:]).stdout.strip()
        curl = (
            EXAMPLES["curl"]
            .replace("curl ", "curl -s ")
            .replace("https://gateway.example.com", f"http://127.0.0.1:{gateway.port}")
        )
        async with gateway.connect(gateway.url(token=issue("ada"))) as client:
            for _ in range(2):
                said = await asyncio.to_thread(run, ["bash", "-c", curl], env={"KEY": key})
                assert json.loads(said.stdout) == {"nodes": 1, "links": 1}
            await asyncio.to_thread(gateway.manage, "publish", "user:ada", '{"type": "last"}')
            assert [json.loads(await client.recv()) for _ in range(2)] == [EVENT, {"type": "last"}]


async def test_a_task_that_is_tried_twice_publishes_once(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery itself is not here: its decorator is left out, and the task called as it would call it."""
    celery = ModuleType("celery")
    celery.shared_task = lambda **_: lambda task: task  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "celery", celery)
    names: dict[str, Any] = {}
    at = f"http://127.0.0.1:{gateway.port}"
    exec(EXAMPLES["celery"].replace("https://gateway.example.com", at), names)
    async with gateway.serving(wait), asyncio.timeout(40):
        await gateway.wait_until_ready(redis=True)
        key = gateway.manage("issue_api_key", "shop", "--publish", "user:*").stdout.strip()
        monkeypatch.setenv("GATEWAY_KEY", key)
        async with gateway.connect(gateway.url(token=issue("ada"))) as client:
            for event in (EVENT, EVENT, {"type": "last"}):
                name = "last" if event is not EVENT else "quest-7-done"
                assert await asyncio.to_thread(names["tell"], "user:ada", event, name) == 1
            assert [json.loads(await client.recv()) for _ in range(2)] == [EVENT, {"type": "last"}]


async def test_who_is_connected_is_listed_and_kicked_over_http(gateway: Gateway) -> None:
    async with gateway.serving(wait), asyncio.timeout(40):
        await gateway.wait_until_ready(redis=True)
        key = gateway.manage("issue_api_key", "staff", "--kick", "--connections").stdout.strip()
        by = {"Authorization": f"Api-Key {key}"}
        at = f"http://127.0.0.1:{gateway.port}/api"
        async with gateway.connect(gateway.url(token=issue("ada"))) as client, httpx.AsyncClient() as http:
            await gateway.wait_for_records("closed_at IS NULL")
            (link,) = (await http.get(f"{at}/connections?user=ada", headers=by)).json()["results"]
            asked = {"connection_ids": [link["id"]], "reason": "Please restart"}
            answer = await http.post(f"{at}/kick", json=asked, headers=by)
            assert answer.json() == {"ended": 1, "silent": 0}
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4001, "Please restart")


@pytest.mark.parametrize("user", ["ada", "ada@example.com", "Ädä", "a" * 65, "a:b"])
async def test_an_event_from_another_project_reaches_every_topic_of_a_client(
    gateway: Gateway, outside: dict[str, Any], user: str
) -> None:
    url = gateway.url(token=issue(user))
    async with gateway.serving(wait), asyncio.timeout(40):
        await gateway.wait_until_ready(redis=True)
        async with gateway.connect(url) as client:
            (row,) = await gateway.wait_for_records("closed_at IS NULL")
            for topic in (f"user:{user}", "experience:wylding-woods", f"connection:{row['id']}", "everyone"):
                assert await asyncio.to_thread(outside["publish"], topic, {"type": topic}) == 1
                assert json.loads(await client.recv()) == {"type": topic}
            assert await asyncio.to_thread(outside["publish"], "user:nobody", EVENT) == 0


@pytest.mark.parametrize(("kind", "code"), [("serve", None), ("daphne", 4909)])
async def test_what_redis_itself_brings_may_be_larger_and_closes_clients_of_a_stock_daphne(
    make_gateway: MakeGateway, valkey: ValkeyServer, outside: dict[str, Any], kind: str, code: int | None
) -> None:
    gateway = make_gateway(kind, REDIS_URL=valkey.url)
    event = {"type": "large", "padding": "x" * (1 << 20)}
    async with gateway.serving(wait) as url, asyncio.timeout(40):
        async with gateway.connect(url) as client:
            await gateway.wait_for_records("closed_at IS NULL")
            await asyncio.to_thread(outside["publish"], "everyone", event)
            if code is None:
                assert json.loads(await client.recv()) == event
            else:
                await client.wait_closed()
                assert client.close_code == code


def test_the_example_names_groups_as_the_gateway_does(outside: dict[str, Any]) -> None:
    for topic in ("everyone", "session:s", "session:a b", "user:.", "user:é", f"connection:{'0' * 32}"):
        assert f"gateway.{outside['group'](topic)}" == group_name(topic)


def test_every_topic_of_the_document_is_one() -> None:
    topics = [topic for topic, _ in table(DOCUMENT, "topic", "who hears it")]
    assert len(topics) == 5
    assert [check_topic(topic, topic_kinds()) for topic in topics] == topics

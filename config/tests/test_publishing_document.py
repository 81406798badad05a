"""docs/publishing.md: each of its ways reaches clients of a running gateway, on every topic that it lists."""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway
from proxy.core.topics import check_topic, group_name
from proxy.registry import topic_kinds

DOCUMENT = documents.read("publishing.md")
EXAMPLES = {example.kind: example.text for example in examples(DOCUMENT) if example.kind}
EVENT = {"type": "quest.updated", "quest": 7}


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


@pytest.mark.parametrize("way", ["inside", "shell"])
async def test_an_event_from_the_project_reaches_the_user(gateway: Gateway, way: str) -> None:
    words = ["shell", "-c", EXAMPLES[way]] if way == "inside" else shlex.split(EXAMPLES[way])[2:]
    url = gateway.url(token=issue("ada"))
    async with gateway.serving(wait), asyncio.timeout(40):
        await gateway.wait_until_ready(redis=True)
        async with gateway.connect(url) as client:
            await asyncio.to_thread(gateway.manage, *words)
            assert json.loads(await client.recv()) == EVENT


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


@pytest.mark.parametrize(("kind", "code"), [("serve", None), ("daphne", 1008)])
async def test_an_event_larger_than_the_outbox_closes_clients_of_a_relay(
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
                assert client.close_code in {code, 4900 + code - 1000}


def test_the_example_names_groups_as_the_gateway_does(outside: dict[str, Any]) -> None:
    for topic in ("everyone", "session:s", "session:a b", "user:.", "user:é", f"connection:{'0' * 32}"):
        assert f"gateway.{outside['group'](topic)}" == group_name(topic)


def test_every_topic_of_the_document_is_one() -> None:
    topics = [topic for topic, _ in table(DOCUMENT, "topic", "who hears it")]
    assert len(topics) == 4
    assert [check_topic(topic, topic_kinds()) for topic in topics] == topics

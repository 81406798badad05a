"""examples/sessions/agent.py, as `make run` starts it: watched through a gateway."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import urllib.request

from websockets.asyncio.client import connect

from config.testing.plugin import Spawn
from config.testing.program import free_port
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway
from experience.sessions.tests.conftest import refused


async def visit(port: int, path: str) -> str:
    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(fetch)


async def test_it_goes_on_when_its_redis_is_back(
    make_gateway: MakeGateway, own_valkey: ValkeyServer, spawn: Spawn
) -> None:
    gateway, port = make_gateway("serve", REDIS_URL=own_valkey.url), free_port()
    env = {"REDIS_URL": own_valkey.url, "GATEWAY_PORT": str(gateway.port)}
    agent = spawn([sys.executable, "examples/sessions/agent.py", "--port", str(port)], name="agent", env=env)
    agent.wait_for_port(port)
    async with asyncio.timeout(50), connect((await visit(port, "/new")).strip(), proxy=None) as client:
        assert json.loads(await client.recv())["type"] == "word"
        own_valkey.kill()
        await asyncio.to_thread(own_valkey.start)
        while json.loads(await client.recv())["type"] != "gateway.resync":
            pass
        while json.loads(await client.recv())["type"] != "answer":  # it may not listen yet
            await client.send('{"type":"say","text":"still there?"}')


async def test_it_streams_to_who_watches_answers_them_and_lets_one_in(
    make_gateway: MakeGateway, valkey: ValkeyServer, spawn: Spawn
) -> None:
    gateway, port = make_gateway("serve", REDIS_URL=valkey.url), free_port()
    env = {"REDIS_URL": valkey.url, "GATEWAY_PORT": str(gateway.port)}
    agent = spawn([sys.executable, "examples/sessions/agent.py", "--port", str(port)], name="agent", env=env)
    agent.wait_for_port(port)
    async with asyncio.timeout(30):
        url = (await visit(port, "/new")).strip()
        async with connect(url, proxy=None) as client:
            words = [json.loads(await client.recv())["word"] for _ in range(3)]
            assert (
                " ".join(words) in "An agent says a word at a time, and who watches reads it as it comes. An"
            )
            await client.send('{"type":"say","text":"hello"}')
            while (heard := json.loads(await client.recv()))["type"] != "answer":
                assert heard["type"] == "word"
            assert heard["to"] == {"type": "say", "text": "hello"}
            await refused(gateway, connect(url, proxy=None), status=401, code="authentication_failed")
        _, metrics = await gateway.get("/metrics")
        assert re.search(r"^sessions_message_latency_seconds_count [1-9]", metrics, re.MULTILINE)
        page = await visit(port, "/")
        shown = re.search(r'WebSocket\("(.+?)"\)', page)
        assert shown is not None
        async with connect(shown[1], proxy=None) as client:
            assert json.loads(await client.recv())["type"] == "word"

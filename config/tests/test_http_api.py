"""The HTTP API of a running gateway that has no Redis: the same answers, and where keys do not end up."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from contextlib import closing
from http import HTTPStatus

import httpx
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import issue
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway

EVENT = {"type": "quest.updated"}


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def test_without_redis_an_event_is_answered_and_repeated_as_with_it(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    key = gateway.manage("issue_api_key", "shop", "--publish", "*").stdout.strip()
    url = f"http://127.0.0.1:{gateway.port}/api/events"
    once = {"topic": "user:ada", "event": EVENT, "idempotency_key": "1"}
    many = [{"topic": "everyone", "event": {"type": "n", "n": number}} for number in range(300)]
    async with gateway.serving(wait), asyncio.timeout(40), httpx.AsyncClient(timeout=20) as http:
        by = {"Authorization": f"Api-Key {key}"}
        async with gateway.connect(gateway.url(token=issue("ada"))) as client:
            for _ in range(2):
                assert (await http.post(url, json=once, headers=by)).json() == {"nodes": 1, "links": 1}
            assert (await http.post(url, json=many, headers=by)).json() == [{"nodes": 1, "links": 1}] * 300
            assert json.loads(await client.recv()) == EVENT
            assert [json.loads(await client.recv())["n"] for _ in range(300)] == list(range(300))
        nobody = {"topic": "user:bob", "event": EVENT}
        assert (await http.post(url, json=nobody, headers=by)).json() == {"nodes": 0, "links": 0}


def test_an_answer_says_by_which_id_its_line_of_the_log_is_found(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    url = f"http://127.0.0.1:{gateway.port}/api"
    answers = [httpx.get(f"{url}/{path}") for path in ("status", "nothing", "schema")]
    assert [each.status_code for each in answers] == [401, 404, 200]
    for each in answers:
        gateway.program.wait_for_output(each.headers["X-Request-Id"], within_seconds=10)


async def test_calls_that_wait_for_a_frozen_node_keep_no_connection_to_the_database(
    make_gateway: MakeGateway, own_valkey: ValkeyServer, database_url: str
) -> None:
    env = {"DATABASE_URL": database_url, "REDIS_URL": own_valkey.url, "DATABASE_POOL_SIZE": "3"}
    gateway, frozen = make_gateway(**env), make_gateway(**env)
    rights = ("--publish", "*", "--kick", "--connections")
    key = gateway.manage("issue_api_key", "shop", *rights).stdout.strip()
    base, by = f"http://127.0.0.1:{gateway.port}/api", {"Authorization": f"Api-Key {key}"}
    event, nobody = {"topic": "everyone", "event": EVENT}, {"user_ids": ["nobody"]}
    http = httpx.AsyncClient(base_url=base, headers=by, timeout=30)
    async with frozen.serving(wait) as url, asyncio.timeout(80), http, frozen.connect(url):
        frozen.program.send_signal(signal.SIGSTOP)
        answers = await asyncio.gather(
            *(http.post("/events", json=event) for _ in range(8)),
            *(http.post("/kick", json=nobody) for _ in range(4)),
            *(http.get("/presence/everyone") for _ in range(8)),
        )
        assert [each.json() for each in answers if each.status_code != HTTPStatus.OK] == []
        assert all(each.json()["silent"] == 1 for each in answers)


def test_no_api_key_reaches_a_log_a_row_or_a_metric(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(LOG_LEVEL="DEBUG")
    rights = ("--publish", "user:*", "--kick", "--connections")
    key = gateway.manage("issue_api_key", "shop", *rights).stdout.strip()
    secret = key[-43:]
    with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=20) as http:
        for shown in (key, key[:-1], f"{key}x", secret):
            for scheme in ("Api-Key", "Bearer", "Basic"):
                by = {"Authorization": f"{scheme} {shown}"}
                http.post("/api/events", json={"topic": "user:ada", "event": EVENT}, headers=by)
                http.post("/api/events", content="{", headers=by)
                http.post("/api/kick", json={"user_ids": ["nobody"]}, headers=by)
                http.get("/api/connections", params={"key": shown}, headers=by)
        told = http.get("/metrics").text
    gateway.stop()
    with closing(sqlite3.connect(gateway.directory / "gateway.sqlite3")) as database:
        rows = "\n".join(database.iterdump())
    log = gateway.program.output_path.read_text()
    assert "/api/connections" in log
    assert "INSERT INTO" in rows
    for text in (log, rows, told):
        assert secret[:-1] not in text

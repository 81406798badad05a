"""What operators see: health, readiness, metrics, logs without tokens."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.testing.gateway import Gateway, issue


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


async def ready(gateway: Gateway) -> tuple[int, dict[str, Any]]:
    status, body = await gateway.get("/ready")
    return status, json.loads(body)


async def test_health_tells_that_the_process_lives_and_how_late_its_loop_is(gateway: Gateway) -> None:
    status, body = await gateway.get("/health")
    assert status == 200
    assert json.loads(body)["alive"] is True
    assert json.loads(body)["loop_lag_ms"] < 5000


async def test_readiness_names_the_part_that_is_away(gateway: Gateway) -> None:
    async with asyncio.timeout(15):
        async with gateway.serving(echo):
            while not (answer := await ready(gateway))[1]["upstreams"]["kb"] or not answer[1]["ready"]:
                await asyncio.sleep(0.2)
            assert answer[0] == 200
        while (answer := await ready(gateway))[1]["upstreams"]["kb"]:
            await asyncio.sleep(0.2)
    assert answer[0] == 200  # the session service takes sockets without it
    assert (answer[1]["redis"], answer[1]["database"], answer[1]["draining"]) == (True, True, False)


async def test_metrics_count_links_messages_and_refusals(gateway: Gateway) -> None:
    async with gateway.serving(echo) as url, asyncio.timeout(30):
        async with gateway.connect(url) as client:
            await client.send("counted")
            await client.recv()
            status, live = await gateway.get("/metrics")
        counted = 'gateway_websocket_messages_total{direction="out",route="experience"}'
        ended = 'gateway_websocket_closes_total{cause="client_left",route="experience"} '
        while not (counted in (after := (await gateway.get("/metrics"))[1]) and ended in after):
            await asyncio.sleep(0.05)
    assert status == 200
    member = f"ws://127.0.0.1:{gateway.kb_port}/ws/experience"
    assert f'gateway_websocket_connections{{backend="{member}",route="experience"}}' in live
    assert 'gateway_websocket_connections_total{outcome="accepted",route="experience"}' in live
    assert "connections_live" not in live
    assert "gateway_websocket_dial_seconds_bucket" in after


async def test_what_alerts_look_for_is_told_before_it_happens(gateway: Gateway) -> None:
    await gateway.wait_until_ready()  # stock Daphne's node starts when first asked for
    status, told = await gateway.get("/metrics")
    assert status == 200
    for series in (
        'background_crashes_total{work="hub"} 0.0',
        'closes_total{cause="gateway_failed",route="experience"} 0.0',
        'rejections_total{reason="internal_error",route="experience"} 0.0',
        'events_total{outcome="expired",source="waiting"} 0.0',
    ):
        assert f"\ngateway_websocket_{series}\n" in told


async def test_gauges_tell_what_ready_tells(gateway: Gateway) -> None:
    wanted = ('store_connected{store="database"} 1.0', 'store_connected{store="redis"} 1.0')
    async with gateway.serving(echo), asyncio.timeout(15):
        await gateway.wait_until_ready()
        while wanted[0] not in (told := (await gateway.get("/metrics"))[1]) or wanted[1] not in told:
            await asyncio.sleep(0.1)
    told_values = (line.rpartition(" ") for line in told.splitlines() if not line.startswith("#"))
    value = {series: float(number) for series, _, number in told_values}
    assert value["gateway_websocket_draining_seconds"] == 0
    assert value['gateway_websocket_upstream_members{backend="kb"}'] == 1
    assert 10e6 < value["gateway_websocket_resident_bytes"] < 1e9
    assert 0 < value["gateway_websocket_most_connections"] <= 9500


async def test_a_member_that_is_lost_in_mid_link_is_an_error_of_that_member(gateway: Gateway) -> None:
    async def drop(upstream: ServerConnection) -> None:
        upstream.transport.abort()

    async def lost() -> float:
        _, metrics = await gateway.get("/metrics")
        member = f"ws://127.0.0.1:{gateway.kb_port}/ws/experience"
        counted = f'errors_total{{backend="{member}",type="upstream_lost"}} '
        return sum(float(line.partition("} ")[2]) for line in metrics.splitlines() if counted in line)

    before = await lost()
    async with gateway.serving(drop) as url, asyncio.timeout(30):
        async with gateway.connect(url) as client:
            await client.wait_closed()
        while await lost() != before + 1:
            await asyncio.sleep(0.05)


async def test_no_token_reaches_a_log_a_record_or_a_metric(gateway: Gateway) -> None:
    token = issue("a-secret-user", email="secret@example.com")
    signature = token.rpartition(".")[2]
    async with gateway.serving(echo), asyncio.timeout(30):
        for used in (token, token + "x"):
            url = gateway.url(token=used)
            with suppress(InvalidStatus, ConnectionClosed):
                async with gateway.connect(url) as client:
                    await client.send('{"type":"gateway.refresh","token":"' + token + '"}')
                    await client.recv()
        _, metrics = await gateway.get("/metrics")
        await gateway.get(f"/health?token={token}")
        while not gateway.records("user_id = 'a-secret-user' AND closed_at IS NOT NULL"):
            await asyncio.sleep(0.05)
    assert "link opened" in gateway.program.output
    for seen in (gateway.program.output, metrics, str(gateway.records())):
        assert signature not in seen


async def test_a_token_where_none_belongs_is_neither_logged_nor_recorded_nor_said_back(
    gateway: Gateway,
) -> None:
    token = issue("a-careless-user")
    signature = token.rpartition(".")[2]
    async with gateway.serving(echo), asyncio.timeout(30):
        url = gateway.url(token=issue("careful"), experience=f"x.{signature}")
        async with gateway.connect(url, user_agent_header=f"Bearer {token}") as client:
            await client.close(4000, f"x.{signature}")
        if gateway.kind == "serve":  # stock Daphne writes an access log of its own, and says bad headers back
            for path in (f"/%65{token[1:]}", f"/x/{token.replace('.', '%2E')}", f"/x/{token[20:]}"):
                await gateway.get(path)
            for where in ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin"):
                assert signature not in await told_to_a_handshake(gateway, {where: token})
        while not gateway.records("user_id = 'careful' AND closed_at IS NOT NULL"):
            await asyncio.sleep(0.05)
    assert signature not in gateway.program.output
    assert signature not in str(gateway.records())
    record = gateway.records("user_id = 'careful'")[0]
    assert "[redacted]" in record["experience"]
    assert "[redacted]" in record["user_agent"]
    assert gateway.kind == "daphne" or "[redacted]" in record["close_reason"]  # it hears of no reasons


async def told_to_a_handshake(gateway: Gateway, headers: dict[str, str]) -> str:
    """Status line, headers and body with which it is refused."""
    lawful = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{gateway.port}/ws/experience?experience=e"
        answer = await client.get(url, headers=lawful | headers)
    assert answer.status_code >= 400
    return f"{answer.status_code} {answer.headers} {answer.text}"


async def test_the_root_shows_where_to_go(gateway: Gateway) -> None:
    status, body = await gateway.get("/")
    assert status == 200
    for path in ("/admin/", "/health", "/ready"):
        assert f'href="{path}"' in body
    assert "/metrics" not in body  # no METRICS_TOKEN guards them

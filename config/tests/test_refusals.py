"""Refusals as clients see them and as the log tells them, on a running gateway."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus

from config.testing.gateway import Gateway, issue
from config.tests.conftest import MakeGateway

UNITY = "UnityPlayer/2022.3\t" + "x" * 1000


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def refused(gateway: Gateway, *, user: str) -> tuple[int, dict[str, object], str]:
    """Status, body and Retry-After of a refusal."""
    with pytest.raises(InvalidStatus) as error:
        async with gateway.connect(gateway.url(token=issue(user))):
            pass
    response = error.value.response
    return response.status_code, json.loads(response.body or b""), response.headers["Retry-After"]


async def closed(gateway: Gateway, *, user: str) -> tuple[int | None, str]:
    """Code and reason with which a client is closed that asks for `?refuse=close`."""
    async with gateway.connect(gateway.url(token=issue(user), refuse="close")) as client:
        await client.wait_closed()
    return client.close_code, client.close_reason or ""


async def test_a_cap_says_which_bound_it_is_and_when_to_come_back(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(MAX_CONNECTIONS_PER_USER="1")
    async with gateway.serving(wait), asyncio.timeout(20), gateway.connect(gateway.url(token=issue("ada"))):
        status, body, retry_after = await refused(gateway, user="ada")
        assert (status, retry_after) == (429, "5")
        assert body == {
            "code": "too_many",
            "message": "Too many connections of one user: at most 1.",
            "retry_after_ms": 5000,
            "bound": "per_user",
        }
        assert await closed(gateway, user="ada") == (
            4013,
            "too many connections of one user, at most 1; retry in 5000 ms",
        )


async def test_a_rate_says_so_too(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(CONNECT_RATE_PER_IP="2/m")
    async with gateway.serving(wait), asyncio.timeout(20):
        for user in ("ada", "bob"):
            async with gateway.connect(gateway.url(token=issue(user))):
                pass
        status, body, retry_after = await refused(gateway, user="carol")
        assert (status, body["bound"]) == (429, "rate_per_ip")
        assert body["message"] == "Too many new connections of one address: at most 2/m."
        assert 0 < int(str(body["retry_after_ms"])) <= int(retry_after) * 1000
        code, reason = await closed(gateway, user="carol")
    assert code == 4013
    assert re.fullmatch(r"too many new connections of one address, at most 2/m; retry in \d+ ms", reason)


async def test_a_node_that_is_switched_off_names_a_time_as_well(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(WEBSOCKET_ENABLED="false")
    async with asyncio.timeout(20):
        assert await closed(gateway, user="ada") == (4013, "disabled; retry in 30000 ms")


# --- The record -----
async def recorded(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """The rows of refusals, the first first, as soon as they stand for `count`."""
    query = "SELECT * FROM proxy_refusal ORDER BY refused_at"
    while True:
        rows = await asyncio.to_thread(gateway.rows, query)
        if sum(row["times"] for row in rows) >= count:
            return rows
        await asyncio.sleep(0.05)


async def test_each_refusal_is_a_row_by_which_staff_know_who_it_was_and_why(
    make_gateway: MakeGateway,
) -> None:
    gateway = make_gateway()
    expired = issue("ada", minutes=-1, email="ada@example.com")
    async with asyncio.timeout(30):
        request_id = await try_in_vain(gateway, gateway.url(token=expired))
        await try_in_vain(gateway, gateway.url(token=issue("eve", key="another key, which is long enough")))
        await try_in_vain(gateway, gateway.url("/no/such/path"))
        late, forged, lost = await recorded(gateway, 3)
    assert (late["user_id"], late["email"], late["request_id"]) == ("ada", "ada@example.com", request_id)
    assert (late["cause"], late["status"], late["close_code"]) == ("token_expired", 403, 4010)
    assert (late["route"], late["path"], late["client_address"]) == (
        "experience",
        "/ws/experience",
        "127.0.0.1",
    )
    assert late["user_agent"].startswith("UnityPlayer/2022.3\ufffd")
    assert (forged["cause"], forged["user_id"]) == ("token_signature", "")
    assert (lost["cause"], lost["route"], lost["status"]) == ("not_found", "none", 404)
    assert expired.rpartition(".")[2] not in str([late, forged, lost])


async def test_what_the_server_refuses_before_anybody_is_asked_is_a_row_too(
    make_gateway: MakeGateway,
) -> None:
    gateway = make_gateway(MAX_CONNECTIONS="1")
    async with gateway.serving(wait), asyncio.timeout(30), gateway.connect(gateway.url(token=issue("ada"))):
        await refused(gateway, user="bob")
        request_id = await try_in_vain(gateway, gateway.url(token=issue("carol")))
        rows = await recorded(gateway, 2)
    assert request_id in {row["request_id"] for row in rows}
    assert {(row["cause"], row["status"], row["route"], row["user_id"]) for row in rows} == {
        ("overloaded", 503, "none", "")
    }
    assert {(row["client_address"], row["path"]) for row in rows} == {("127.0.0.1", "/ws/experience")}


async def test_a_flood_is_counted_in_a_few_rows(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    async with asyncio.timeout(60):
        for _ in range(30):
            await try_in_vain(gateway, gateway.url(token=None))
        rows = await recorded(gateway, 30)
    assert sum(row["times"] for row in rows) == 30
    assert len(rows) <= 2 * 11, "ten and one a minute; a minute may have ended"


# --- The log -----
async def lines(gateway: Gateway, event: str, count: int = 1) -> list[dict[str, Any]]:
    """The log's lines of `event`, as soon as there are `count`."""
    while True:
        found = [json.loads(line) for line in gateway.program.output.splitlines() if f'"{event}"' in line]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.05)


async def try_in_vain(gateway: Gateway, url: str) -> str:
    """The request id that a refusal tells."""
    with pytest.raises(InvalidStatus) as error:
        async with gateway.connect(url, user_agent_header=UNITY):
            pass
    return error.value.response.headers["X-Request-Id"]


async def test_each_refusal_is_one_line_that_says_who_where_why_and_how_long(
    make_gateway: MakeGateway,
) -> None:
    gateway = make_gateway()
    token = issue("ada")
    async with asyncio.timeout(30):
        request_id = await try_in_vain(gateway, gateway.url(token=token, secret="of the query"))
        (line,) = await lines(gateway, "handshake refused")
    assert (
        line.items()
        >= {
            "request_id": request_id,
            "route": "experience",
            "path": "/ws/experience",
            "client_address": "127.0.0.1",
            "user_id": "ada",
            "status": 503,
            "outcome": "upstream_unavailable",
        }.items()
    )
    assert line["user_agent"].startswith("UnityPlayer/2022.3\ufffd")
    assert line["user_agent"].isprintable()
    assert len(line["user_agent"]) == 200
    assert 0 < line["seconds"] < 20
    assert "of the query" not in gateway.program.output
    assert token.rpartition(".")[2] not in gateway.program.output


async def test_the_log_warns_of_what_is_ours_and_of_bad_tokens_and_of_nothing_else(
    make_gateway: MakeGateway,
) -> None:
    gateway = make_gateway()
    tried = {
        "upstream_unavailable": gateway.url(),
        "bad signature": gateway.url(token=issue(key="somebody else's key, which is long enough")),
        "expired": gateway.url(token=issue(minutes=-1)),
        "missing": gateway.url(token=None),
        "no experience": gateway.url(experience=""),
        "no such path": gateway.url("/no/such/path"),
    }
    async with asyncio.timeout(30):
        for url in tried.values():
            await try_in_vain(gateway, url)
        levels = [line["level"] for line in await lines(gateway, "handshake refused", len(tried))]
    assert dict(zip(tried, levels, strict=True)) == {
        "upstream_unavailable": "warning",
        "bad signature": "warning",
        "expired": "info",
        "missing": "info",
        "no experience": "info",
        "no such path": "info",
    }


@pytest.mark.parametrize("kind", ["serve", "daphne"])
async def test_one_clients_story_can_be_joined_over_all_its_lines(
    make_gateway: MakeGateway, kind: str
) -> None:
    gateway = make_gateway(kind)
    told: list[str] = []

    async def note(upstream: ServerConnection) -> None:
        assert upstream.request is not None
        told.append(upstream.request.headers["X-Request-Id"])
        await upstream.send("hello")
        await upstream.wait_closed()

    async with gateway.serving(note), asyncio.timeout(30):
        async with gateway.connect(gateway.url(token=issue("ada")), user_agent_header=UNITY) as client:
            assert await client.recv() == "hello"
        (opened,), (closed,) = await lines(gateway, "link opened"), await lines(gateway, "link closed")
    shared = ("connection_id", "request_id", "route", "user_id", "client_address")
    assert [opened[name] for name in shared] == [closed[name] for name in shared]
    assert told == [opened["request_id"]]
    assert (opened["path"], opened["user_id"]) == ("/ws/experience", "ada")
    assert len(opened["user_agent"]) == 200
    assert (closed["closed_by"], closed["messages_out"]) == ("client", 1)
    (row,) = await gateway.wait_for_records("closed_at IS NOT NULL")
    assert (row["id"], row["request_id"]) == (closed["connection_id"], closed["request_id"])

"""docs/webhooks.md: its receiver and its tables, on a running gateway."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from websockets.asyncio.server import ServerConnection

from config.testing import documents
from config.testing.gateway import issue
from config.testing.plugin import Spawn
from config.testing.program import Program, free_port
from config.tests.conftest import MakeGateway
from config.tests.test_refusals import try_in_vain
from proxy.core.webhooks import EventType

DOCUMENT = documents.read("webhooks.md")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def bye(upstream: ServerConnection) -> None:
    await upstream.recv()


def receiver(spawn: Spawn, port: int, *, secret: str = SECRET) -> Program:
    argv = [sys.executable, "examples/webhook/receiver.py", "--port", str(port)]
    return spawn(argv, name="receiver", env={"WEBHOOK_SECRET": secret}, ready="^ready$")


async def told(program: Program, *patterns: str) -> list[tuple[str, dict[str, Any]]]:
    """The events that it has printed, once all of these are there."""
    for pattern in patterns:
        await asyncio.to_thread(program.wait_for_output, pattern, within_seconds=30)
    lines = [
        line.partition(" ") for line in program.output.splitlines() if line.startswith(("conn", "member"))
    ]
    return [(kind, json.loads(data)) for kind, _, data in lines]


async def test_the_receiver_of_the_document_hears_of_links_refusals_and_members(
    make_gateway: MakeGateway, spawn: Spawn
) -> None:
    port = free_port()
    program = receiver(spawn, port)
    gateway = make_gateway(
        WEBHOOK_URL=f"http://127.0.0.1:{port}/hook",
        WEBHOOK_SECRET=SECRET,
        STUDIO_WS_URLS=f"ws://127.0.0.1:{free_port()}/ws",
    )
    async with asyncio.timeout(60):
        async with gateway.serving(bye), gateway.connect(gateway.url(token=issue("ada"))) as client:
            await client.send("bye")
            await client.wait_closed()
        request_id = await try_in_vain(gateway, gateway.url(token=issue("bob", minutes=-1)))
        events = await told(program, "connection.closed", "connection.refused", "member.down")
    by_type = dict(events)
    assert by_type["connection.opened"]["user_id"] == "ada"
    assert (
        by_type["connection.closed"].items()
        >= {"user_id": "ada", "closed_by": "upstream", "messages_in": 1}.items()
    )
    assert (
        by_type["connection.refused"].items() >= {"request_id": request_id, "cause": "token_expired"}.items()
    )
    assert by_type["member.down"]["pool"] == "studio"
    assert [kind for kind, _ in events].index("connection.opened") < [kind for kind, _ in events].index(
        "connection.closed"
    )


async def test_what_a_receiver_that_is_away_has_missed_comes_once_and_in_order(
    make_gateway: MakeGateway, spawn: Spawn
) -> None:
    port = free_port()
    gateway = make_gateway(
        WEBHOOK_URL=f"http://127.0.0.1:{port}/", WEBHOOK_SECRET=SECRET, WEBHOOK_EVENTS="connection.refused"
    )
    async with asyncio.timeout(90):
        missed = [await try_in_vain(gateway, gateway.url(f"/no/{number}")) for number in range(3)]
        await asyncio.to_thread(gateway.program.wait_for_output, "webhook: cannot write", within_seconds=30)
        deaf = receiver(
            spawn, port, secret="whsec_" + SECRET[:5:-1]
        )  # it takes nothing that is not signed by its own
        await asyncio.to_thread(
            gateway.program.wait_for_output, "answered 401|cannot write", within_seconds=30
        )
        await asyncio.to_thread(deaf.stop)
        events = await told(receiver(spawn, port), missed[-1])
    assert [data["request_id"] for _, data in events] == missed
    _, told_of = await gateway.get("/metrics")
    assert 'gateway_websocket_webhook_events_total{outcome="delivered"} 3.0' in told_of


def test_the_types_of_the_document_are_those_that_there_are() -> None:
    rows = documents.table(DOCUMENT, "type", "when", "data has")
    assert [row[0] for row in rows] == list(EventType)

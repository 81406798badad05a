"""A chat's messages through a proxy that checks them, both ways: each that is sent is answered by another."""

from __future__ import annotations

import asyncio
import json

from picows import WSFrame

from bench import load, measures
from bench.figures import Figures, Meter, astray
from bench.running import Running

TEXT = "Shall we meet at the station at six, or is that too early for you? "
SEND = json.dumps(
    {
        "type": "message.send",
        "conversation_id": "0191a3c47f0c",
        "text": TEXT,
        "idempotency_key": "4f1d-000001",
    }
).encode()
STORED = {"id": "0191a3c47f0c.12", "sender_id": "alice", "text": TEXT, "created_at": 1_800_000_000}
CREATED = json.dumps(
    {"type": "message.created", "conversation_id": "0191a3c47f0c", "message": STORED}
).encode()
ANSWER_SECONDS = 10.0


async def sends(running: Running, *, links: int, messages: int) -> Figures:
    """Closed loop: each link sends its next message when the last was answered, after some to warm up."""
    async with load.opened([running.url() for _ in range(links)]) as opened:
        await _exchange(opened, messages // 10)
        await measures.settled(running)
        meter = Meter(running)
        await _exchange(opened, messages)
        return meter.of(messages // links * links) | astray(opened)


async def send_once(running: Running) -> None:
    """One message there, and its answer back; raises TimeoutError."""
    async with load.opened([running.url()], at_once=1) as opened:
        await _exchange(opened, 1)


async def _exchange(links: list[load.Link], messages: int) -> None:
    each = max(1, messages // len(links))
    missing, done = len(links), asyncio.get_running_loop().create_future()

    def go_on(link: load.Link, frame: WSFrame) -> None:
        nonlocal missing
        if bytes(frame.get_payload_as_memoryview()) != CREATED:
            link.disordered += 1
        link.received += 1
        if link.received < each:
            link.send(SEND)
            return
        missing -= 1
        if not missing and not done.done():
            done.set_result(None)

    for link in links:
        link.received = link.sent = 0
        link.on_message = go_on
        link.send(SEND)
    async with asyncio.timeout(ANSWER_SECONDS + messages / 1000):
        await done

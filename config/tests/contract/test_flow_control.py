"""A gigabyte offered to a peer that does not read costs no memory, and arrives once it does."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway

MESSAGE = bytes(range(256)) * 1024
COUNT = 4096  # of 256 KiB: one gigabyte
MOST_GROWTH_KB = 20 * 1024


@pytest.fixture
def patient(make_gateway: MakeGateway, valkey: ValkeyServer) -> Gateway:
    return make_gateway(REDIS_URL=valkey.url, SLOW_CONSUMER_SECONDS="60")


def rss_kb(gateway: Gateway) -> int:
    status = Path(f"/proc/{gateway.program.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def stalled(sent: list[int]) -> None:
    """Until the sender has got no further for half a second: every buffer on the way is full."""
    before = -1
    while sent[0] != before:
        before = sent[0]
        await asyncio.sleep(0.5)
    assert before < COUNT


@pytest.mark.parametrize("direction", ["down", "up"])
async def test_a_gigabyte_for_a_reader_that_sleeps_keeps_memory_flat_and_arrives_whole(
    patient: Gateway, direction: str
) -> None:
    sent, digest, wake = [0], hashlib.blake2b(), asyncio.Event()

    async def send_all(socket: object) -> None:
        for _ in range(COUNT):
            await socket.send(MESSAGE)  # type: ignore[attr-defined]
            sent[0] += 1

    async def read_all(socket: object) -> None:
        await wake.wait()
        for _ in range(COUNT):
            digest.update(await socket.recv())  # type: ignore[attr-defined]

    async def upstream(connection: ServerConnection) -> None:
        await (send_all(connection) if direction == "down" else read_all(connection))
        await connection.send("done")

    options = {"max_queue": 4, "ping_interval": None}
    async with patient.serving(upstream, **options) as url, asyncio.timeout(55):
        async with patient.connect(url, **options) as client:
            before_kb = rss_kb(patient)
            working = asyncio.create_task(read_all(client) if direction == "down" else send_all(client))
            await stalled(sent)
            stalled_kb = rss_kb(patient)
            wake.set()
            await working
            assert await client.recv() == "done"
            assert stalled_kb - before_kb < MOST_GROWTH_KB
            assert rss_kb(patient) - before_kb < MOST_GROWTH_KB
    expected = hashlib.blake2b()
    for _ in range(COUNT):
        expected.update(MESSAGE)
    assert digest.digest() == expected.digest()

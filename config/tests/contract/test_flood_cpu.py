"""What clients that go far beyond their rate cost the node: its CPU is bounded however fast they send."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from config.testing.gateway import Gateway, issue
from config.testing.program import free_port
from config.tests.conftest import MakeGateway
from config.tests.contract.test_floods import upgrade_request
from proxy.core.wire.framing import encode_frame
from proxy.core.wire.headers import BINARY, TEXT

pytestmark = pytest.mark.alone

logger = logging.getLogger(__name__)

MASK = b"\x01\x02\x03\x04"
SECONDS = 2.0
# 1 to 12 % beside other work, most of it for what the rate lets through. Before what is dropped was bounded,
# it was all that the flooding programs left.
MOST_SHARE = 0.35
LINKS_OF_A_USER = 5
FLOODS = {
    "empty": encode_frame(TEXT, b"", mask=MASK),
    "short": encode_frame(TEXT, b'{"type":"x"}', mask=MASK),
    "big": encode_frame(BINARY, bytes(65_536), mask=MASK),
}


def cpu_seconds(pid: int) -> float:
    """What the process has used so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def node(make_gateway: MakeGateway) -> Gateway:
    return make_gateway(
        STUDIO_WS_URLS=f"ws://127.0.0.1:{free_port()}",
        STUDIO_PROBE="none",
        CONNECT_RATE_PER_IP="1000/s",
    )


@asynccontextmanager
async def sink(node: Gateway) -> AsyncIterator[None]:
    """A service that takes whatever comes."""

    async def take(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    port = int(node.env["STUDIO_WS_URLS"].rpartition(":")[2])
    async with serve(take, "127.0.0.1", port, compression=None):
        yield


def flood(node: Gateway, frame: bytes, *, user: str, all_in: threading.Barrier) -> None:
    """Be let in, wait until all are, and send as fast as it goes."""
    path = node.url("/ws", token=issue(user)).partition(str(node.port))[2]
    left = chunk = memoryview(frame * (1 + 500_000 // len(frame)))
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as raw:
        raw.sendall(upgrade_request(path))
        assert raw.recv(4096).startswith(b"HTTP/1.1 101")
        all_in.wait(20)
        until = time.monotonic() + SECONDS
        raw.settimeout(0.5)
        while time.monotonic() < until:
            with suppress(TimeoutError):
                left = left[raw.send(left) :] or chunk


async def cpu_share(node: Gateway, frame: bytes, links: int) -> float:
    """How much of one processor the node uses while so many links flood, five of them a user's."""
    all_in = threading.Barrier(links + 1)
    async with sink(node), asyncio.TaskGroup() as floods:
        for number in range(links):
            user = f"flooder-{number // LINKS_OF_A_USER}"
            ends = partial(flood, node, frame, user=user, all_in=all_in)
            floods.create_task(asyncio.to_thread(ends), name=f"flood:{number}")
        await asyncio.to_thread(all_in.wait, 20)
        pid, began = node.program.pid, time.monotonic()
        before = cpu_seconds(pid)
        await asyncio.sleep(SECONDS)
        share = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    logger.info("%d links: %.0f %% of a processor", links, share * 100)
    return share


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("links", [1, 10, 30])
async def test_floods_of_what_is_dropped_cost_a_bounded_share_of_a_processor(
    node: Gateway, frame: bytes, links: int
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(links + 4))
    async with asyncio.timeout(50):
        assert await cpu_share(node, frame, links) < MOST_SHARE

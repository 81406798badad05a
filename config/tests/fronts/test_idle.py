"""A silent socket lives behind each proxy for as long as the gateway lets it."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from config.testing.plugin import Spawn
from config.testing.program import free_port
from config.testing.servers import ValkeyServer
from config.tests.fronts.conftest import KINDS, Stack, in_front, nodes_of

# The gateway pings after 25 seconds: a proxy that waits for 30 has heard that, if a socket is there after 34.
PATIENCE_SECONDS, IDLE_SECONDS = 30, 34
TIMEOUTS = re.compile(r"(timeout (?:client|server|tunnel)|proxy_(?:read|send)_timeout) 60s")


def less_patient(conf: str) -> str:
    return TIMEOUTS.sub(rf"\1 {PATIENCE_SECONDS}s", conf)


async def close_of_a_silent_client(stack: Stack) -> tuple[int | None, str | None]:
    async with stack.connect() as client:
        await client.wait_closed()
        return client.close_code, client.close_reason


@pytest.mark.parametrize("names", [[name for name in KINDS if KINDS[name][1].exists()]], ids=["all"])
async def test_the_gateway_ends_what_is_idle_and_no_proxy_before_it(
    names: list[str], tmp_path: Path, valkey: ValkeyServer, spawn: Spawn
) -> None:
    """Each proxy that is here, side by side, before the same nodes."""
    port = free_port()
    spawn([sys.executable, "-m", "config.testing.echo", str(port)], name="studio").wait_for_port(port)
    nodes = nodes_of(
        tmp_path, valkey, STUDIO_WS_URLS=f"ws://127.0.0.1:{port}", WS_TIMEOUT_SECONDS=str(IDLE_SECONDS)
    )
    with ExitStack() as ends:
        for node in nodes:
            ends.callback(node.program.kill)
        await asyncio.gather(*(node.start() for node in nodes))
        silent = []
        for name in names:
            directory = tmp_path / name
            directory.mkdir()
            front = ends.enter_context(in_front(name, directory, nodes, edit=less_patient))
            silent.append(close_of_a_silent_client(Stack(front, nodes)))
        async with asyncio.timeout(60):
            closes = await asyncio.gather(*silent)

    assert {code for code, _ in closes} == {4008}

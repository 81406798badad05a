"""Whom HAProxy asks: gateways that say they are ready, and all of them where none does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from config.testing.players import waited_for
from config.testing.proxies import HAPROXY
from config.testing.servers import ValkeyServer
from config.tests.fronts.conftest import Stack, in_front, needs, nodes_of

pytestmark = [needs(HAPROXY, "haproxy"), pytest.mark.long]
NO_DATABASE = "postgres://gateway@127.0.0.1:1/none"


@asynccontextmanager
async def started(directory: Path, valkey: ValkeyServer, **env: str) -> AsyncIterator[Stack]:
    """HAProxy before two nodes with these settings."""
    nodes = nodes_of(directory, valkey, **env)
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        with in_front("haproxy", directory, nodes) as front:
            yield Stack(front, nodes)
    finally:
        for node in nodes:
            node.program.kill()


async def asked(stack: Stack) -> str:
    """The backend and server that answered `/health`; "" when it took too long."""
    before = len(answers(stack))

    async def is_logged() -> bool:
        return len(answers(stack)) > before

    try:
        async with httpx.AsyncClient(verify=stack.front.trust, timeout=1) as browser:
            answer = await browser.get(f"https://{stack.front.host}/health")
    except httpx.ReadTimeout:
        return ""
    assert answer.status_code == 200
    await waited_for(is_logged, within_seconds=5)  # which comes behind the answer
    return answers(stack)[-1]


def answers(stack: Stack) -> list[str]:
    """Who has answered `/health` until now, as HAProxy logs it."""
    lines = [line for line in stack.front.access_log.splitlines() if '"GET /health" 200 ' in line]
    return [line.split('" 200 ')[1].split(" ")[2] for line in lines]


async def test_where_none_is_ready_all_are_asked(tmp_path: Path, valkey: ValkeyServer) -> None:
    """Their database has never been there, so /ready of both is 503; what needs none of it goes on."""
    async with started(tmp_path, valkey, DATABASE_URL=NO_DATABASE) as stack:

        async def as_they_are() -> bool:
            return (await asked(stack)).startswith("gateways-as-they-are/")

        await waited_for(as_they_are, within_seconds=15)
        each = {f"gateways-as-they-are/gateway-{number}" for number in (1, 2)}
        assert {await asked(stack) for _ in range(4)} == each


async def test_a_frozen_node_is_left_out_until_it_is_back(tmp_path: Path, valkey: ValkeyServer) -> None:
    async with started(tmp_path, valkey) as stack:
        frozen = stack.nodes[0].program

        async def is_left_out() -> bool:
            return {await asked(stack) for _ in range(4)} == {"gateways-ready/gateway-2"}

        async def is_back() -> bool:
            return await asked(stack) == "gateways-ready/gateway-1"

        await waited_for(is_back, within_seconds=15)
        frozen.send_signal(signal.SIGSTOP)
        await waited_for(is_left_out, within_seconds=40)
        frozen.send_signal(signal.SIGCONT)
        await waited_for(is_back, within_seconds=15)

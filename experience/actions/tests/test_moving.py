"""Clients of `/ws/experience` moved to the session service and back, as docs/migrating-to-v2.md has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from experience.actions.share import place_of
from experience.actions.tests.conftest import StartGateway
from experience.kb.tests.serving import KbProgram, issue

pytestmark = pytest.mark.timeout(90)
V1, V2 = "experience", "experience-v2"


def users(prefix: str) -> Iterator[tuple[str, float]]:
    """Users that nobody was before, with their places."""
    for number in range(1_000):
        name = f"{prefix}-{number}"
        yield name, place_of(name)


async def version(url: str) -> int:
    """What a client reads of its game there."""
    async with connect(url, proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "connected"
        await socket.send('{"type":"get_state","request_id":"r"}')
        state: dict[str, Any] = json.loads(await socket.recv())
        return int(state["version"])


async def test_a_share_of_the_users_is_moved_and_a_claim_moves_one_and_all_go_back(
    gateway_before: StartGateway, kb: KbProgram, user_id: str
) -> None:
    low = next(name for name, place in users(user_id) if place < 40)
    high = next(name for name, place in users(user_id) if place > 60)
    tokens = [issue(low), issue(high), issue(low, new=False), issue(high, new=True), issue(high, new="yes")]
    routes = list[list[str]]()
    for share in ("50", "0"):
        async with (
            asyncio.timeout(60),
            gateway_before(kb.address, V2_SHARE=share, V2_CLAIM="new") as gateway,
        ):
            for token in tokens:
                assert await version(gateway.url("/ws/experience", token=token)) == 0
            await version(gateway.url("/ws/v2/experience", token=tokens[1]))
            records = await gateway.wait_for_records("closed_at IS NOT NULL", count=6 * (len(routes) + 1))
        routes.append([record["route"] for record in records][-6:])
    assert routes == [[V2, V1, V1, V2, V1, V2], [V1, V1, V1, V2, V1, V2]]


async def test_a_token_that_is_made_up_is_refused_wherever_it_wants_to_go(
    gateway_before: StartGateway, kb: KbProgram, user_id: str
) -> None:
    async with asyncio.timeout(60), gateway_before(kb.address, V2_CLAIM="new") as gateway:
        for token in (issue(user_id, key="f" * 64, new=True), issue(user_id, key="f" * 64), "x.y.z", "x"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(gateway.url("/ws/experience", token=token), proxy=None)
            assert refused.value.response.status_code == 403

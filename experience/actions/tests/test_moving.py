"""Clients of `/ws/experience` moved to the session service and back, as docs/migrating-to-v2.md has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from experience.actions.share import place_of
from experience.actions.tests.conftest import StartGateway
from experience.actions.tests.test_route import restart
from experience.kb.tests.serving import KbProgram, issue, running_kb

pytestmark = pytest.mark.timeout(90)
V1, V2 = "experience", "experience-v2"


@pytest.fixture
def own_kb(kb_environment: dict[str, str], tmp_path: Path) -> Iterator[KbProgram]:
    with running_kb(tmp_path, kb_environment) as kb:
        yield kb


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


async def test_while_the_kb_goes_and_is_away_those_who_were_moved_stay_and_the_others_are_told_to_wait(
    gateway_before: StartGateway, own_kb: KbProgram, user_id: str
) -> None:
    """The KB is a pool of one, which nobody can drain but by ending it: a row that says so is none of it."""
    moved = issue(next(name for name, place in users(user_id) if place < 50))
    stays = issue(next(name for name, place in users(user_id) if place > 50))
    env = {"V2_SHARE": "50", "KB_ACTION_SECONDS": "15", "KB_PROBE": "websocket", "KB_PROBE_SECONDS": "1"}
    async with asyncio.timeout(80), gateway_before(own_kb.address, **env) as gateway:
        url = f"ws://{own_kb.address}/ws/experience"
        row = f"PoolMember.objects.create(pool='kb', url='{url}', draining=True)"
        script = f"from proxy.models import PoolMember; {row}"
        await asyncio.to_thread(gateway.manage, "shell", "-v0", "-c", script)
        here, there = (gateway.url("/ws/experience", token=token) for token in (stays, moved))
        async with connect(here, proxy=None) as kept, connect(there, proxy=None) as held:
            assert [await told(each) for each in (kept, held)] == ["connected"] * 2
            await asyncio.to_thread(own_kb.stop)
            with pytest.raises(ConnectionClosed) as closed:
                await kept.recv()
            assert (closed.value.rcvd and closed.value.rcvd.code) == 1001
            with pytest.raises(InvalidStatus) as refused:
                await connect(here, proxy=None)
            assert refused.value.response.status_code == 503
            assert int(refused.value.response.headers["Retry-After"]) >= 1
            async with connect(there, proxy=None) as late:  # who is moved may even come meanwhile
                assert await told(late) == "connected"
                for each in (held, late):
                    await each.send('{"type":"get_state"}')
                ready = await gateway.wait_until_ready(upstreams={"kb": False, "chat": False})
                await asyncio.to_thread(restart, own_kb)
                assert [await told(each) for each in (held, late)] == ["state"] * 2
            await gateway.wait_until_ready(upstreams={"kb": True, "chat": True})
            assert await version(here) == 0
    assert ready["ready"], "the session service and sessions are served all the same"


async def told(socket: ClientConnection) -> str:
    """The type of the next message."""
    return str(json.loads(await socket.recv())["type"])

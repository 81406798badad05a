"""A relayed link does not keep the loop to itself, however much one of its ends says at once."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.engine.links.relay import _TURN_MESSAGES, Relay
from proxy.engine.links.tests.splicing import terms, until
from proxy.engine.links.tests.test_relay_policy import ScriptedLeg

TURNS = 10


@pytest.mark.parametrize("speaker", [ClosedBy.CLIENT, ClosedBy.UPSTREAM])
async def test_others_have_a_turn_after_every_few_messages(speaker: ClosedBy) -> None:
    turn, heard_in = 0, []

    class Noting(ScriptedLeg):
        async def send(self, message: str | bytes) -> None:
            heard_in.append(turn)

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    said = ["x"] * _TURN_MESSAGES * TURNS
    client, service = (
        ScriptedLeg(*said, close=None, by=by) if by is speaker else Noting(close=None, by=by)
        for by in (ClosedBy.CLIENT, ClosedBy.UPSTREAM)
    )
    relay = Relay(client, service, terms())
    running, counting = asyncio.create_task(relay.run()), asyncio.create_task(others())
    async with asyncio.timeout(30):
        await until(lambda: len(heard_in) == len(said))
        relay.end(closes.NORMAL, ClosedBy.GATEWAY)
        await running
    counting.cancel()
    assert TURNS - 1 <= heard_in[-1] - heard_in[0] <= TURNS + 1

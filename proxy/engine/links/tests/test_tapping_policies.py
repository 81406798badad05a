"""Looking on at a link whose policy or rate keeps messages back: they are counted, and not shown."""

from __future__ import annotations

import asyncio

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.limits import MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGates
from proxy.core.policies import FORWARD, Policy, Verdict
from proxy.core.tapping import Direction
from proxy.engine.links import tapping
from proxy.engine.links.relay import Relay
from proxy.engine.links.tests.splicing import client_of, echo, gateway_to, on_both_loops, terms, until
from proxy.engine.links.tests.test_relay_policy import ScriptedLeg
from proxy.engine.links.tests.test_tapping import Seen, tapped


class Censor(Policy):
    """Keeps back what says so; answers that, and closes at `close`."""

    def _judged(self, payload: bytes) -> Verdict:
        if b"close" in payload:
            return Verdict(forward=True, close=closes.NORMAL)
        return Verdict(forward=False, reply="no") if b"secret" in payload else FORWARD

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self._judged(payload)

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self._judged(payload.replace(b"loud", b"secret"))


@on_both_loops
async def test_what_a_policy_keeps_back_is_counted_either_way_and_not_shown() -> None:
    async with gateway_to(echo, policy=Censor()) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        tap = tapped(splice)
        for said, kept_back in (("a secret", 1), ("loud", 2), ("fine", 2)):
            await client.send(said)
            await until(lambda least=kept_back: tap.kept_back == least)  # type: ignore[misc]
        seen, lines = Seen(tap), list[tuple[str, str, str]]()
        while ("out", "text", "fine") not in lines:
            lines = await seen.lines_of(len(seen.lines) + 1)
        assert [(way, text) for way, _, text in lines if text != "no"] == [
            ("in", "loud"),
            ("in", "fine"),
            ("out", "fine"),
        ]
        for way in Direction:
            tap._eyes[way].frames(bytes(tapping.MOST_WAITING_BYTES + 1))
        await until(lambda: not any(eye._is_lost for eye in tap._eyes.values()))
        assert tap.left_out == 0, "what was kept back was not too much"
        await client.send("close")
        await client.wait_closed()
        assert tap.kept_back == 3


async def test_what_relays_keep_back_for_policy_or_rate_is_counted_likewise() -> None:
    gate = MessageGates(MessageLimits(messages_per_connection=Rate(2, 3600), over=OverRate.DROP)).open("7")
    client = ScriptedLeg("a secret", "fine", "dropped", close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg("loud", close=None, by=ClosedBy.UPSTREAM)
    relay = Relay(client, service, terms(policy=Censor(), gate=gate))
    async with asyncio.timeout(30):
        tap = tapped(relay)
        running = asyncio.create_task(relay.run())
        await until(lambda: tap.unseen == {"left_out": 0, "dropped": 1, "kept_back": 2})
        tap._eyes[Direction.IN].frames(bytes(tapping.MOST_WAITING_BYTES + 1))
        await until(lambda: not tap._eyes[Direction.IN]._is_lost)
        assert tap.left_out == 0
        assert service.heard == ["no", "fine"]
        relay.end(closes.NORMAL, ClosedBy.GATEWAY)
        await running

"""What others publish to a stream of JetStream, on two nodes that share nothing else."""

from __future__ import annotations

import asyncio
import json
import math
import signal
from collections.abc import Sequence
from pathlib import Path

import nats.errors
import nats.js
import nats.js.errors
import pytest

from config.testing.gateway import Gateway
from config.testing.servers import JetStreamServer
from config.tests.contract.joined import LEFT_OPEN, WOODS, heard, joined, publishing, two_nodes
from proxy.bridges.jetstream import SILENCE_SECONDS

pytestmark = [pytest.mark.timeout(120), LEFT_OPEN]
SUBJECT = f"world.updates.experience.{WOODS}"
RESYNC = {"type": "gateway.resync", "reason": "events may have been lost"}
LAST_AFTER = 300  # messages that are published once the outage is over


class Numbered:
    """Publishes numbers, each until the stream has taken it; which takes none twice."""

    def __init__(self, jetstream: nats.js.JetStreamContext) -> None:
        self._jetstream = jetstream
        self.taken = 0
        self.most: float = math.inf

    async def publish(self) -> None:
        """Until `most` are taken."""
        while self.taken < self.most:
            event = json.dumps({"type": "moved", "number": self.taken}).encode()
            while not await self._takes(event, self.taken):
                await asyncio.sleep(0.05)
            self.taken += 1
            await asyncio.sleep(0.002)

    async def _takes(self, event: bytes, number: int) -> bool:
        try:
            headers = {"Nats-Msg-Id": str(number)}
            await self._jetstream.publish(SUBJECT, event, timeout=1, headers=headers)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
            return False
        return True


async def break_server(jetstream: JetStreamServer, nodes: Sequence[Gateway], outage: str) -> None:
    """Until every node has noticed."""
    await asyncio.to_thread(getattr(jetstream, outage))
    for node in nodes:
        await asyncio.to_thread(node.program.wait_for_output, "broker is away", within_seconds=20)
    await asyncio.to_thread(jetstream.ensure_running)


async def freeze(node: Gateway) -> None:
    """For longer than it is used to wait for its server."""
    node.program.send_signal(signal.SIGSTOP)
    await asyncio.sleep(SILENCE_SECONDS + 2)
    node.program.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("outage", ["kill", "freeze", "freeze a node"])
async def test_nothing_is_lost_or_doubled_whoever_is_away(
    tmp_path: Path, jetstream: JetStreamServer, outage: str
) -> None:
    async with asyncio.timeout(100), publishing(jetstream.url) as publisher:
        context = publisher.jetstream()
        await context.add_stream(name="WORLD", subjects=["world.>"])
        with two_nodes(tmp_path, {"NATS_URL": jetstream.url, "NATS_STREAM": "WORLD"}) as nodes:
            async with joined((nodes[0], "ann", WOODS), (nodes[1], "bob", WOODS)) as clients:
                numbered = Numbered(context)
                traffic = asyncio.create_task(numbered.publish())
                events = [await heard(client, 100) for client in clients]
                if outage == "freeze a node":
                    await freeze(nodes[0])
                else:
                    await break_server(jetstream, nodes, outage)
                numbered.most = numbered.taken + LAST_AFTER
                await traffic
                for client, before in zip(clients, events, strict=True):
                    everything = before + await heard(client, numbered.taken - 100)
                    if outage == "freeze a node" and RESYNC in everything:  # of what comes by other ways
                        everything += await heard(client, 1)
                        everything.remove(RESYNC)
                    assert [event.get("number") for event in everything] == list(range(numbered.taken))

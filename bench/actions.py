"""What an action costs, from a client's message to its answer, on the KB's sockets and over its HTTP API."""

from __future__ import annotations

from picows import WSFrame

from bench import load
from bench.figures import Figures, Meter, astray, percentiles
from bench.running import Running
from bench.traffic import Paced


class Acting(Paced):
    """Open loop: each link talks to somebody whose answer changes nothing, so that it may go on for ever."""

    def _payload(self, link: load.Link) -> bytes:
        return b'{"type":"talk","npc_id":"wren","request_id":"%d"}' % link.sent

    def _answered(self, link: load.Link, frame: WSFrame) -> None:
        answer = frame.get_payload_as_bytes()
        if b'"type":"connected"' in answer[:32]:
            return
        if not answer.startswith(b'{"type":"npc_response"') or not answer.endswith(
            b'"request_id":"%d"}' % link.received
        ):
            link.disordered += 1
        super()._answered(link, frame)

    def _check(self, link: load.Link, _: WSFrame) -> None:
        link.received += 1


async def actions(running: Running, *, links: int, rate: float, seconds: float) -> Figures:
    """Latency at a fixed rate over all links, after as long to warm up; CPU of gateway and KB."""
    async with load.opened([running.url() for _ in range(links)]) as opened:
        await Acting(opened).run(rate=rate, seconds=max(seconds, links / rate))
        traffic = Acting(opened)
        meter = Meter(running)
        await traffic.run(rate=rate, seconds=seconds)
        return meter.of(len(traffic.latencies)) | astray(opened) | percentiles(traffic.latencies)

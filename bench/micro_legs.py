"""What a client's 200 B message costs its leg, by what the route asks of it: ns of CPU, one core, no sockets.

    python -m bench.micro_legs

Since messages of a link with a rate are counted as frames go by (CPython 3.11, the two-core reference
machine, beside other work; before, whatever was not to wait was unmasked to be counted):

                                             before     since
    plain                                       277       277
    a rate, beyond which messages wait          772       771
    a rate, beyond which they are dropped      4566       831
    a policy                                   2178      2299
    both                                       4760      4144
    dropped, of a flood                        6056      2087

Since a fast rate grants up to 256 messages at once, rather than 16, the second and the third are 333 and 336.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import uvloop

from proxy.core.limits import LinkLimits, MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGate, MessageGates
from proxy.core.records import LinkCounters
from proxy.core.wire.framing import encode_frame
from proxy.engine.links import spliced_leg
from proxy.engine.links.splice import Splice
from proxy.engine.links.terms import SpliceRequest, Terms
from proxy.engine.links.tests.policies import Forwarding
from proxy.engine.pools.rawdial import RawUpstream

FRAME = encode_frame(1, b"x" * 200, mask=b"\x01\x02\x03\x04")
FLOOD = 300
MUCH, LITTLE = Rate(1e9, 1), Rate(1, 3600)


class Sink(asyncio.Transport):
    """Takes everything, and reads nothing by itself."""

    def write(self, data: Any) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


class Life:
    """Nobody answers for these links."""

    def joined(self, stream: object) -> None: ...
    def failed(self, error: object) -> None: ...
    def ended(self, close: object, by: object) -> None: ...

    def control(self, text: str) -> str:
        return text


def gate(rate: Rate, over: OverRate = OverRate.DROP) -> MessageGate:
    return MessageGates(MessageLimits(messages_per_user=rate, over=over)).open("7")


def linked(**options: Any) -> Splice:
    upstream = RawUpstream()
    upstream.transport = Sink()
    life, counters = Life(), LinkCounters()
    request = SpliceRequest(upstream, Terms(limits=LinkLimits(), counters=counters, life=life, **options))
    return Splice(Sink(), request)


async def ns_a_message(chunk: bytes, *, chunks: int, rounds: int = 5, **options: Any) -> float:
    """Best of `rounds`, so that a noisy neighbour does not count."""
    best = float("inf")
    for _ in range(rounds):
        leg = linked(**options).down
        started = time.process_time_ns()
        for _ in range(chunks):
            leg.data_received(chunk)
            while leg.turn is not None:  # noqa: ASYNC110  a turn is one of the loop
                await asyncio.sleep(0)
        best = min(best, time.process_time_ns() - started)
    return best / chunks / (len(chunk) / len(FRAME))


async def main() -> None:
    rows: dict[str, dict[str, Any]] = {
        "plain": {},
        "a rate, beyond which messages wait": {"gate": gate(MUCH, OverRate.WAIT)},
        "a rate, beyond which they are dropped": {"gate": gate(MUCH)},
        "a policy": {"policy": Forwarding()},
        "both": {"policy": Forwarding(), "gate": gate(MUCH)},
    }
    for name, options in rows.items():
        print(f"{name:40} {await ns_a_message(FRAME, chunks=50_000, **options):8.0f} ns")
    spliced_leg.SplicedLeg.pause = lambda self, seconds: None  # type: ignore[method-assign]
    flood = await ns_a_message(FRAME * FLOOD, chunks=200, gate=gate(LITTLE))
    print(f"{'dropped, of a flood':40} {flood:8.0f} ns")


if __name__ == "__main__":
    uvloop.run(main())

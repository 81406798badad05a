"""The server under test as a program: `python -m proxy.server.tests.serve FD OPTIONS-AS-JSON`.

The option `workers` puts that many under a master; `body_paths` are those that take a body (all), and
`probe_paths` those that are never refused (none); `max_connections` links are taken (any number); `proxies`
are networks; `loop` may be "asyncio".
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import sys
from typing import Any
from urllib.parse import parse_qs

from proxy.core.addresses import Network
from proxy.core.errors import Draining, GatewayError, Overloaded
from proxy.core.limits import LinkLimits
from proxy.server import listening
from proxy.server.options import Hooks, ServerOptions
from proxy.server.tests import http_applications, websocket_applications
from proxy.server.tests.noted import STATE
from proxy.server.workers import Line, Master


def main() -> int:
    fd, given = int(sys.argv[1]), json.loads(sys.argv[2])
    workers = given.pop("workers", None)
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s %(message)s %(path)s", stream=sys.stderr
    )
    logging.getLogger().handlers[0].formatter._style._defaults = {"path": ""}  # type: ignore[union-attr]
    if workers is not None:
        return supervise(fd, workers, given)
    line = Line(int(sys.argv[3])) if len(sys.argv) > 3 else None
    endpoints = given.pop("endpoints", [])
    if given.pop("loop", "uvloop") == "uvloop":
        listening.install_uvloop()
    from proxy.server.server import GatewayServer

    STATE["max_connections"] = given.pop("max_connections", sys.maxsize)
    if "body_paths" in given:
        given["body_paths"] = tuple(given["body_paths"])
    given["trusted_proxies"] = _networks(given.pop("proxies", []))
    given["probe_paths"] = frozenset(given.pop("probe_paths", []))
    limits = LinkLimits(**given.pop("limits", {}))
    options = ServerOptions(limits=limits, hooks=TestHooks(line), **given)
    server = GatewayServer(application, listening=[listening.adopt(fd)], options=options, endpoints=endpoints)
    http_applications.request_drain = server.request_drain
    return server.run()


class TestHooks(Hooks):
    """What a node would say, by STATE; and whether the stop was clean, on stdout."""

    __test__ = False

    def __init__(self, line: Line | None) -> None:
        self._line = line

    def on_serving(self) -> None:
        if self._line is not None:
            self._line.serves(on_lost=http_applications.request_drain)

    def refusal(self, links: int) -> GatewayError | None:
        if not STATE["ready"]:
            return Draining()
        return Overloaded() if links >= STATE["max_connections"] else None

    def on_draining(self) -> None:
        STATE["ready"] = False

    async def others_accept(self) -> bool:
        return self._line is not None and await self._line.others_accept(for_good=STATE["drained_by_staff"])

    async def on_stopped(self) -> None:
        print("stopped", flush=True)  # noqa: T201


async def application(scope, receive, send):
    """Dispatch by path; `?key=` names what the application reports as seen."""
    name = scope["path"].strip("/").partition("/")[0].replace("-", "_")
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    applications = http_applications if scope["type"] == "http" else websocket_applications
    await getattr(applications, f"{scope['type']}_{name}")(scope, receive, send, query)


def _networks(texts: list[str]) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def supervise(fd: int, workers: int, given: dict[str, Any]) -> int:
    command = [sys.executable, "-m", "proxy.server.tests.serve", str(fd), json.dumps(given)]
    listening.install_uvloop()
    master = Master(command, workers=workers, listening=listening.adopt(fd), stop_seconds=20)
    return asyncio.run(master.run())


if __name__ == "__main__":
    sys.exit(main())

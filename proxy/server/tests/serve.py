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
import os
import sys
from typing import Any

from proxy.core.addresses import Network
from proxy.core.limits import LinkLimits
from proxy.server import listening
from proxy.server.options import Hooks, ServerOptions
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
    from proxy.server.tests import applications

    def on_serving() -> None:
        if line is not None:
            line.serves()

    applications.STATE["max_connections"] = given.pop("max_connections", sys.maxsize)

    def on_draining() -> None:
        applications.STATE["ready"] = False

    async def on_stopped() -> None:
        print("stopped", flush=True)  # noqa: T201

    async def others_accept() -> bool:
        return line is not None and await line.others_accept(for_good=applications.STATE["drained_by_staff"])

    hooks = Hooks(
        on_serving=on_serving,
        refusal=applications.refusal,
        on_draining=on_draining,
        others_accept=others_accept,
        on_stopped=on_stopped,
    )
    body_paths = given.pop("body_paths", None)
    if body_paths is not None:
        given["takes_body"] = lambda path: path in body_paths
    given["trusted_proxies"] = _networks(given.pop("proxies", []))
    given["is_probe"] = given.pop("probe_paths", []).__contains__
    options = ServerOptions(limits=LinkLimits(**given.pop("limits", {})), hooks=hooks, **given)
    server = GatewayServer(
        applications.application, listening=[listening.adopt(fd)], options=options, endpoints=endpoints
    )
    applications.request_drain = server.request_drain
    return server.run()


def _networks(texts: list[str]) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def supervise(fd: int, workers: int, given: dict[str, Any]) -> int:
    given["parent_pid"] = os.getpid()
    command = [sys.executable, "-m", "proxy.server.tests.serve", str(fd), json.dumps(given)]
    listening.install_uvloop()
    master = Master(command, workers=workers, listening=listening.adopt(fd), stop_seconds=20)
    return asyncio.run(master.run())


if __name__ == "__main__":
    sys.exit(main())

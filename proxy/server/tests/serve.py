"""The server under test as a program: `python -m proxy.server.tests.serve FD OPTIONS-AS-JSON`."""

from __future__ import annotations

import json
import logging
import sys

from proxy.core.limits import LinkLimits
from proxy.server import listening
from proxy.server.options import Hooks, ServerOptions


def main() -> int:
    fd, given = int(sys.argv[1]), json.loads(sys.argv[2])
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s %(message)s %(path)s", stream=sys.stderr
    )
    logging.getLogger().handlers[0].formatter._style._defaults = {"path": ""}  # type: ignore[union-attr]
    listening.install_uvloop()
    from proxy.server.server import GatewayServer
    from proxy.server.tests import applications

    def on_draining() -> None:
        applications.STATE["ready"] = False

    async def on_stopped() -> None:
        print("stopped", flush=True)  # noqa: T201

    hooks = Hooks(on_draining=on_draining, on_stopped=on_stopped, count=applications.count)
    options = ServerOptions(limits=LinkLimits(**given.pop("limits", {})), hooks=hooks, **given)
    return GatewayServer(applications.application, listening=[listening.adopt(fd)], options=options).run()


if __name__ == "__main__":
    sys.exit(main())

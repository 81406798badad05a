"""`manage.py serve`: the production server, in one process or several."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from proxy import metrics, registry
from proxy.checks import start
from proxy.core.errors import GatewayError
from proxy.core.refusal_records import RefusalRecord
from proxy.engine.background import end_for_sure
from proxy.equipment import link_limits
from proxy.http import node_operations
from proxy.node import GatewayNode, start_node
from proxy.server import listening
from proxy.server.options import Hooks, ServerOptions
from proxy.server.workers import Line, Master
from proxy.tables.migrated import missing_migrations

logger = logging.getLogger(__name__)

# What a database may take to name its migrations; then the start goes on without.
ASK_MIGRATIONS_SECONDS = 3.0
# What an issuer may take to answer for the first time; then the node listens without its keys.
FIRST_KEYS_SECONDS = 3.0


class Command(BaseCommand):
    help = "Serve the gateway until SIGTERM, then drain. A second SIGTERM hurries."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.GATEWAY_HOST, help="address to listen on")
        parser.add_argument("--port", type=int, default=settings.GATEWAY_PORT, help="0 takes a free one")
        parser.add_argument("--workers", type=int, default=1, help="processes that share the socket")
        parser.add_argument("--fd", type=int, help="inherited socket to listen on, instead of host and port")
        parser.add_argument(
            "--endpoint", action="append", default=[], help="a further Twisted endpoint (ssl:…)"
        )
        parser.add_argument("--routes", help="names of the only routes to serve, separated by commas")
        parser.add_argument("--line", type=int, help=argparse.SUPPRESS)

    def execute(self, *args: Any, **options: Any) -> Any:
        """As any command; but what is served is chosen before checks import the paths and judge it."""
        if options["workers"] < 1:
            raise CommandError("--workers must be 1 or more")
        if options["workers"] > 1 and options["endpoint"]:
            raise CommandError("--endpoint needs --workers 1: workers share one socket, and no other")
        if options["routes"] is not None:
            try:
                registry.serve_only(options["routes"].split(","))
            except ValueError as error:
                raise CommandError(f"--routes takes {error}") from None
        host = options["host"] if options["fd"] is None else None
        start.tell(start.Start(host=host, workers=options["workers"]))
        self._is_worker = options["line"] is not None
        return super().execute(*args, **options)

    def check(self, **_: Any) -> None:  # type: ignore[override]  # as `execute` calls it
        """Log what `manage.py check --deploy` would say, in its words; with DEBUG, what concerns this start.

        Raises CommandError for errors, in one line.
        """
        if self._is_worker:  # its master has asked
            return
        found = _asked_checks()
        if errors := [each for each in found if each.is_serious()]:
            raise CommandError(
                "; ".join(f"({each.id}) {each.msg} {each.hint or ''}".strip() for each in errors)
            )
        for each in found:
            logger.log(each.level, each.msg, extra={"check": each.id, "hint": each.hint})

    def handle(self, **options: Any) -> None:
        if not self._is_worker:  # its master has asked
            _check_migrations()
        max_links = _max_links()
        listening_socket = self._listen(options)
        _check_unix_sockets(listening_socket, options["endpoint"])
        if options["workers"] == 1:
            sys.exit(self._serve(listening_socket, options, max_links=max_links))
        sys.exit(self._supervise(listening_socket, options))

    def _listen(self, options: dict[str, Any]) -> socket.socket:
        try:
            if options["fd"] is not None:
                return listening.adopt(options["fd"])
            return listening.listen(options["host"], options["port"])
        except (OSError, OverflowError, ValueError) as error:  # no port, or no descriptor, of any system
            raise CommandError(f"cannot listen: {error}") from None

    def _serve(self, listening_socket: socket.socket, options: dict[str, Any], *, max_links: int) -> int:
        from proxy.server.server import GatewayServer

        line = None if options["line"] is None else Line(options["line"])
        composition = Composition(line, max_links=max_links)
        server = GatewayServer(
            import_string(settings.ASGI_APPLICATION),
            listening=[listening_socket],
            options=_server_options(composition),
            endpoints=options["endpoint"],
        )
        composition.request_drain = server.request_drain
        status = server.run()
        end_for_sure(status)
        return status

    def _supervise(self, listening_socket: socket.socket, options: dict[str, Any]) -> int:
        fd = str(listening_socket.fileno())
        listening_socket.set_inheritable(True)
        # The master puts the line's descriptor behind it.
        only = [] if options["routes"] is None else ["--routes", options["routes"]]
        command = [sys.executable, sys.argv[0], "serve", *only, "--fd", fd, "--workers", "1", "--line"]
        stop_seconds = settings.DRAIN_SECONDS + start.STOP_GRACE_SECONDS
        master = Master(
            command, workers=options["workers"], listening=listening_socket, stop_seconds=stop_seconds
        )
        return asyncio.run(master.run())


class Composition(Hooks):
    """Ties the server's life to the node's."""

    node: GatewayNode
    request_drain: Callable[[], None]

    def __init__(self, line: Line | None, *, max_links: int) -> None:
        """`line` leads to the master of a worker; None without one."""
        self._line, self._max_links = line, max_links
        self._drain_began: float | None = None
        self._drained_by_staff = False

    async def on_started(self) -> None:
        self.node = await start_node()
        self.node.door.most_links = self._max_links
        self.node.door.request_drain = self._drain_for_staff
        jwks = self.node.verifier.jwks
        if jwks is not None:  # or the crowd that waits for this start is refused, and backs off
            await jwks.first_fetch(within_seconds=FIRST_KEYS_SECONDS)

    def _drain_for_staff(self) -> None:
        """Not when it drains already, for whatever reason: then it is to be replaced."""
        if self._drain_began is None:
            self._drained_by_staff = True
            self.request_drain()

    def on_serving(self) -> None:
        if self._line is not None:
            self._line.serves(on_lost=self.request_drain)

    def on_draining(self) -> None:
        self._drain_began = time.monotonic()
        self.node.drains()

    def refusal(self, links: int) -> GatewayError | None:
        return self.node.door.refusal(links)

    def refused(self, record: RefusalRecord) -> None:
        self.node.refused(record)

    async def others_accept(self) -> bool:
        return self._line is not None and await self._line.others_accept(for_good=self._drained_by_staff)

    async def on_stopped(self) -> None:
        if self._drain_began is not None:
            metrics.DRAIN_SECONDS.observe(time.monotonic() - self._drain_began)
        await self.node.stop()


def _asked_checks() -> list[CheckMessage]:
    """What nobody has silenced."""
    if settings.DEBUG:
        found = [*run_checks(), *run_checks(tags=[start.START], include_deployment_checks=True)]
    else:
        found = run_checks(include_deployment_checks=True)
    return [each for each in found if not each.is_silenced()]


def _max_links() -> int:
    """MAX_CONNECTIONS, but no more links than there are files for, once the limit is as high as it may be."""
    return min(settings.MAX_CONNECTIONS, listening.links_that_fit(listening.raise_file_limit()))


def _server_options(composition: Composition) -> ServerOptions:
    """The server's bounds, from settings."""
    return ServerOptions(
        limits=link_limits(),
        hooks=composition,
        drain_seconds=settings.DRAIN_SECONDS,
        trusted_proxies=settings.TRUSTED_PROXIES,
        body_paths=settings.BODY_PATHS,
        probe_paths=frozenset(node_operations.PATHS),
    )


def _check_migrations() -> None:
    """Raises CommandError when the database lacks migrations; one that cannot be asked stops no start."""
    missing = missing_migrations(within_seconds=ASK_MIGRATIONS_SECONDS)
    if missing:
        raise CommandError(
            f"the database lacks {len(missing)} migrations, first {missing[0]}: "
            "run `python manage.py migrate`, then start again"
        )


def _check_unix_sockets(listening_socket: socket.socket, endpoints: Sequence[str]) -> None:
    """Raises CommandError for a Unix socket, whose clients have no address, where no proxy is trusted."""
    is_unix = listening_socket.family == socket.AF_UNIX or any(
        endpoint.startswith("unix:") for endpoint in endpoints
    )
    if is_unix and not settings.TRUSTS_UNIX_SOCKET:
        raise CommandError(
            "clients of a Unix socket have no address, and so no caps, rates or blocks by address: "
            "set TRUSTED_PROXIES=unix, and have the proxy in front send X-Forwarded-For"
        )

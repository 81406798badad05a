"""`manage.py studioservice`: one instance of the reference studio service, a stand-in for the real one."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from experience.studio.service import StudioService, run_service


class Command(BaseCommand):
    help = "Run one instance of the reference studio service until SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8002, help="0 takes a free one (it is logged).")
        parser.add_argument("--instance", help="Its name, as it tells clients; studio-PORT by default.")

    def handle(self, *_: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        service = StudioService(options["instance"] or f"studio-{port}")
        try:
            asyncio.run(serve_until_signalled(service, host=host, port=port))
        except (OSError, OverflowError) as error:
            raise CommandError(f"cannot listen on {host}:{port}: {error}") from None


async def serve_until_signalled(service: StudioService, *, host: str, port: int) -> None:
    """Run the service; SIGTERM and SIGINT end it in good order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_service(service, host=host, port=port, stop=stop)

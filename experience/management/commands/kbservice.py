"""`manage.py kbservice`: the reference KB service, a stand-in for the real one."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from experience.kb.composition import serve


class Command(BaseCommand):
    help = "Run the reference KB service until SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8001, help="0 takes a free one (it is logged).")

    def handle(self, *_: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        try:
            asyncio.run(serve_until_signalled(host=host, port=port))
        except* (OSError, OverflowError) as failed:
            why = failed.exceptions[0]
            raise CommandError(f"cannot listen on {host}:{port}: {why}") from None


async def serve_until_signalled(*, host: str, port: int) -> None:
    """Run the service; SIGTERM and SIGINT end it in good order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(host=host, port=port, stop=stop)

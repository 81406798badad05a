"""`manage.py kbservice`: the reference KB service, a stand-in for the real one."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from experience.kb.announcer import Announcer
from experience.kb.composition import publisher, token_verifier
from experience.kb.players import Players
from experience.kb.service import KbService, run_service


class Command(BaseCommand):
    help = "Run the reference KB service until SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8001, help="0 takes a free one (it is logged).")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            asyncio.run(serve_until_signalled(host=options["host"], port=options["port"]))
        except* OSError as group:
            error = group.exceptions[0]
            raise CommandError(f"cannot listen on {options['host']}:{options['port']}: {error}") from None


async def serve_until_signalled(*, host: str, port: int) -> None:
    """Run the service; SIGTERM and SIGINT end it in good order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    players, announcer = Players(), Announcer(publisher())
    service = KbService(verify=token_verifier(), players=players, announcer=announcer)
    try:
        await run_service(service, announcer, host=host, port=port, stop=stop)
    finally:
        await players.close()

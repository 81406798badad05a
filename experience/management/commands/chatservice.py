"""`manage.py chatservice`: the chat service, one instance of it."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from experience.chat.composition import serve


class Command(BaseCommand):
    help = "Run the chat service until SIGTERM or SIGINT, then drain."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8084, help="0 takes a free one (it is logged).")

    def handle(self, *_: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        try:
            status = serve(host=host, port=port)
        except (OSError, OverflowError) as error:
            raise CommandError(f"cannot listen on {host}:{port}: {error}") from None
        sys.exit(status)

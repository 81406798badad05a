"""`manage.py doctor`: tries every part of the gateway from this host, and says what to do about each."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from proxy.core import findings
from proxy.core.findings import Finding, Outcome
from proxy.doctor.parts import try_everything
from proxy.management.staff_command import Misused, StaffCommand, as_json
from proxy.tables.executor import bound_waits

SECONDS = 5.0
_MOST_COLUMNS = 120


class Command(StaffCommand):
    help = "Try all that the gateway needs, from this host. Exit code 1 if something failed. Changes nothing."
    requires_system_checks: list[str] = []  # it says what they say

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--timeout",
            type=float,
            default=SECONDS,
            metavar="SECONDS",
            help=f"for each part (default {SECONDS:g})",
        )
        parser.add_argument(
            "--token-file", metavar="PATH", help="verify the token in this file, too; - reads stdin"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < options["timeout"] <= 600:
            raise Misused("--timeout must be more than 0, and at most 600")
        token = None if options["token_file"] is None else _token(options["token_file"])
        logging.disable(logging.CRITICAL)  # what fails is told in a line of its own
        bound_waits()
        began = time.monotonic()
        found = asyncio.run(try_everything(token=token, seconds=options["timeout"]))
        seconds = time.monotonic() - began
        if options["json"]:
            told = findings.as_object(found) | {"seconds": round(seconds, 3)}
            self.stdout.write(as_json(told))
        else:
            self._tell(found, seconds)
        self.stdout.flush()
        # Threads that wait for a silent server are left behind.
        os._exit(1 if findings.worst(found) is Outcome.FAILED else 0)

    def _tell(self, found: Sequence[Finding], seconds: float) -> None:
        columns = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
        for line in findings.as_lines(found, columns=columns, paint=self._painted):
            self.stdout.write(line)
        self.stdout.write(f"\n{findings.summary(found)}, in {seconds:.1f} s")

    def _painted(self, outcome: Outcome, word: str) -> str:
        styles = {
            Outcome.OK: self.style.SUCCESS,
            Outcome.WARNING: self.style.WARNING,
            Outcome.FAILED: self.style.ERROR,
        }
        return styles.get(outcome, str)(word)


def _token(path: str) -> str:
    """Raises Misused, which shows nothing of what was read."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"--token-file: {path} cannot be read ({type(error).__name__})") from None

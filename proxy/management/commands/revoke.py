"""`manage.py revoke`: take tokens back, from a shell."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from proxy.cluster.revocations import revoke
from proxy.core.principal import LAST_SECOND
from proxy.tables.executor import away, bound_waits


def moment(text: str) -> datetime:
    """Seconds since 1970, or ISO 8601; in the zone of the settings where it names none."""
    try:
        seconds = float(text)
    except ValueError:
        parsed = parse_datetime(text)
        if parsed is None:
            raise argparse.ArgumentTypeError(
                f"a time is seconds since 1970 or ISO 8601, got {text!r}"
            ) from None
        return parsed if timezone.is_aware(parsed) else timezone.make_aware(parsed)
    if not 0 <= seconds <= LAST_SECOND:
        raise argparse.ArgumentTypeError(f"no such time: {text!r}")
    return datetime.fromtimestamp(seconds, UTC)


class Command(BaseCommand):
    help = (
        "Takes tokens back: their links end with 4011 on every node, and they are refused until they expire."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--user", metavar="ID", default="", help="all tokens of this user id")
        parser.add_argument("--jti", metavar="ID", default="", help="one token, by its id")
        parser.add_argument(
            "--issued-before",
            metavar="TIME",
            type=moment,
            help="those issued before that: of the user, or without one of everybody (default: now)",
        )
        parser.add_argument("--reason", default="", help="for staff and the log")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        bound_waits()
        named = {name: options[name] for name in ("user", "jti", "issued_before", "reason")}
        try:
            row = revoke(**named)
        except ValueError as error:
            raise CommandError(str(error)) from error
        except Error as error:
            raise CommandError(away(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(row.named() | {"until": row.until}, cls=DjangoJSONEncoder))
        else:
            self.stdout.write(f"Revoked: {row}. Remembered until {row.until:%Y-%m-%d %H:%M} UTC.")

"""Times as they are typed behind an option."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from proxy.core.principal import LAST_SECOND

_SPAN = re.compile(r"(\d{1,6})\s*([smhdw])")
_LAST_YEAR, _MOST_DAYS = 9999, 36_500
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str) -> datetime:
    """Seconds since 1970, or ISO 8601; in the zone of the settings where it names none."""
    try:
        seconds = float(text)
    except ValueError:
        return _of_iso(text)
    if not 0 <= seconds <= LAST_SECOND:
        raise argparse.ArgumentTypeError(f"no such time: {text!r}")
    return datetime.fromtimestamp(seconds, UTC)


def _of_iso(text: str) -> datetime:
    try:
        parsed = parse_datetime(text)
    except ValueError:  # well written, and no time of any calendar
        parsed = None
    if parsed is None:
        raise argparse.ArgumentTypeError(f"a time is seconds since 1970 or ISO 8601, got {text!r}") from None
    if not 1970 <= parsed.year < _LAST_YEAR:  # or no other zone could have it
        raise argparse.ArgumentTypeError(f"no such time: {text!r}")
    return parsed if timezone.is_aware(parsed) else timezone.make_aware(parsed)


def span(text: str) -> timedelta:
    """`30s`, `15m`, `24h`, `7d`, `2w`."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f"a span is such as 15m, 24h or 7d, got {text!r}")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def since(text: str) -> datetime:
    """So long ago (`15m`), or a time as of `moment`."""
    if not _SPAN.fullmatch(text.strip().lower()):
        return moment(text)
    try:
        return timezone.now() - span(text)
    except OverflowError:
        raise argparse.ArgumentTypeError(f"longer than any calendar: {text!r}") from None


def count(text: str) -> int:
    """Of how many rows to tell at most: 1 to 100,000."""
    if not (text.isascii() and text.isdigit() and len(text) < 7 and 0 < int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"a number from 1 to 100000, got {text!r}")
    return int(text)


def row_id(text: str) -> int:
    """Of a row, as lists show it: a number above 0."""
    if not (text.isascii() and text.isdigit() and int(text[:40])):
        raise argparse.ArgumentTypeError(f"a number, as the list shows it, got {text!r}")
    return int(text[:40])


def days(text: str) -> float:
    """0 to 36,500; with parts of them."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= _MOST_DAYS:  # nor what is no number
        raise argparse.ArgumentTypeError(f"a number from 0 to {_MOST_DAYS}, got {text!r}")
    return found

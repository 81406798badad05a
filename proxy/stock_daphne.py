"""Stock Daphne, made safe enough: its own access log prints query strings, and with them tokens."""

from __future__ import annotations

from typing import Any

from daphne.access import AccessLogGenerator


def keep_queries_out_of_the_access_log() -> None:
    """Cut the query off every request line that Daphne's access log writes. Calling it twice is harmless."""
    write_entry = AccessLogGenerator.write_entry
    if getattr(write_entry, "cuts_queries", False):
        return

    def write_without_query(
        self: Any, host: str, date: Any, request: str, *args: Any, **options: Any
    ) -> None:
        write_entry(self, host, date, request.partition("?")[0], *args, **options)

    write_without_query.cuts_queries = True  # type: ignore[attr-defined]
    AccessLogGenerator.write_entry = write_without_query

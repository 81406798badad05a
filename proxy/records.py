"""Writes snapshots of links to the `Connection` table, many a statement, each as an upsert."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from functools import lru_cache

from django.db import DataError, IntegrityError

from proxy.core.records import ConnectionRecord
from proxy.database import DatabaseExecutor
from proxy.models import Connection

log = logging.getLogger(__name__)

# What one row's values can cause, other than a database that is away: the row is at fault, not the server.
_ROW_ERRORS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
_FIELDS = [field.name for field in Connection._meta.concrete_fields if not field.primary_key]
_TEXT_CHARS = {
    field.name: field.max_length
    for field in Connection._meta.concrete_fields
    if field.max_length and field.name not in {"id", "node", "client_address"}
}
_MOST_SMALL, _MOST_BIG = 2**15 - 1, 2**63 - 1


class ConnectionWriter:
    """The recorder's `write`: upserts a batch for one node. `dropped` counts what no table would take."""

    def __init__(self, executor: DatabaseExecutor, *, node_id: str) -> None:
        self._executor = executor
        self._node_id = node_id
        self.dropped = 0

    async def __call__(self, records: Sequence[ConnectionRecord]) -> None:
        """Write them all, or raise and leave it to be tried again (django.db.Error, TimeoutError)."""
        self.dropped += await self._executor.run(write_records, records, node_id=self._node_id)


def write_records(records: Sequence[ConnectionRecord], *, node_id: str) -> int:
    """Upsert `records` as connections of `node_id`. Answers how many had to be dropped."""
    rows = [connection_row(record, node_id=node_id) for record in records]
    try:
        _upsert(rows)
    except _ROW_ERRORS:
        return _write_each(rows)
    return 0


def connection_row(record: ConnectionRecord, *, node_id: str) -> Connection:
    """The row of `record`, with every value made to fit its column, whatever a client sent."""
    code = record.close_code
    row = Connection(
        id=record.id,
        node_id=node_id,
        client_address=_address(record.client_address),
        opened_at=record.opened_at,
        last_activity_at=record.last_activity_at,
        closed_at=record.closed_at,
        close_code=code if code is not None and 0 <= code <= _MOST_SMALL else None,
    )
    for name, most in _TEXT_CHARS.items():
        setattr(row, name, _text(getattr(record, name) or "", most))
    for name in ("messages_in", "messages_out", "bytes_in", "bytes_out"):
        setattr(row, name, min(max(getattr(record, name), 0), _MOST_BIG))
    return row


def _upsert(rows: list[Connection]) -> None:
    Connection.objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=_FIELDS)


def _write_each(rows: list[Connection]) -> int:
    """Row by row, so that only the rows at fault are lost. Answers how many those are."""
    refused: list[tuple[str, Exception]] = []
    for row in rows:
        try:
            _upsert([row])
        except _ROW_ERRORS as error:
            refused.append((row.pk, error))
    if refused:
        log.warning(
            "record: %d of %d rows refused, the first %.32s: %r", len(refused), len(rows), *refused[0]
        )
    return len(refused)


def _text(value: str, most_chars: int) -> str:
    """`value` as every database takes it: no NUL, no lone surrogate, not too long."""
    if not value.isprintable():
        value = value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return value[:most_chars]


@lru_cache(maxsize=1024)
def _address(value: str) -> str | None:
    """`value` if it is an IP address, without an IPv6 zone and as IPv4 where it maps one; else None."""
    try:
        address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)

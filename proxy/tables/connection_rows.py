"""Writes snapshots of links to the `Connection` table, many a statement, each as an upsert."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from django.db import DataError, connection, transaction

from proxy import metrics
from proxy.core.records import ConnectionRecord
from proxy.models import Connection
from proxy.tables.executor import DatabaseExecutor

log = logging.getLogger(__name__)

# What one row's values can cause in the database: the row is at fault, not the server. IntegrityError is not
# among them: all that we write fits, so the table is at fault, as one is that another release has given a
# column which we do not fill.
_ROW_ERRORS = (DataError, ValueError, TypeError, OverflowError)
_COLUMNS = [field.column or field.attname for field in Connection._meta.concrete_fields]
_FIELDS = [field.attname for field in Connection._meta.concrete_fields]
_TEXT_CHARS = {
    field.name: field.max_length
    for field in Connection._meta.concrete_fields
    if field.max_length and field.name not in {"id", "node", "client_address"}
}
_NEVER_NULL = [field.attname for field in Connection._meta.concrete_fields if not field.null]
_TIMES = ("opened_at", "last_activity_at", "closed_at")
_COUNTS = ("messages_in", "messages_out", "bytes_in", "bytes_out", "messages_dropped")
_MOST_SMALL, _MOST_BIG = 2**15 - 1, 2**63 - 1

Row = tuple[Any, ...]
Refused = list[tuple[str, Exception]]  # by the id of the link


async def record(records: Sequence[ConnectionRecord], *, database: DatabaseExecutor, node_id: str) -> None:
    """What the recorder writes by, in one batch; what no table would take is counted.

    Raises what leaves it to be tried again: django.db.Error, TimeoutError.
    """
    dropped = await database.run(write_records, records, node_id=node_id)
    metrics.RECORDS_DROPPED_TOTAL.inc(dropped)


def write_records(records: Sequence[ConnectionRecord], *, node_id: str) -> int:
    """Upsert `records` as connections of `node_id`. Answers how many had to be dropped."""
    refused: Refused = []
    rows = _rows_of(records, node_id, refused)
    try:
        _upsert(rows)
    except _ROW_ERRORS:
        _upsert_each(rows, refused)
    if refused:
        log.warning(
            "record: %d of %d rows refused, the first %.32s: %r", len(refused), len(records), *refused[0]
        )
    return len(refused)


def _rows_of(records: Sequence[ConnectionRecord], node_id: str, refused: Refused) -> list[Row]:
    """The rows of `records`, but for those that are none: no database is asked, so the record is at fault."""
    rows = []
    for record in records:
        try:
            rows.append(connection_row(record, node_id=node_id))
        except Exception as error:  # noqa: BLE001  whatever one record holds, the others are written
            refused.append((record.id, error))
    return rows


def connection_row(record: ConnectionRecord, *, node_id: str) -> Row:
    """The row of `record`, in the order of the model's fields, each value made to fit its column.

    Not a model instance: building and compiling instances takes three times as long as the database does.

    Raises:
        ValueError: a value is missing that every row must have.
    """
    code = record.close_code
    values: dict[str, Any] = {
        "id": record.id,
        "node_id": node_id,
        "client_address": connection.ops.adapt_ipaddressfield_value(_address(record.client_address)),
        "close_code": code if code is not None and 0 <= code <= _MOST_SMALL else None,
    }
    for name, most in _TEXT_CHARS.items():
        values[name] = _text(getattr(record, name) or "", most)
    for name in _TIMES:
        values[name] = connection.ops.adapt_datetimefield_value(getattr(record, name))
    for name in _COUNTS:
        values[name] = min(max(getattr(record, name), 0), _MOST_BIG)
    missing = [name for name in _NEVER_NULL if values[name] is None]
    if missing:
        raise ValueError(f"no value for {', '.join(missing)}")
    return tuple(values[name] for name in _FIELDS)


def _upsert(rows: list[Row]) -> None:
    """One statement for as many rows as the database takes parameters for, all in one transaction."""
    most = (connection.features.max_query_params or 2**15) // len(_FIELDS)
    with transaction.atomic(), connection.cursor() as cursor:
        for first in range(0, len(rows), most):
            chunk = rows[first : first + most]
            cursor.execute(_upsert_sql(len(chunk)), list(chain.from_iterable(chunk)))


@lru_cache(maxsize=128)
def _upsert_sql(rows: int) -> str:
    quote = connection.ops.quote_name
    row = f"({', '.join(['%s'] * len(_COLUMNS))})"
    updates = ", ".join(f"{quote(name)} = EXCLUDED.{quote(name)}" for name in _COLUMNS if name != "id")
    return (
        f"INSERT INTO {quote(Connection._meta.db_table)} ({', '.join(map(quote, _COLUMNS))})"  # noqa: S608
        f" VALUES {', '.join([row] * rows)} ON CONFLICT (id) DO UPDATE SET {updates}"
    )


def _upsert_each(rows: list[Row], refused: Refused) -> None:
    """Row by row, so that only the rows at fault are lost."""
    for row in rows:
        try:
            _upsert([row])
        except _ROW_ERRORS as error:
            refused.append((row[_FIELDS.index("id")], error))


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

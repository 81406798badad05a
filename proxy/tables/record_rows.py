"""Writes records to their tables: many a statement, each as an upsert, each value made to fit its column."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from django.db import DataError, connection, models, transaction

from proxy import metrics
from proxy.core.link_events import LinkEventRecord
from proxy.core.records import ConnectionRecord
from proxy.core.refusal_records import RefusalRecord
from proxy.models import Connection, LinkEvent, Refusal
from proxy.tables.executor import DatabaseExecutor

log = logging.getLogger(__name__)

# What one row's values can cause in the database: the row is at fault, not the server. IntegrityError is not
# among them: all that we write fits, so the table is at fault, as one is that another release has given a
# column which we do not fill.
_ROW_ERRORS = (DataError, ValueError, TypeError, OverflowError)
_MOST_SMALL, _MOST, _MOST_BIG = 2**15 - 1, 2**31 - 1, 2**63 - 1

Row = tuple[Any, ...]
Refused = list[tuple[str, Exception]]  # by the id of the record
Fit = Callable[[Any], Any]


class Record(Protocol):
    """Plain values by the names of a table's fields; `id` is unique. Whose node it is the writer knows."""

    id: str


R = TypeVar("R", bound=Record)


class RecordTable(Generic[R]):
    """The table of `model`, whose records bring all its fields but `node`, if it has that.

    Not model instances: building and compiling instances takes three times as long as the database does.
    """

    def __init__(self, model: type[models.Model]) -> None:
        self._table = model._meta.db_table
        fields = model._meta.concrete_fields
        self._columns = [field.column or field.attname for field in fields]
        self._fits = [(field.attname, _fit_of(field)) for field in fields]
        self._never_null = {field.attname for field in fields if not field.null}
        self._sql = lru_cache(maxsize=128)(self._upsert_sql)

    async def record(self, records: Sequence[R], *, database: DatabaseExecutor, node_id: str) -> None:
        """What is written in one batch; what the table would never take is counted.

        Raises what leaves it to be tried again: django.db.Error, TimeoutError.
        """
        dropped = await database.run(self.write, records, node_id=node_id)
        metrics.RECORDS_DROPPED_TOTAL.inc(dropped)

    def write(self, records: Sequence[R], *, node_id: str) -> int:
        """Upsert `records` as those of `node_id`. Answers how many had to be dropped."""
        refused: Refused = []
        rows = self._rows_of(records, node_id, refused)
        try:
            self._upsert(rows)
        except _ROW_ERRORS:
            self._upsert_each(rows, refused)
        if refused:
            log.warning(
                "record: %d of %d rows refused, the first %.32s: %r", len(refused), len(records), *refused[0]
            )
        return len(refused)

    def row(self, record: R, *, node_id: str) -> Row:
        """The row of `record`, in the order of the model's fields.

        Raises:
            ValueError: a value is missing that every row must have.
        """
        row = {name: node_id if name == "node_id" else fit(getattr(record, name)) for name, fit in self._fits}
        missing = [name for name, value in row.items() if value is None and name in self._never_null]
        if missing:
            raise ValueError(f"no value for {', '.join(missing)}")
        return tuple(row.values())

    def _rows_of(self, records: Sequence[R], node_id: str, refused: Refused) -> list[Row]:
        """Their rows, but for those that are none: no database is asked, so the record is at fault."""
        rows = []
        for record in records:
            try:
                rows.append(self.row(record, node_id=node_id))
            except Exception as error:  # noqa: BLE001  whatever one record holds, the others are written
                refused.append((record.id, error))
        return rows

    def _upsert(self, rows: list[Row]) -> None:
        """One statement for as many rows as the database takes parameters for, all in one transaction."""
        most = (connection.features.max_query_params or 2**15) // len(self._columns)
        with transaction.atomic(), connection.cursor() as cursor:
            for first in range(0, len(rows), most):
                chunk = rows[first : first + most]
                cursor.execute(self._sql(len(chunk)), list(chain.from_iterable(chunk)))

    def _upsert_sql(self, rows: int) -> str:
        quote = connection.ops.quote_name
        row = f"({', '.join(['%s'] * len(self._columns))})"
        others = [quote(name) for name in self._columns if name != "id"]
        updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in others)
        return (
            f"INSERT INTO {quote(self._table)} ({', '.join(map(quote, self._columns))})"  # noqa: S608
            f" VALUES {', '.join([row] * rows)} ON CONFLICT (id) DO UPDATE SET {updates}"
        )

    def _upsert_each(self, rows: list[Row], refused: Refused) -> None:
        """Row by row, so that only the rows at fault are lost."""
        for row in rows:
            try:
                self._upsert([row])
            except _ROW_ERRORS as error:
                refused.append((row[self._columns.index("id")], error))


def _fit_of(field: Any) -> Fit:
    """What makes a value fit the column of `field`."""
    for kind, fit in _FITS:
        if isinstance(field, kind) and not field.primary_key:
            return partial(fit, most=field.max_length) if fit is _text else fit
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _text(value: str | None, *, most: int) -> str:
    """`value` as every database takes it: no NUL, no lone surrogate, not too long."""
    text = value or ""
    if not text.isprintable():
        text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return text[:most]


def _time(value: Any) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


def _code(value: int | None) -> int | None:
    """A close code or a status; None for what is neither."""
    return value if value is not None and 0 <= value <= _MOST_SMALL else None


def _count(value: int) -> int:
    return min(max(value, 0), _MOST)


def _big_count(value: int) -> int:
    return min(max(value, 0), _MOST_BIG)


def _address(value: str) -> Any:
    return connection.ops.adapt_ipaddressfield_value(_plain_address(value))


@lru_cache(maxsize=1024)
def _plain_address(value: str) -> str | None:
    """`value` if it is an IP address, without an IPv6 zone and as IPv4 where it maps one; else None."""
    try:
        address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


# The first match counts: Django's fields are a tree, too.
_FITS: tuple[tuple[type[Any], Callable[..., Any]], ...] = (
    (models.GenericIPAddressField, _address),
    (models.CharField, _text),
    (models.DateTimeField, _time),
    (models.PositiveBigIntegerField, _big_count),
    (models.PositiveSmallIntegerField, _code),
    (models.PositiveIntegerField, _count),
)
CONNECTIONS = RecordTable[ConnectionRecord](Connection)
REFUSALS = RecordTable[RefusalRecord](Refusal)
LINK_EVENTS = RecordTable[LinkEventRecord](LinkEvent)

"""The gateway's database: is it there, has it all tables, does it take writes, does its clock agree?"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from proxy.cluster.rules import load_rules
from proxy.core import judging
from proxy.core.findings import Amiss, Finding, failed, ok, warning
from proxy.core.human import counted, milliseconds
from proxy.core.routes import MemberSpec
from proxy.doctor.trial import in_thread
from proxy.models import Node
from proxy.tables.executor import is_read_only
from proxy.tables.heart import running_nodes
from proxy.tables.migrated import lacking

PART = "database"
# What the server says, and what to do; the first that fits.
_HINTS = (
    ("password", "Correct user and password in DATABASE_URL; / ? # @ of a password are percent-encoded."),
    ("authentication", "Let this host and user in, in pg_hba.conf, or correct DATABASE_URL."),
    ("pg_hba.conf", "Let this host and user in, in pg_hba.conf, or correct DATABASE_URL."),
    ("does not exist", "Create it, or correct DATABASE_URL: CREATE DATABASE … OWNER …"),
    ("too many clients", "Raise max_connections of PostgreSQL, or lower DATABASE_POOL_SIZE."),
    ("could not translate", "Correct the host's name in DATABASE_URL, or this machine's resolver."),
    ("unable to open", "Make its directory, and let this user write there."),
    ("refused", "Start it, or correct host and port in DATABASE_URL."),
)
HINT = "Is it running, and does DATABASE_URL lead to it from this host?"


@dataclass
class Seen:
    """What one look found; `members` are those that staff have put in place of the declared ones, by pool."""

    findings: list[Finding] = field(default_factory=list)
    members: Mapping[str, Sequence[MemberSpec]] = field(default_factory=dict)


async def look() -> Seen:
    """On a thread, since a silent server answers nobody's deadline. Raises Amiss."""
    return await in_thread(_look)


def _look() -> Seen:
    connection = connections[DEFAULT_DB_ALIAS].copy()
    connection.settings_dict["OPTIONS"].pop("pool", None)  # it would try again and again
    connections[DEFAULT_DB_ALIAS] = connection  # this thread's
    try:
        return _seen(connection)
    except Error as error:
        text = _said(error)
        hint = next((hint for words, hint in _HINTS if words in text), HINT)
        raise Amiss(f"{_place(connection)}: {text}", hint=hint) from None
    finally:
        connection.close()


def _said(error: Error) -> str:
    """Without what libpq says of where it was, and its advice."""
    text = " ".join(str(error).split())
    return text.rpartition(" failed: ")[2].partition(" Is the server running")[0]


def _place(connection: BaseDatabaseWrapper) -> str:
    told = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(told["NAME"])
    host = told["HOST"] or told["OPTIONS"].get("host") or "localhost"
    return f"{host}:{told['PORT'] or told['OPTIONS'].get('port') or 5432}/{told['NAME']}"


def _seen(connection: BaseDatabaseWrapper) -> Seen:
    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        hint = "Make it with its tables: `python manage.py migrate`."
        raise Amiss(f"there is no file {connection.settings_dict['NAME']}", hint=hint)
    connection.ensure_connection()
    seen = Seen([_version(connection)])
    seen.findings += _of_postgres(connection) if connection.vendor == "postgresql" else _of_sqlite(connection)
    missing = lacking(connection)
    if missing:
        text = f"{counted(len(missing), 'migration')} missing, first {missing[0]}"
        seen.findings.append(failed("migrations", text, "Run `python manage.py migrate`."))
        return seen
    seen.findings += [ok("migrations", "all are there"), _write(), *_of_nodes(connection)]
    seen.members = load_rules().members
    return seen


def _version(connection: BaseDatabaseWrapper) -> Finding:
    began = time.monotonic()
    _ask(connection, "SELECT 1")
    seconds = time.monotonic() - began
    version = ".".join(map(str, _numbers(connection)))
    seen = f"{connection.display_name} {version}, answers in {milliseconds(seconds)}"
    return ok(PART, f"{_place(connection)}: {seen}")


def _numbers(connection: BaseDatabaseWrapper) -> tuple[int, ...]:
    numbers: tuple[int, ...] = connection.get_database_version()
    return numbers


def _ask(connection: BaseDatabaseWrapper, query: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        row: tuple[Any, ...] = cursor.fetchone()
    return row


def _of_sqlite(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    place = Path(connection.settings_dict["NAME"]).resolve().parent
    yield judging.disk("disk", free_bytes=shutil.disk_usage(place).free)


def _of_postgres(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    began = time.time()
    (theirs,) = _ask(connection, "SELECT extract(epoch FROM clock_timestamp())")
    ended = time.time()
    ahead = float(theirs) - (began + ended) / 2
    yield judging.clock("database clock", ahead_seconds=ahead, unsure_seconds=(ended - began) / 2)


def _write() -> Finding:
    """A node's row, which is taken back before anybody could see it."""
    try:
        with transaction.atomic():
            now = timezone.now()
            Node.objects.create(id=uuid.uuid4().hex, host="doctor", pid=0, started_at=now, heartbeat_at=now)
            transaction.set_rollback(True)
    except Error as error:
        seen = _said(error)
        if is_read_only(error):
            return failed("writes", seen, "It is a replica: have DATABASE_URL lead to the primary.")
        if isinstance(error, OperationalError):
            return failed("writes", seen, "Another process may hold it, or its disk may be full: try again.")
        return failed("writes", seen, "Let its user write: GRANT … ON ALL TABLES IN SCHEMA public.")
    return ok("writes", "a row was written, and taken back")


def _of_nodes(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    nodes = list(running_nodes())
    hosts = sorted({node.host for node in nodes})
    seen = f"{counted(len(nodes), 'node')} running" + (f" on {', '.join(hosts)}" if hosts else "")
    if len(nodes) > 1 and not settings.REDIS_URL:
        hint = "Set REDIS_URL on all of them: without it events, kicks and caps reach one process of several."
        yield failed("nodes", seen, hint)
    elif len(hosts) > 1 and connection.vendor == "sqlite":
        yield warning("nodes", seen, "Nodes of several machines need a PostgreSQL: set DATABASE_URL.")
    else:
        yield ok("nodes", seen)
    if connection.vendor == "postgresql":
        yield _connections(connection, nodes=len(nodes))


def _connections(connection: BaseDatabaseWrapper, *, nodes: int) -> Finding:
    query = (
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    )
    most, used = _ask(connection, query)
    return judging.postgres_connections(
        "connections", most=most, used=used, nodes=nodes, pool_size=settings.DATABASE_POOL_SIZE
    )

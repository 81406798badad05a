"""What a person's page and search cost the server, on PostgreSQL and a record of many rows.

    python -m bench.person_page [--rows 10000000]

Eight of ten rows are connections, two are refusals; beside them are a tenth as many events of links and lines of
staff. A tenth of them all are one user's, `heavy`; the others have some ninety each. Times are of the whole request,
session and template included: the fastest, the median and the worst of 20, after one that is not counted; and the
CPU of Django's process, the median. Each query is looked at for a scan of a whole table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import django

from config.testing.servers import PostgresServer

TIMES = 20
_SECRETS = {
    "SECRET_KEY": "of this measurement alone, and nowhere else, ever",
    "JWT_SIGNING_KEY": "likewise" * 5,
}

# ruff: noqa: E501  the statements read better so
# `n` of generate_series: an id, a user (one of ten is `heavy`), a moment of the last 30 days.
USER = "CASE WHEN n % 10 = 0 THEN 'heavy' ELSE 'user-' || (n * 7919 % {people}) END"
MOMENT = "now() - interval '1 second' * (n * 2592000.0 / {rows})"
FILL = {
    "proxy_connection": f"""
        INSERT INTO proxy_connection (id, node_id, route, path, experience, user_id, email, client_address,
          user_agent, subprotocol, upstream, request_id, opened_at, closed_at, close_code, close_reason,
          closed_by, cause, messages_in, messages_out, bytes_in, bytes_out)
        SELECT md5(n::text), 'n1', 'experience', '/ws/experience', 'experience:mill', {USER}, ({USER}) || '@example.com',
          '10.0.0.0'::inet + n * 7919 % 1000000, 'Unity', '', 'ws://kb:8001', md5('r' || n), {MOMENT} - interval '5 minutes',
          CASE WHEN n > 3 THEN {MOMENT} END, 4008, 'idle', 'gateway', 'idle', 100, 100, 10000, 10000
        FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_refusal": f"""
        INSERT INTO proxy_refusal (id, node_id, refused_at, times, cause, reason, status, close_code, route, path,
          upstream, user_id, email, client_address, user_agent, request_id)
        SELECT md5(n::text), 'n1', {MOMENT}, 1, 'token_expired', 'the token has expired', 401, 4010, 'experience',
          '/ws/experience', '', {USER}, ({USER}) || '@example.com', '2001:db8::'::inet + n * 7919 % 1000000, 'Unity',
          md5('q' || n)
        FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_linkevent": f"""
        INSERT INTO proxy_linkevent (id, connection_id, user_id, at, kind, words, times)
        SELECT md5(n::text), md5(n::text), {USER}, {MOMENT}, 'failover', 'from ws://a to ws://b', 1
        FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_staffnote": f"""
        INSERT INTO proxy_staffnote (id, user_id, at, kind, text, by)
        SELECT md5(n::text), {USER}, {MOMENT}, 'kicked', 'be kind', 'vera'
        FROM generate_series(1::bigint, {{rows}}) n""",
}  # fmt: skip
SHARES = {"proxy_connection": 0.8, "proxy_refusal": 0.2, "proxy_linkevent": 0.1, "proxy_staffnote": 0.1}


@contextmanager
def record(rows: int) -> Iterator[None]:
    """Django's database, with so many rows, in a PostgreSQL that goes when it is done."""
    server = PostgresServer()
    server.start()
    try:
        os.environ.update(
            _SECRETS, DATABASE_URL=server.create_database(), DJANGO_SETTINGS_MODULE="config.settings"
        )
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        for table, share in SHARES.items():
            fill(table, int(rows * share), people=max(1, rows // 100))
        yield
    finally:
        from django.db import connections

        connections.close_all()
        server.remove()


def fill(table: str, rows: int, *, people: int) -> None:
    """Rows first, then the indexes: many times as quick."""
    from django.db import connection

    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        cursor.execute(f"ALTER TABLE {table} SET UNLOGGED")
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname !~ '_pkey$'"
        cursor.execute(query, [table])
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(FILL[table].format(rows=rows, people=people))
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute(f"VACUUM ANALYZE {table}")
    print(f"{table}: {rows:,} rows, {time.monotonic() - began:.0f} s", flush=True)


def measured(client: Any, url: str, query: dict[str, str]) -> tuple[list[float], float, int, int]:
    """Each time and the CPU in ms, the number of queries, and how many of these scan a table."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url, query, secure=True)
        statements = [each["sql"] for each in captured.captured_queries]
    assert answer.status_code in {200, 302}, answer.status_code
    times, busy = [], []
    for _ in range(TIMES):
        began, began_cpu = time.perf_counter(), time.process_time()
        client.get(url, query, secure=True)
        times.append(1000 * (time.perf_counter() - began))
        busy.append(1000 * (time.process_time() - began_cpu))
    return times, statistics.median(busy), len(statements), sum(map(scans_a_table, statements))


def scans_a_table(sql: str) -> bool:
    """Whether PostgreSQL reads all of a table of the record for it."""
    from django.db import connection

    if not sql.startswith("SELECT"):
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        plan = " ".join(row[0] for row in cursor.fetchall())
    return any(f"Seq Scan on {table}" in plan for table in SHARES)


def pages(rows: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """What is asked for: what it is, and where."""
    find = "/admin/proxy/person/"
    yield "a user of many rows", f"{find}heavy/", {}
    yield "the same, the oldest", f"{find}heavy/", {"before": "2020-01-01T00:00:00+00:00~1~a"}
    yield "the same, in the middle", f"{find}heavy/", {"before": middle()}
    yield "one of few", f"{find}user-7/", {}
    yield "nobody", f"{find}nobody/", {}
    yield "find: a user id", find, {"q": "heavy"}
    yield "find: an e-mail address of many rows", find, {"q": "heavy@example.com"}
    yield "find: how many ids begin", find, {"q": "user-"}
    yield "find: an IPv4 address", find, {"q": "10.0.0.77"}
    yield "find: a /64 of a million", find, {"q": "2001:db8::77"}
    yield "find: a request id", find, {"q": request_id(rows)}
    yield "find: nothing", find, {"q": "zzz"}


def middle() -> str:
    from datetime import timedelta

    from django.utils import timezone

    return f"{(timezone.now() - timedelta(days=15)).isoformat()}~3~a"


def request_id(rows: int) -> str:
    from hashlib import md5

    return md5(f"r{rows // 2}".encode()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args(arguments).rows
    with record(rows):
        from django.contrib.auth.models import User
        from django.test import Client
        from django.test.utils import setup_test_environment

        setup_test_environment()
        client = Client()
        client.force_login(User.objects.create_superuser("ada"))
        print(f"{'ms':44}{'fastest':>8}{'median':>8}{'worst':>8}{'CPU':>8}{'queries':>9}{'scans':>7}")
        for what, url, query in pages(rows):
            times, busy, queries, scans = measured(client, url, query)
            shown = f"{min(times):8.1f}{statistics.median(times):8.1f}{max(times):8.1f}{busy:8.1f}"
            print(f"{what:44}{shown}{queries:9}{scans:7}", flush=True)


if __name__ == "__main__":
    main()

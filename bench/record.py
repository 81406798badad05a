"""A record of many rows in a PostgreSQL of its own: what the pages of admin are measured on.

Of every table a tenth of the rows are one user's, `heavy`; the others have a hundred each. The words that lists filter
by are as uneven as they are in earnest: most links are of one route and ended by their client, one of ten
thousand was kicked, one of a hundred thousand is of a route that nobody takes any more. Past rows are of the
last 30 days, the newest first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import django

from config.testing.servers import PostgresServer

NODES = 20
_SECRETS = {
    "SECRET_KEY": "of this measurement alone, and nowhere else, ever",
    "JWT_SIGNING_KEY": "likewise" * 5,
}


@dataclass(frozen=True, slots=True)
class Record:
    """So many rows of connections: of those that live, and of those that have ended."""

    live: int
    past: int

    @property
    def shares(self) -> Mapping[str, int]:
        """How many rows each table has; beside a million past connections, a quarter as many refusals, and so on."""
        return {
            "proxy_connection": self.live + self.past,
            "proxy_refusal": self.past // 4,
            "proxy_linkevent": self.past // 8,
            "proxy_staffnote": self.past // 8,
            "django_admin_log": self.past // 20,
            "proxy_block": 2_000,
            "proxy_revocation": 2_000,
            "proxy_outgoingevent": 2_000,
            "proxy_apikey": 100,
            "proxy_node": 500,
            "proxy_poolmember": 30,
            "proxy_memberreport": 30 * NODES,
            "proxy_kick": 500,
        }


# ruff: noqa: E501  the statements read better so
# `n` of generate_series: an id, a user (one of ten is `heavy`), a moment of the last 30 days.
_USER = "CASE WHEN n % 10 = 0 THEN 'heavy' ELSE 'user-' || (n * 7919 % {people}) END"
_MOMENT = "now() - interval '1 second' * (n * 2592000.0 / {rows})"
_NODE = "'n' || n % {nodes}"
_ROUTE = "CASE WHEN n % 100000 = 77 THEN 'gone' WHEN n % 10 < 7 THEN 'experience' WHEN n % 10 < 9 THEN 'studio' ELSE 'chat' END"
_TOPIC = "CASE WHEN n % 100000 = 77 THEN 'experience:gone' WHEN n % 2 = 0 THEN 'experience:mill' ELSE 'session:' || n END"
_CAUSE = """CASE WHEN n % 10000 = 33 THEN 'kicked' WHEN n % 10000 = 34 THEN 'node_lost' WHEN n % 10 < 6 THEN 'client_left'
  WHEN n % 10 < 8 THEN 'idle' ELSE 'service_ended' END"""
_CLOSED_BY = """CASE WHEN n % 10000 = 33 THEN 'staff' WHEN n % 10000 = 34 THEN 'node_lost' WHEN n % 10 < 6 THEN 'client'
  WHEN n % 10 < 8 THEN 'gateway' ELSE 'upstream' END"""
_REFUSED = """CASE WHEN n % 10000 = 33 THEN 'blocked' WHEN n % 3 = 0 THEN 'too_many_rate_per_ip' ELSE 'token_expired' END"""
_FILL = {
    "proxy_connection": f"""
        INSERT INTO proxy_connection (id, node_id, route, path, experience, user_id, email, client_address,
          user_agent, subprotocol, upstream, request_id, opened_at, last_activity_at, closed_at, close_code, close_reason,
          closed_by, cause, messages_in, messages_out, bytes_in, bytes_out)
        SELECT md5(n::text), {_NODE}, {_ROUTE}, '/ws/experience', {_TOPIC}, {_USER}, ({_USER}) || '@example.com',
          '10.0.0.0'::inet + n * 7919 % 1000000, 'Unity', '', 'ws://kb:8001', md5('r' || n), {_MOMENT} - interval '5 minutes',
          {_MOMENT}, CASE WHEN n > {{live}} THEN {_MOMENT} END, CASE WHEN n > {{live}} THEN 4008 END, CASE WHEN n > {{live}} THEN 'idle' ELSE '' END,
          CASE WHEN n > {{live}} THEN {_CLOSED_BY} ELSE '' END, CASE WHEN n > {{live}} THEN {_CAUSE} ELSE '' END,
          n * 31 % 997, n * 37 % 997, n * 41 % 99991, n * 43 % 99991
        FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_refusal": f"""
        INSERT INTO proxy_refusal (id, node_id, refused_at, times, cause, reason, status, close_code, route, path,
          upstream, user_id, email, client_address, user_agent, request_id)
        SELECT md5(n::text), {_NODE}, {_MOMENT}, 1, {_REFUSED}, 'the token has expired', 401, 4010, {_ROUTE},
          '/ws/experience', '', {_USER}, ({_USER}) || '@example.com', '2001:db8::'::inet + n * 7919 % 1000000, 'Unity',
          md5('q' || n)
        FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_linkevent": f"""
        INSERT INTO proxy_linkevent (id, connection_id, user_id, at, kind, words, times)
        SELECT md5(n::text), md5(n::text), {_USER}, {_MOMENT}, 'failover', 'from ws://a to ws://b', 1
        FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_staffnote": f"""
        INSERT INTO proxy_staffnote (id, user_id, at, kind, text, by)
        SELECT md5(n::text), {_USER}, {_MOMENT}, 'kicked', 'be kind', 'vera'
        FROM generate_series(1::bigint, {{rows}}) n""",
    "django_admin_log": f"""
        INSERT INTO django_admin_log (action_time, user_id, content_type_id, object_id, object_repr, action_flag, change_message)
        SELECT {_MOMENT}, (SELECT id FROM auth_user WHERE username = 'staff-' || n % 10),
          (SELECT id FROM django_content_type WHERE app_label = 'proxy' AND model = CASE WHEN n % 1000 = 3 THEN 'block' ELSE 'connection' END),
          md5(n::text), ({_USER}), CASE WHEN n % 1000 = 3 THEN 1 ELSE 2 END, 'Kicked 1 connection: be kind ' || n
        FROM (SELECT {{rows}} + 1 - m AS n FROM generate_series(1::bigint, {{rows}}) m) numbers""",
    "proxy_block": f"""
        INSERT INTO proxy_block (user_id, network, reason, created_at)
        SELECT 'blocked-' || n, '', 'rude', {_MOMENT} FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_revocation": f"""
        INSERT INTO proxy_revocation (user_id, jti, issued_before, reason, created_at, source, until)
        SELECT 'revoked-' || n, '', {_MOMENT}, 'stolen', {_MOMENT}, 'vera', now() + interval '1 day'
        FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_outgoingevent": f"""
        INSERT INTO proxy_outgoingevent (subject, key, body, size_bytes, created_at, refused)
        SELECT 'chat.message', n, '{{{{}}}}', 2, {_MOMENT}, 'no such stream' FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_apikey": f"""
        INSERT INTO proxy_apikey (id, name, digest, publish, may_kick, may_list_connections, created_at)
        SELECT 'k' || n, 'service ' || n, md5(n::text), '[]', false, false, {_MOMENT} FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_node": f"""
        INSERT INTO proxy_node (id, host, pid, started_at, heartbeat_at, stopped_at, draining)
        SELECT 'n' || n - 1, 'web-' || n % 20, n, {_MOMENT}, CASE WHEN n > {{nodes}} THEN {_MOMENT} ELSE now() + interval '1 hour' END,
          CASE WHEN n > {{nodes}} THEN {_MOMENT} END, false
        FROM generate_series(1::bigint, {{rows}}) n""",
    "proxy_poolmember": """
        INSERT INTO proxy_poolmember (pool, url, weight, draining)
        SELECT 'studio', 'ws://studio-' || n || ':8002', 1, false FROM generate_series(1::bigint, {rows}) n""",
    "proxy_memberreport": """
        INSERT INTO proxy_memberreport (node_id, pool, url, state, since, breaker, links, dial_ms, last_error, updated_at)
        SELECT 'n' || n % {nodes}, 'studio', 'ws://studio-' || (n - 1) / {nodes} + 1 || ':8002', 'healthy', now(), 'closed', 17, 2.5, '', now()
        FROM generate_series(1::bigint, {rows}) n""",
    "proxy_kick": """
        INSERT INTO proxy_kick (id, user_ids, connection_ids, everyone, reason, created_at)
        SELECT md5(n::text), '["heavy"]', '[]', false, 'be kind', now() - interval '1 minute' * n FROM generate_series(1::bigint, {rows}) n""",
}  # fmt: skip
TABLES = tuple(_FILL)


@contextmanager
def recorded(record: Record) -> Iterator[None]:
    """Django's database, with that record, in a PostgreSQL that goes when it is done."""
    server = PostgresServer()
    server.start()
    try:
        os.environ.update(
            _SECRETS, DATABASE_URL=server.create_database(), DJANGO_SETTINGS_MODULE="config.settings"
        )
        django.setup()
        from django.contrib.auth.models import User
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        User.objects.bulk_create(User(username=f"staff-{number}", is_staff=True) for number in range(10))
        for table, rows in record.shares.items():
            _fill(table, rows, record)
        yield
    finally:
        from django.db import connections

        connections.close_all()
        server.remove()


def _fill(table: str, rows: int, record: Record) -> None:
    """Rows first, then the indexes: many times as quick."""
    from django.db import connection

    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname !~ '(_pkey|^one_.*)$'"
        cursor.execute(query, [table])
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        people = max(1, rows // 100)
        cursor.execute(_FILL[table].format(rows=rows, people=people, live=record.live, nodes=NODES))
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute(f"VACUUM ANALYZE {table}")
    print(f"{table}: {rows:,} rows, {time.monotonic() - began:.0f} s", flush=True)

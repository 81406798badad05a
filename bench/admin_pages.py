"""What the pages of admin cost the server, on PostgreSQL and a record of many rows.

    python -m bench.admin_pages [--past 1000000] [--live 10000] [--only person]

Times are of the whole request, session and template included: the median and the 95th of 100 of 20, after
one that is not counted; and the CPU of Django's process, the median. Each query is looked at for a scan of
a whole table of the record. What is behind a bar says so: ten queries, and 300 ms at the 95th, of every page.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5
from typing import Any

from asgiref.sync import async_to_sync

from bench.record import Record, recorded

TIMES = 20
MOST_QUERIES = 10
MOST_MS = 300.0
ADMIN = "/admin/proxy/"
# Those that a page may read whole are small.
BIG = ("proxy_connection", "proxy_refusal", "proxy_linkevent", "proxy_staffnote", "django_admin_log")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: what it is in words, and where."""

    what: str
    path: str
    query: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one page: each time and the CPU in ms, the number of queries, and how many of these scan a table."""

    times_ms: list[float]
    cpu_ms: float
    queries: int
    scans: int

    @property
    def p95_ms(self) -> float:
        return sorted(self.times_ms)[int(0.95 * (len(self.times_ms) - 1) + 0.5)]

    @property
    def is_behind(self) -> bool:
        return self.queries > MOST_QUERIES or self.p95_ms > MOST_MS

    def __str__(self) -> str:
        times = f"{statistics.median(self.times_ms):8.1f}{self.p95_ms:8.1f}{self.cpu_ms:8.1f}"
        return f"{times}{self.queries:9}{self.scans:7}{'  behind' if self.is_behind else ''}"


def measured(client: Any, asked: Asked) -> Cost:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        _ask(client, asked)
        statements = [each["sql"] for each in captured.captured_queries]
    times, busy = [], []
    for _ in range(TIMES):
        began, began_cpu = time.perf_counter(), time.process_time()
        _ask(client, asked)
        times.append(1000 * (time.perf_counter() - began))
        busy.append(1000 * (time.process_time() - began_cpu))
    scans = sum(map(scans_a_table, statements))
    return Cost(times_ms=times, cpu_ms=statistics.median(busy), queries=len(statements), scans=scans)


def _ask(client: Any, asked: Asked) -> None:
    """All of the answer is read: an export comes in parts."""
    answer = client.get(ADMIN + asked.path, asked.query, secure=True)
    assert answer.status_code in {200, 302}, (asked, answer.status_code)
    if answer.streaming:
        async_to_sync(_read)(answer)


async def _read(answer: Any) -> None:
    async for _ in answer:
        pass


def scans_a_table(sql: str) -> bool:
    """Whether PostgreSQL reads all of a table of the record for it."""
    from django.db import connection

    if not sql.startswith("SELECT"):
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        plan = " ".join(row[0] for row in cursor.fetchall())
    return any(f"Seq Scan on {table}" in plan for table in BIG)


def live(record: Record) -> Iterator[Asked]:
    yield Asked("Live", "live/", {})
    yield Asked("Live, a range chosen on a chart", "live/", {"since": _ago(hours=2), "until": _ago(hours=1)})
    yield Asked("marks of the charts, a week", "live/marks/", {"span": "7d"})


def connections(record: Record) -> Iterator[Asked]:
    filters = (
        ("live", "yes", "no"),
        ("user", "heavy", "user-7", "nobody"),
        ("route", "experience", "chat", "gone", "none"),
        ("topic", "experience:mill", "experience:gone", "none"),
        ("node", "n3", "n400"),
        ("cause", "client_left", "kicked", "overloaded"),
        ("closed_by", "client", "staff", "node_lost"),
    )
    find = "connection/"
    yield Asked("connections", find, {})
    yield Asked("connections, the last page", find, {"p": "100"})
    for name, *values in filters:
        for value in values:
            yield Asked(f"connections: {name} {value}", find, {name: value})
    for value in ("experience", "gone"):
        yield Asked(f"connections: live, route {value}", find, {"live": "yes", "route": value})
    yield Asked("connections: route chat, by staff", find, {"route": "chat", "closed_by": "staff"})
    yield Asked("connections: cause kicked, by staff", find, {"cause": "kicked", "closed_by": "staff"})
    for what, term in _terms(record):
        yield Asked(f"connections, search: {what}", find, {"q": term})
    yield Asked("connections, search: a path", find, {"q": "/ws/exp"})
    for column, what in (("4", "age"), ("5", "bytes from clients"), ("6", "bytes to clients")):
        yield Asked(f"connections, live, by {what}", find, {"o": f"-{column}", "live": "yes"})
    yield Asked("a live connection", f"{find}{_id(1)}/change/", {})
    yield Asked("a past connection", f"{find}{_id(record.past // 2)}/change/", {})
    yield Asked("a connection's history", f"{find}{_id(record.past // 40)}/history/", {})
    yield Asked("broadcast", f"{find}broadcast/", {})


def refusals(record: Record) -> Iterator[Asked]:
    find = "refusal/"
    yield Asked("refusals", find, {})
    yield Asked("refusals, the last page", find, {"p": "100"})
    for name, *values in (
        ("user", "heavy", "user-7", "nobody"),
        ("cause", "token_expired", "blocked", "none"),
        ("route", "experience", "gone", "none"),
    ):
        for value in values:
            yield Asked(f"refusals: {name} {value}", find, {name: value})
    for what, term in _terms(record):
        yield Asked(f"refusals, search: {what}", find, {"q": term})
    yield Asked("refusals, search: an IPv6 address", find, {"q": "2001:db8::77"})
    yield Asked("a refusal", f"{find}{_id(record.past // 8)}/change/", {})


def person(record: Record) -> Iterator[Asked]:
    find = "person/"
    yield Asked("a user of many rows", f"{find}heavy/", {})
    yield Asked("the same, the oldest", f"{find}heavy/", {"before": "2020-01-01T00:00:00+00:00~1~a"})
    yield Asked("the same, in the middle", f"{find}heavy/", {"before": _middle()})
    yield Asked("one of few", f"{find}user-7/", {})
    yield Asked("nobody", f"{find}nobody/", {})
    yield Asked("find: nothing asked", find, {})
    for what, term in _terms(record):
        yield Asked(f"find: {what}", find, {"q": term})
    yield Asked("find: how many ids begin", find, {"q": "user-"})
    yield Asked("find: a /64 of a million", find, {"q": "2001:db8::77"})


def audit(record: Record) -> Iterator[Asked]:
    find = "deed/"
    yield Asked("audit", find, {})
    yield Asked("audit, the last page", find, {"p": "100"})
    for name, *values in (
        ("who", "staff-3", "nobody"),
        ("what", "proxy.connection", "proxy.block"),
        ("done", "added", "changed", "deleted"),
        ("when", "hour", "month"),
    ):
        for value in values:
            yield Asked(f"audit: {name} {value}", find, {name: value})
    for what, term in (("of many", "be kind"), ("of one", "be kind 4321"), ("of none", "zzz")):
        yield Asked(f"audit, search: part of a reason, {what}", find, {"q": term})
    yield Asked("audit, search: who and what", find, {"q": "heavy", "who": "staff-3"})
    yield Asked("audit as a file, all", f"{find}export/", {})
    yield Asked("audit as a file, of one", f"{find}export/", {"q": "be kind 4321"})


def small_tables(record: Record) -> Iterator[Asked]:
    yield Asked("nodes", "node/", {})
    yield Asked("nodes, stopped", "node/", {"nodes": "stopped"})
    yield Asked("nodes, search", "node/", {"q": "web-3"})
    yield Asked("a node", "node/n3/change/", {})
    yield Asked("pools", "poolmember/", {})
    yield Asked("blocks", "block/", {})
    yield Asked("blocks, search", "block/", {"q": "blocked-77"})
    yield Asked("block a user", "block/add/", {"user_id": "heavy"})
    yield Asked("revocations", "revocation/", {})
    yield Asked("revocations, search", "revocation/", {"q": "revoked-77"})
    yield Asked("API keys", "apikey/", {})
    yield Asked("events to other services", "outgoingevent/", {})


GROUPS = {each.__name__: each for each in (live, connections, refusals, person, audit, small_tables)}


def _terms(record: Record) -> Iterator[tuple[str, str]]:
    """What support is given, and types."""
    yield "a user id of many rows", "heavy"
    yield "a user id of few", "user-7"
    yield "an e-mail address of many rows", "heavy@example.com"
    yield "the first letter", "u"
    yield "an IPv4 address", "10.0.0.77"
    yield "an id", _id(record.past // 2)
    yield "a request id", md5(f"r{record.past // 2}".encode()).hexdigest()
    yield "nothing", "zzz"


def _id(number: int) -> str:
    return md5(str(number).encode()).hexdigest()


def _ago(**spans: int) -> str:
    return str(int(time.time() - timedelta(**spans).total_seconds()))


def _middle() -> str:
    from django.utils import timezone

    return f"{(timezone.now() - timedelta(days=15)).isoformat()}~3~a"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--past", type=int, default=1_000_000)
    parser.add_argument("--live", type=int, default=10_000)
    parser.add_argument("--only", choices=GROUPS, action="append", help="such pages; else all")
    asked = parser.parse_args(arguments)
    record = Record(live=asked.live, past=asked.past)
    with recorded(record):
        from django.contrib.auth.models import User
        from django.test import Client

        # Not in Django's environment of tests, which keeps every context of every template.
        client = Client(SERVER_NAME="localhost")
        client.force_login(User.objects.create_superuser("ada"))
        print(f"{'ms':52}{'median':>8}{'p95':>8}{'CPU':>8}{'queries':>9}{'scans':>7}")
        for name in asked.only or GROUPS:
            print(f"{name}, load {os.getloadavg()[0]:.1f}")
            for page in GROUPS[name](record):
                print(f"{page.what:52}{measured(client, page)}", flush=True)
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

"""The database thread: what crosses from it, what becomes of calls that hang, and how a frozen path heals."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import Error, InternalError, OperationalError, ProgrammingError, connection, transaction
from django.test import Client
from pytest_django import DjangoDbBlocker

from config.testing.forwarder import Forwarder
from config.testing.servers import PostgresServer
from proxy import metrics
from proxy.conftest import default_database
from proxy.models import Node
from proxy.node import GatewayNode
from proxy.tables.executor import MOST_STUCK_THREADS, DatabaseBusy, DatabaseExecutor, bound_waits
from proxy.tests.rows import add_node

pytestmark = pytest.mark.long


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is freed but by who held it last."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("any_database", "no_collector")
async def test_a_failed_call_leaves_no_cursor_for_the_loops_garbage_collector(
    executor: DatabaseExecutor,
) -> None:
    cursors: list[weakref.ref[Any]] = []

    def fail() -> None:
        with connection.cursor() as cursor:
            cursors.append(weakref.ref(cursor.cursor))
            cursor.execute("SELECT * FROM nowhere")

    with pytest.raises(Error) as raised:
        await executor.run(fail)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    assert [cursor() for cursor in cursors] == [None]
    assert "in fail" in raised.value.__notes__[0]


@pytest.mark.usefixtures("any_database")
async def test_what_was_asked_with_debug_is_not_kept(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DEBUG", True)

    def ask() -> int:
        User.objects.exists()
        return len(connection.queries_log)

    await executor.run(ask)  # and whatever a new connection asks
    assert [await executor.run(ask) for _ in range(3)] == [1, 1, 1]


@pytest.mark.usefixtures("transactional_db")
async def test_a_pages_failed_statement_has_its_cursor_closed_in_its_own_thread() -> None:
    bound_waits()

    def fail() -> bool:
        connection.close()
        connection.connect()
        cursor = connection.cursor()
        with pytest.raises(Error):
            cursor.execute("SELECT * FROM nowhere")
        with pytest.raises(ProgrammingError, match="closed cursor"):
            cursor.fetchall()
        return True

    assert await asyncio.to_thread(fail)


@pytest.mark.usefixtures("transactional_db")
async def test_calls_go_on_beside_threads_that_hang_and_are_bounded_in_number() -> None:
    executor, release = DatabaseExecutor(timeout_seconds=0.6), threading.Event()
    try:
        for _ in range(MOST_STUCK_THREADS):
            with pytest.raises(TimeoutError):
                await executor.run(release.wait, 60)
            async with asyncio.timeout(10):
                assert await executor.run(lambda: 42) == 42
        before = threading.active_count()
        for _ in range(2):  # the last thread hangs as well, and no more are made
            with pytest.raises(TimeoutError):
                await executor.run(release.wait, 60)
        assert threading.active_count() == before
        release.set()
        async with asyncio.timeout(10):
            while await _times_out(executor):
                pass
    finally:
        release.set()
        await executor.close()


@pytest.mark.usefixtures("transactional_db")
async def test_calls_are_refused_and_counted_once_so_many_wait_that_none_can_be_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("proxy.tables.executor.MOST_WAITING", 3)
    before = metrics.DATABASE_REFUSED_TOTAL._value.get()
    executor, release = DatabaseExecutor(timeout_seconds=0.5), threading.Event()
    try:
        for _ in range(MOST_STUCK_THREADS + 1):
            with pytest.raises(TimeoutError):
                await executor.run(release.wait, 60)
        waiting = await asyncio.gather(*map(executor.run, [int] * 3), return_exceptions=True)
        assert [type(error) for error in waiting] == [TimeoutError] * 3
        for _ in range(2):
            with pytest.raises(DatabaseBusy, match="3 calls wait"):
                await executor.run(int)
        assert metrics.DATABASE_REFUSED_TOTAL._value.get() == before + 2
        assert caplog.text.count("too many calls wait") == 1
        release.set()
        async with asyncio.timeout(10):
            while await _fails(executor):
                await asyncio.sleep(0.01)
    finally:
        release.set()
        await executor.close()


async def _times_out(executor: DatabaseExecutor) -> bool:
    try:
        return await executor.run(lambda: False)
    except TimeoutError:
        return True


_HANGS = """
import asyncio, threading, django
django.setup()
from proxy.tables.executor import DatabaseExecutor
async def main():
    executor = DatabaseExecutor(timeout_seconds=0.1)
    for _ in range(2):
        try:
            await executor.run(threading.Event().wait)
        except TimeoutError:
            print("hangs")
    await executor.close()
asyncio.run(main())
"""


def test_threads_that_hang_do_not_hold_up_the_end_of_the_process() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _HANGS],
        env={"DJANGO_SETTINGS_MODULE": "config.testing.settings", "DATABASE_URL": "sqlite:///:memory:"},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert ran.stdout == "hangs\nhangs\n"


@pytest.fixture
def database_by_path(
    migrated_postgres: str,
    postgres: PostgresServer,
    way_to_postgres: Forwarder,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    url = migrated_postgres.replace(f":{postgres.port}/", f":{way_to_postgres.port}/")
    with django_db_blocker.unblock(), default_database(url):
        yield


@pytest.mark.timing
@pytest.mark.timeout(90)
@pytest.mark.usefixtures("database_by_path")
async def test_a_path_that_froze_is_left_for_a_new_one_within_twenty_seconds(
    way_to_postgres: Forwarder,
) -> None:
    executor = DatabaseExecutor()
    try:
        await executor.run(Node.objects.count)
        way_to_postgres.freeze()
        frozen_at = time.monotonic()
        while await _fails(executor):
            pass
        assert time.monotonic() - frozen_at < 20
    finally:
        await executor.close()


async def _fails(executor: DatabaseExecutor) -> bool:
    try:
        await executor.run(Node.objects.count)
    except (OperationalError, TimeoutError):
        return True
    return False


@pytest.mark.usefixtures("transactional_db", "postgres_database")
async def test_a_connection_to_a_server_that_takes_no_writes_is_left_for_a_new_one(
    executor: DatabaseExecutor,
) -> None:
    old = await executor.run(_backend_pid)
    await executor.run(_take_no_writes)
    with pytest.raises(InternalError, match="read-only"):
        await executor.run(_write_in_a_transaction)
    await executor.run(_write_in_a_transaction)
    assert await executor.run(_backend_pid) != old


@pytest.mark.usefixtures("transactional_db")
async def test_a_connection_that_the_server_ended_between_calls_costs_one_call_and_no_more(
    executor: DatabaseExecutor, postgres_database: PostgresServer
) -> None:
    old = await executor.run(_backend_pid)
    postgres_database.execute(f"SELECT pg_terminate_backend({old}, 10000)")
    with pytest.raises(OperationalError):
        await executor.run(Node.objects.count)  # outside of any transaction, whose end would close it
    assert await executor.run(Node.objects.count) == 0
    assert await executor.run(_backend_pid) != old


@pytest.mark.usefixtures("transactional_db", "postgres_database")
async def test_a_transaction_that_a_call_leaves_open_is_over_when_it_has_answered(
    executor: DatabaseExecutor,
) -> None:
    def begin() -> None:
        transaction.set_autocommit(False)
        add_node("n1")

    await executor.run(begin)
    other = DatabaseExecutor()
    try:
        await other.run(add_node, "n1")  # or it would wait for the row of the first
    finally:
        await other.close()


def _backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def _take_no_writes() -> None:
    """From now on this session is as one that was open when its server became a standby."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")


def _write_in_a_transaction() -> None:
    with transaction.atomic():
        Node.objects.filter(pk="nobody").update(draining=True)


@pytest.mark.usefixtures("transactional_db", "postgres_database")
async def test_who_finds_a_server_read_only_has_the_pools_other_connections_left_as_well(
    executor: DatabaseExecutor,
) -> None:
    other = DatabaseExecutor()
    await executor.run(_take_no_writes)
    waits_in_the_pool = await other.run(_backend_pid)
    await other.close()
    with pytest.raises(InternalError):
        await executor.run(_write_in_a_transaction)
    async with asyncio.timeout(10):
        while waits_in_the_pool in await executor.run(_backend_pids):
            pass


def _backend_pids() -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity")
        return {pid for (pid,) in cursor.fetchall()}


@pytest.mark.usefixtures("transactional_db", "postgres_database")
async def test_a_heartbeat_waits_for_no_slow_query_of_another_kind() -> None:
    def sleep() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(3)")

    node = GatewayNode()
    sleeping = [asyncio.ensure_future(node.database.run(sleep)) for _ in range(3)]
    try:
        assert await node.heart.beat()
        assert not sleeping[-1].done()
        assert node.heart.beating
    finally:
        for task in sleeping:
            task.cancel()
        await node.stop()


@pytest.mark.usefixtures("transactional_db", "postgres_database")
async def test_the_kernel_gives_up_a_host_that_is_gone(executor: DatabaseExecutor) -> None:
    def parameters() -> dict[str, str]:
        found: dict[str, str] = connection.connection.info.get_parameters()
        return found

    found = await executor.run(parameters)
    assert (found["tcp_user_timeout"], found["keepalives_idle"]) == ("10000", "5")


@pytest.mark.timing
@pytest.mark.usefixtures("transactional_db", "postgres_database")
async def test_a_table_that_is_locked_is_given_up_after_two_seconds(executor: DatabaseExecutor) -> None:
    await executor.run(Node.objects.count)
    url = connection.get_connection_params()
    with psycopg.connect(host=url["host"], port=url["port"], user=url["user"], dbname=url["dbname"]) as other:
        other.execute("LOCK TABLE proxy_node")
        started = time.monotonic()
        with pytest.raises(OperationalError, match="lock timeout"):
            await executor.run(Node.objects.count)
        assert time.monotonic() - started < 5


@pytest.mark.timing
@pytest.mark.usefixtures("transactional_db", "postgres_database")
def test_a_page_whose_table_is_locked_says_so_in_seconds(client: Client) -> None:
    bound_waits()
    connection.close()
    client.force_login(User.objects.create_superuser("ada"))
    settings = connection.get_connection_params()
    where = {name: settings[name] for name in ("host", "port", "user", "dbname")}
    with psycopg.connect(**where) as other:
        other.execute("LOCK TABLE proxy_connection")
        started = time.monotonic()
        page = client.get("/admin/proxy/connection/")
        assert time.monotonic() - started < 10
    assert (page.status_code, page["Retry-After"]) == (503, "5")
    assert "The database did not answer in time" in page.content.decode()
    assert client.get("/admin/proxy/connection/").status_code == 200


@pytest.mark.usefixtures("transactional_db", "postgres_database")
def test_a_page_that_finds_the_server_read_only_says_so_and_the_next_one_has_another_connection(
    client: Client,
) -> None:
    bound_waits()
    connection.close()
    client.force_login(User.objects.create_superuser("ada"))
    block = {"user_id": "42", "network": "", "note": "", "until_0": "", "until_1": ""}
    _take_no_writes()
    page = client.post("/admin/proxy/block/add/", block)
    assert (page.status_code, page["Retry-After"]) == (503, "5")
    assert client.post("/admin/proxy/block/add/", block).status_code == 302


@pytest.mark.usefixtures("transactional_db")
def test_a_page_without_a_database_says_so_in_the_frame_of_the_other_pages(
    client: Client, postgres_database: PostgresServer
) -> None:
    bound_waits()
    connection.close()
    client.force_login(User.objects.create_superuser("ada"))
    postgres_database.kill()
    page = client.get("/admin/proxy/connection/")
    assert (page.status_code, page["Retry-After"]) == (503, "5")
    assert "The database did not answer in time" in page.content.decode()
    assert "proxy/page" in page.content.decode()

import asyncio
import threading
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import Error, OperationalError, connection, transaction

from config.testing.servers import PostgresServer
from proxy.core.records import ConnectionRecord
from proxy.engine.recorder import Recorder
from proxy.models import Connection
from proxy.tables.executor import DatabaseExecutor, is_away
from proxy.tables.record_rows import CONNECTIONS

pytestmark = pytest.mark.usefixtures("transactional_db")


def opened(connection_id: str) -> ConnectionRecord:
    return ConnectionRecord(id=connection_id, route="game", opened_at=datetime(2026, 1, 1, tzinfo=UTC))


async def test_records_outlive_a_restart_of_postgresql(postgres_database: PostgresServer) -> None:
    executor = DatabaseExecutor(timeout_seconds=5)
    recorder = Recorder(partial(CONNECTIONS.record, database=executor, node_id="n1"))
    try:
        recorder.note(opened("before"))
        await recorder.flush()
        postgres_database.kill()
        recorder.note(opened("during"))
        with pytest.raises(OperationalError):
            await recorder.flush()
        await asyncio.to_thread(postgres_database.start)
        await recorder.flush()
        ids = await executor.run(lambda: set(Connection.objects.values_list("pk", flat=True)))
        assert ids == {"before", "during"}
    finally:
        await executor.close()


async def test_postgresql_itself_gives_up_a_statement_that_hangs(postgres_database: PostgresServer) -> None:
    executor = DatabaseExecutor(timeout_seconds=0.5)

    def hang() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")

    try:
        async with asyncio.timeout(10):
            with pytest.raises((TimeoutError, OperationalError)):
                await executor.run(hang)
            assert await executor.run(Connection.objects.count) == 0
    finally:
        await executor.close()


async def test_a_process_that_is_frozen_in_a_transaction_holds_nothing_up_for_long(
    postgres_database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.tables.executor.TRANSACTION_IDLE_SECONDS", 0.3)
    frozen, other = DatabaseExecutor(timeout_seconds=10), DatabaseExecutor(timeout_seconds=10)
    holds, thaws = threading.Event(), threading.Event()

    def lock() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(7)")

    def freeze() -> bool:
        """In the transaction that has the lock; whether the database is away for who thaws."""
        try:
            with transaction.atomic():
                lock()
                holds.set()
                thaws.wait(10)
        except Error as error:
            return is_away(error)
        return False

    try:
        async with asyncio.timeout(10):
            freezing = asyncio.ensure_future(frozen.run(freeze))
            await asyncio.to_thread(holds.wait, 10)
            await other.run(lock)
            assert not freezing.done()
            thaws.set()
            assert await freezing
            await frozen.run(lock)
    finally:
        thaws.set()
        await asyncio.gather(frozen.close(), other.close())

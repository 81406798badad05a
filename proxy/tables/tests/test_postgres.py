import asyncio
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import OperationalError, connection

from config.testing.servers import PostgresServer
from proxy.core.records import ConnectionRecord
from proxy.engine.recorder import Recorder
from proxy.models import Connection
from proxy.tables import connection_rows
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.usefixtures("transactional_db")


def opened(connection_id: str) -> ConnectionRecord:
    return ConnectionRecord(id=connection_id, route="game", opened_at=datetime(2026, 1, 1, tzinfo=UTC))


async def test_records_outlive_a_restart_of_postgresql(postgres_database: PostgresServer) -> None:
    executor = DatabaseExecutor(timeout_seconds=5)
    recorder = Recorder(partial(connection_rows.record, database=executor, node_id="n1"))
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

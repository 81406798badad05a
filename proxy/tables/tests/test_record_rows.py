import asyncio
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from proxy.core.closes import KICKED, ClosedBy
from proxy.core.records import ConnectionRecord
from proxy.engine.recorder import Recorder
from proxy.models import Connection
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.record_rows import CONNECTIONS, RecordTable

pytestmark = pytest.mark.usefixtures("any_database")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def record(connection_id: str = "a", **values: Any) -> ConnectionRecord:
    return ConnectionRecord(id=connection_id, route="game", opened_at=NOON, **values)


def test_a_snapshot_is_written_whole_and_replaced_by_the_next() -> None:
    live = record(
        path="/rooms/north",
        topic="experience:wylding-woods",
        user_id="42",
        email="ada@example.com",
        client_address="2001:db8::1",
        user_agent="Unity",
        subprotocol="kb.v1",
        upstream="kb-1",
        request_id="r1",
    )
    CONNECTIONS.write([live], node_id="n1")
    live.messages_in, live.bytes_out, live.last_activity_at = 3, 2**40, NOON + timedelta(seconds=5)
    live.end(KICKED, by=ClosedBy.STAFF, at=NOON + timedelta(seconds=9))
    assert CONNECTIONS.write([live], node_id="n1") == 0

    row = Connection.objects.get()
    assert (row.pk, row.node_id, row.user_id, row.client_address) == ("a", "n1", "42", "2001:db8::1")
    assert (row.path, row.topic) == ("/rooms/north", "experience:wylding-woods")
    assert (row.messages_in, row.bytes_out, row.last_activity_at) == (3, 2**40, NOON + timedelta(seconds=5))
    assert (row.close_code, row.close_reason, row.closed_by) == (4001, "kicked by staff", "staff")
    assert row.cause == "kicked"


def test_a_thousand_opens_make_tens_of_statements() -> None:
    thousand = [record(str(number), user_id=str(number)) for number in range(1000)]
    with CaptureQueriesContext(
        connection,
    ) as statements:
        for first in range(0, 1000, 100):
            CONNECTIONS.write(thousand[first : first + 100], node_id="n1")

    assert Connection.objects.count() == 1000
    assert len(statements) < 100


def test_whatever_a_client_sends_fits_its_column() -> None:
    CONNECTIONS.write(
        [
            record(
                "a",
                user_agent="x\0" * 500,
                email="\ud800@example.com",
                client_address="fe80::1%eth0",
                close_code=65535,
                close_reason="é" * 500,
            ),
            record("b", client_address="not an address", messages_in=2**70, bytes_in=-1),
            record("c", client_address="::ffff:192.0.2.7"),
        ],
        node_id="n1",
    )

    a, b, c = Connection.objects.order_by("id")
    assert (a.user_agent, a.email, a.client_address) == ("x" * 255, "?@example.com", "fe80::1")
    assert (a.close_code, a.close_reason) == (None, "é" * 123)
    assert (b.client_address, b.messages_in, b.bytes_in) == (None, 2**63 - 1, 0)
    assert c.client_address == "192.0.2.7"


@pytest.mark.parametrize(
    "mistake", [{"opened_at": None}, {"opened_at": "noon"}, {"email": 5}, {"subprotocol": b"x"}, {"id": None}]
)
def test_one_bad_row_is_dropped_and_counted_and_its_batch_is_written(
    mistake: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    bad = record("bad")
    for name, value in mistake.items():
        setattr(bad, name, value)
    assert CONNECTIONS.write([record("a"), bad, record("b")], node_id="n1") == 1
    assert set(Connection.objects.values_list("id", flat=True)) == {"a", "b"}
    assert [line.split(":")[1] for line in caplog.messages] == [f" 1 of 3 rows refused, the first {bad.id}"]


def test_a_database_that_is_away_is_no_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(rows: list[Connection]) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(CONNECTIONS, "_upsert", away)
    with pytest.raises(OperationalError):
        CONNECTIONS.write([record("a")], node_id="n1")


def test_a_table_with_a_column_of_a_newer_release_drops_nothing() -> None:
    older = RecordTable[ConnectionRecord](Connection)
    position = older._columns.index("user_agent")
    del older._columns[position], older._fits[position]
    with pytest.raises(IntegrityError):
        older.write([record("a"), record("b")], node_id="n1")
    with pytest.raises(IntegrityError):
        older.write([record("a")], node_id="n1")


def test_a_row_keeps_text_that_fits_as_it_is() -> None:
    assert "Zoë 🎲" in CONNECTIONS.row(record(user_id="Zoë 🎲"), node_id="n1")


async def test_the_recorder_writes_through_a_thread_of_its_own() -> None:
    executor = DatabaseExecutor()
    recorder = Recorder(partial(CONNECTIONS.record, database=executor, node_id="n1"))
    for number in range(250):
        recorder.note(record(str(number)))
    try:
        async with asyncio.timeout(20):
            assert await recorder.close(20) == 0
            assert await executor.run(Connection.objects.count) == 250
    finally:
        await executor.close()


async def test_work_that_hangs_is_given_up_at_the_deadline() -> None:
    executor = DatabaseExecutor(timeout_seconds=0.05)
    release = threading.Event()
    try:
        with pytest.raises(TimeoutError):
            await executor.run(release.wait, 10)
    finally:
        release.set()
        await executor.close()


def test_the_topics_new_name_changes_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Nodes of the release before write the column while they are replaced."""
    call_command("sqlmigrate", "proxy", "0006_topic", no_color=True)
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if not line.startswith("--") and line not in {"BEGIN;", "COMMIT;"}] == []

"""What is told of refusals beside their record."""

from __future__ import annotations

from datetime import UTC, datetime

from proxy import metrics
from proxy.core.refusal_records import RefusalRecord
from proxy.engine.refusal_recorder import RefusalRecorder


async def unwritten(_: object) -> None:
    raise AssertionError("nothing is written before anybody runs it")


async def test_how_many_clients_are_refused_is_told_and_not_how_often_each() -> None:
    recorder = RefusalRecorder(unwritten)
    for number in range(30):
        recorder.note(
            RefusalRecord(
                id=str(number),
                refused_at=datetime.now(UTC),
                route="game",
                status=403,
                close_code=1008,
                cause="origin_refused",
                reason="",
                client_address=f"192.0.2.{number % 3}",
            )
        )
    recorder.measure()
    assert metrics.child(metrics.REFUSED_CLIENTS, "game", "origin_refused")._value.get() == 3

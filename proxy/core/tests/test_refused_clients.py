"""How many clients were refused of late, whatever each of them does."""

from __future__ import annotations

from datetime import UTC, datetime

from proxy.core.refusal_records import RefusalRecord
from proxy.core.refused_clients import REMEMBERED_SECONDS, RefusedClients

CAP = "too_many_per_ip"


def refusal(address: str, *, user: str = "", cause: str = CAP, at: float = 0.0) -> RefusalRecord:
    return RefusalRecord(
        id="1",
        refused_at=datetime.fromtimestamp(at, UTC),
        route="game",
        status=429,
        close_code=4013,
        cause=cause,
        reason="",
        client_address=address,
        user_id=user,
    )


def test_one_client_in_a_loop_is_one_and_others_are_counted_beside_it() -> None:
    clients = RefusedClients()
    for number in range(100):
        clients.note(refusal("192.0.2.1"))
        clients.note(refusal(f"2001:db8::{number:x}"))
    clients.note(refusal("192.0.2.1", user="ada"))
    clients.note(refusal("192.0.2.1", cause="blocked"))
    assert clients.counts(0) == {("game", CAP): 3, ("game", "blocked"): 1}


def test_a_client_is_forgotten_ten_minutes_after_its_last_refusal() -> None:
    clients = RefusedClients()
    for address, at in (("192.0.2.1", 0), ("192.0.2.2", 100), ("192.0.2.1", 500)):
        clients.note(refusal(address, at=at))
    assert clients.counts(100 + REMEMBERED_SECONDS) == {("game", CAP): 1}
    assert clients.counts(500 + REMEMBERED_SECONDS) == {("game", CAP): 0}


def test_a_crowd_takes_no_more_room_than_the_latest_of_it() -> None:
    clients = RefusedClients(most=10)
    for number in range(100):
        clients.note(refusal(f"192.0.2.{number}"))
    assert clients.counts(0) == {("game", CAP): 10}
    assert len(clients._refused_at) == 10

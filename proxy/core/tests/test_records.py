"""The record of one link, and events, as plain values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.principal import Principal
from proxy.core.records import ConnectionRecord

OPENED = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_first_end_of_a_link_is_the_one_that_is_kept() -> None:
    record = ConnectionRecord(id="c", route="r", opened_at=OPENED)
    at = OPENED + timedelta(seconds=1)
    record.end(Close(4001, "kicked"), by=ClosedBy.STAFF, at=at)
    record.end(Close(1006, "lost"), by=ClosedBy.CLIENT, at=at + timedelta(seconds=1))
    assert (record.close_code, record.close_reason) == (4001, "kicked")
    assert (record.closed_by, record.closed_at) == (ClosedBy.STAFF, at)


def test_a_link_is_live_until_it_ends() -> None:
    record = ConnectionRecord(id="c", route="r", opened_at=OPENED)
    assert (record.closed_at, record.close_code, record.closed_by) == (None, None, None)


def test_two_events_of_the_same_text_are_two_events() -> None:
    assert Event("{}") != Event("{}")


def test_a_principal_never_shows_its_token_or_claims() -> None:
    shown = repr(Principal(user_id="42", token="secret-token", claims={"jti": "secret-jti"}))
    assert "42" in shown
    assert "secret" not in shown

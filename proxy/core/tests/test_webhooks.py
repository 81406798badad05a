"""What a webhook is told, and how it is signed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.core import webhooks
from proxy.core.closes import Close, ClosedBy
from proxy.core.records import ConnectionRecord
from proxy.core.webhooks import EventType, MemberChanges, PendingEvents, event_of, secret_key, signed

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_signature_is_that_of_the_rules_own_example() -> None:
    key = secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = signed(body, key, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", at=1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_no base64",
        base64.b64encode(b"k" * 32).decode(),
        "whsec_" + "A" * 96,
    ],
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"secret|base64|padding"):
        secret_key(text)


def test_the_end_of_a_link_says_why_and_how_much_went_over_it() -> None:
    record = ConnectionRecord(id="c1", route="game", opened_at=NOON, user_id="\ud800", messages_in=3)
    with pytest.raises(ValueError, match="no end"):
        webhooks.closed(record)
    record.end(Close(4001, "spam"), by=ClosedBy.STAFF, at=NOON)
    told = json.loads(webhooks.body_of([webhooks.opened(record), webhooks.closed(record)], node_id="n1"))
    assert [event["type"] for event in told["data"]] == ["connection.opened", "connection.closed"]
    end = told["data"][1]["data"]
    assert (end["cause"], end["closed_by"], end["code"], end["messages_in"]) == ("kicked", "staff", 4001, 3)
    assert told["data"][0]["id"] != told["data"][1]["id"]


def test_a_member_is_told_of_when_it_changes_and_one_that_is_removed_is_down_no_more() -> None:
    changes = MemberChanges()
    a, b = ("studio", "ws://a"), ("studio", "ws://b")
    assert changes.look([]) == []
    assert changes.look([b, a]) == [(EventType.MEMBER_DOWN, *a), (EventType.MEMBER_DOWN, *b)]
    assert changes.look([a, b]) == []
    assert changes.look([a]) == [(EventType.MEMBER_UP, *b)]


class AgainstAReceiver(RuleBasedStateMachine):
    """In order, none twice in two batches, and what is missing was counted, whatever fails."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = PendingEvents(most=8)
        self.noted: list[str] = []
        self.received: list[str] = []
        self.batch: list[str] = []
        self.failed: list[str] = []

    @rule(kind=st.sampled_from([EventType.OPENED, EventType.REFUSED]))
    def note(self, kind: EventType) -> None:
        self.noted.append(f"{len(self.noted):05}")
        self.pending.note(event_of(kind, self.noted[-1], NOON, {}))

    @precondition(lambda self: not self.batch and self.pending.waiting)
    @rule()
    def take(self) -> None:
        self.batch = [event["id"] for event in self.pending.take(3)]
        assert not self.failed or self.batch == self.failed, "the same request again"

    @precondition(lambda self: self.batch)
    @rule(works=st.booleans())
    def finish(self, *, works: bool) -> None:
        if works:
            self.received += self.batch
            self.pending.written()
        else:
            self.pending.put_back()
        self.failed, self.batch = ([] if works else self.batch), []

    @invariant()
    def holds(self) -> None:
        assert self.received == sorted(set(self.received))
        assert self.pending.count <= 8
        assert len(self.noted) == len(self.received) + self.pending.count + self.pending.dropped


TestAgainstAReceiver = AgainstAReceiver.TestCase


def test_strangers_who_are_refused_push_nothing_else_out() -> None:
    pending = PendingEvents(most=10)
    for number in range(100):
        pending.note(event_of(EventType.REFUSED, f"r{number}", NOON, {}))
    for number in range(5):
        pending.note(event_of(EventType.CLOSED, f"c{number}", NOON, {}))
    assert [event["id"] for event in pending.take(100)] == [
        *(f"r{n}" for n in range(5)),
        *(f"c{n}" for n in range(5)),
    ]
    assert pending.dropped == 95

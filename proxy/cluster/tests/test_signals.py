"""What nodes tell each other, as the release before this one and the next will read it."""

from __future__ import annotations

import time

import pytest

from proxy.cluster.signals import EVENT, Closing, event, event_of, published_at
from proxy.core.closes import KICKED, REPLACED, Close, ClosedBy


def test_a_close_says_only_what_it_has_to_say() -> None:
    closing = Closing(close=Close(4001, "bye"), by=ClosedBy.STAFF, kick="k1")
    assert closing.signal() == {
        "type": "gateway.close",
        "code": 4001,
        "reason": "bye",
        "closed_by": "staff",
        "kick": "k1",
    }


@pytest.mark.parametrize(
    "closing",
    [
        Closing(close=KICKED, by=ClosedBy.STAFF, kick="k1"),
        Closing(close=REPLACED, by=ClosedBy.GATEWAY, replaced="link1"),
    ],
)
def test_a_close_is_read_as_it_was_meant(closing: Closing) -> None:
    assert Closing.of({**closing.signal(), "topic": "everyone"}) == closing


def test_what_an_older_or_a_foreign_sender_leaves_out_or_mistakes_is_not_made_up() -> None:
    assert Closing.of({"code": "4001", "kick": 7, "replaced": None}) == Closing(
        close=Close(4001, ""), by=ClosedBy.GATEWAY
    )
    for broken in ({}, {"code": "x"}, {"code": 4001, "closed_by": "nobody"}):
        with pytest.raises((KeyError, ValueError)):
            Closing.of(broken)


def test_an_event_keeps_its_text_as_it_is() -> None:
    text = '{"type":"quest.updated","n":1}'
    assert event_of({**event(text), "topic": "user:42"}).text == text


def test_who_publishes_says_when_and_a_node_of_before_does_not() -> None:
    assert time.time() - 5 < (published_at(event("{}")) or 0) <= time.time()
    assert published_at({"type": EVENT, "text": "{}"}) is None
    assert published_at({"at": "now"}) is None

"""What an event may be, and when one that waits for a commit is sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from pytest_django.fixtures import Settings

from proxy.cluster import publishing, shipping
from proxy.cluster.publishing import Publication, encode_event, publish_on_commit
from proxy.cluster.signals import event_of
from proxy.core.history import SINCE_BYTES, History
from proxy.models import WaitingEvent

DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The groups that are nudged."""
    groups: list[str] = []

    class Layer:
        def __init__(self) -> None:
            self.store = self

        def nudge_sync(self, group: str, signal: object) -> None:
            groups.append(group)

    monkeypatch.setattr(shipping, "get_channel_layer", Layer)
    return groups


def test_an_event_is_one_compact_json_text() -> None:
    assert encode_event({"type": "chat", "text": "é"}) == '{"type":"chat","text":"é"}'


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "text",
        {},
        {"type": ""},
        {"type": 1},
        {"type": "gateway.resync"},
        {"type": "a", "at": object()},
        {"type": "a", "at": float("nan")},
        {"type": "a", "text": "\ud800"},
        {"type": "a", "deep": DEEP},
    ],
    ids=lambda event: repr(event)[:40] if event is None or "deep" not in event else "deep",
)
def test_what_clients_could_not_read_or_would_take_for_the_gateway_is_refused(event: Any) -> None:
    with pytest.raises(ValueError, match=r"^(an event|types) "):
        encode_event(event)


def test_an_event_has_a_bound_in_bytes_that_is_named(settings: Settings) -> None:
    settings.MAX_EVENT_BYTES = 24
    assert encode_event({"type": "é" * 6}) == '{"type":"éééééé"}'
    with pytest.raises(ValueError, match=r"^an event has at most 24 bytes; this one has 25$"):
        encode_event({"type": "é" * 7})


def test_where_the_gateway_adds_a_position_an_event_has_room_for_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "history_of", lambda _: History(events=1, seconds=1))
    settings.MAX_EVENT_BYTES = 100
    event = {"type": "a", "text": ""}
    bare = len(encode_event(event))
    largest = event | {"text": "x" * (100 - SINCE_BYTES - bare)}
    signal = {**Publication("user:1", largest).question().signal, "since": f"{'9' * 20}-{'9' * 16}"}
    assert len(event_of(signal).text) == 100
    with pytest.raises(ValueError, match=f"^an event has at most {100 - SINCE_BYTES} bytes; this one has"):
        Publication("user:1", event | {"text": largest["text"] + "x"}).question()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_is_told_of_once_when_it_has_committed(nudges: list[str]) -> None:
    publish_on_commit("user:1", {"type": "at once"})
    assert len(nudges) == 1
    with transaction.atomic():
        with transaction.atomic():
            publish_on_commit("user:1", {"type": "rolled back"})
            transaction.set_rollback(True)
        publish_on_commit("user:1", {"type": "one"})
        publish_on_commit("user:1", {"type": "two"})
        assert len(nudges) == 1
    assert len(nudges) == 2
    with transaction.atomic():
        publish_on_commit("user:1", {"type": "rolled back"})
        transaction.set_rollback(True)
    assert len(nudges) == 2
    texts = WaitingEvent.objects.order_by("id").values_list("text", flat=True)
    assert list(texts) == ['{"type":"at once"}', '{"type":"one"}', '{"type":"two"}']


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("topic", "event"),
    [("nowhere", {"type": "a"}), ("user:1", {"type": 1}), ("user:1", {"type": "x" * (1 << 20)})],
    ids=["topic", "event", "size"],
)
def test_a_mistake_fails_where_it_was_made(nudges: list[str], topic: str, event: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  which mistake does not matter here
        publish_on_commit(topic, event)
    assert not nudges
    assert not WaitingEvent.objects.exists()


def test_who_publishes_gives_no_position_where_the_gateway_does(
    nudges: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"type": "a", "since": "1-1"}
    assert Publication("user:1", event).question().history is None
    monkeypatch.setattr(publishing, "history_of", lambda _: History(events=1, seconds=1))
    with pytest.raises(ValueError, match="is given its 'since' by the gateway"):
        Publication("user:1", event).question()
    with pytest.raises(ValueError, match="is given its 'since' by the gateway"):
        publish_on_commit("user:1", event)

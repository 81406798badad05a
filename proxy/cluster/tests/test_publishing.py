"""Publishing: what an event may be, and when it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.contrib.auth.models import Group
from django.db import transaction

from proxy.cluster import signals
from proxy.cluster.publishing import encode_event, publish, publish_on_commit
from proxy.cluster.signals import LayerAway

DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Groups and messages, as they are sent."""
    messages: list[tuple[str, dict[str, Any]]] = []

    class Layer:
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            messages.append((group, message))

    monkeypatch.setattr(signals, "get_channel_layer", Layer)
    return messages


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
    with pytest.raises(ValueError):  # noqa: PT011  json's own, too
        encode_event(event)


async def test_an_event_goes_to_its_topics_group_and_names_its_topic(sent: list[Any]) -> None:
    await publish("user:42", {"type": "chat"})
    message = {"type": "gateway.event", "topic": "user:42", "text": '{"type":"chat"}'}
    assert sent == [("gateway.user.42", message)]


@pytest.mark.django_db(transaction=True)
def test_an_event_leaves_after_commit_and_never_when_rolled_back(sent: list[Any]) -> None:
    publish_on_commit("user:1", {"type": "at once"})
    assert len(sent) == 1
    with transaction.atomic():
        publish_on_commit("user:1", {"type": "committed"})
        assert len(sent) == 1
    assert sent[1][1]["text"] == '{"type":"committed"}'
    with transaction.atomic():
        publish_on_commit("user:1", {"type": "rolled back"})
        transaction.set_rollback(True)
    assert len(sent) == 2


@pytest.mark.parametrize(("topic", "event"), [("nowhere", {"type": "a"}), ("user:1", {"type": 1})])
def test_a_mistake_fails_where_it_was_made(sent: list[Any], topic: str, event: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  which mistake does not matter here
        publish_on_commit(topic, event)
    assert sent == []


async def test_it_reaches_channels_own_layer() -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add("gateway.everyone", channel)
    await publish("everyone", {"type": "hello"})
    assert (await layer.receive(channel))["text"] == '{"type":"hello"}'
    await layer.group_discard("gateway.everyone", channel)


@pytest.mark.django_db(transaction=True)
def test_after_a_commit_an_outage_comes_out_of_the_block_and_the_data_are_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Layer:
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            raise ConnectionError("gone")

    monkeypatch.setattr(signals, "get_channel_layer", Layer)
    with pytest.raises(LayerAway), transaction.atomic():  # noqa: PT012  all of the block
        Group.objects.create(name="saved")
        publish_on_commit("user:1", {"type": "committed"})
    assert Group.objects.filter(name="saved").exists()

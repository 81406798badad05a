"""`publish`: awaited in an event loop, done at return elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from experience.events import publish
from proxy.cluster import signals


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The groups that were sent to."""
    groups: list[str] = []

    class Layer:
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            groups.append(group)

    monkeypatch.setattr(signals, "get_channel_layer", Layer)
    return groups


async def test_in_a_running_loop_an_event_is_sent_when_awaited(sent: list[str]) -> None:
    published = publish("user:42", {"type": "chat"})
    assert published is not None
    assert sent == []
    await published
    assert sent == ["gateway.user.42"]


@pytest.mark.django_db(transaction=True)
def test_elsewhere_an_event_is_sent_before_publish_returns(sent: list[str]) -> None:
    assert publish("user:42", {"type": "chat"}) is None
    assert sent == ["gateway.user.42"]

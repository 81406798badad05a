"""Users who call the API, what they have said, and what services were told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client

from experience.chat.models import Message
from proxy.models import WaitingEvent
from proxy.rest.tests.calling import token

BASE = "/api/chat"
ALL = f"{BASE}/conversations"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def call(method: str, path: str, body: object = None, *, by: str) -> tuple[int, Any]:
    """`by` is a user id, or a whole Authorization."""
    options: dict[str, Any] = {"headers": {"Authorization": by if " " in by else token(by)}}
    if body is not None:
        options |= {"data": json.dumps(body), "content_type": "application/json"}
    answer = Client().generic(method, path, **options)
    return answer.status_code, answer.json() if answer.content else None


def make(by: str, *others: str) -> str:
    status, made = call("POST", ALL, {"participants": list(others)}, by=by)
    assert status == 201, made
    return str(made["id"])


def say(conversation_id: str, senders: Sequence[str], *, first: int = 1, at_seconds: float = 0) -> None:
    """One message of each, a second apart."""
    Message.objects.bulk_create(
        Message(
            conversation_id=conversation_id,
            sequence=sequence,
            sender_id=sender,
            text=f"{sequence} of {sender}",
            created_at=EPOCH + timedelta(seconds=at_seconds + sequence),
        )
        for sequence, sender in enumerate(senders, first)
    )


def told() -> list[tuple[str, dict[str, Any]]]:
    """What was told to services since this was called last: the topic, and the event."""
    rows = list(WaitingEvent.objects.order_by("pk"))
    WaitingEvent.objects.all().delete()
    return [(row.topic, json.loads(row.text)) for row in rows]

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest

from config.testing.starts import run
from experience import settings
from experience.chat import outgoing
from experience.chat.messages import ConversationBlocked, ConversationUnblocked
from proxy.models import OutgoingEvent

CREATED: dict[str, Any] = {
    "message_id": "c1.7",
    "sender_id": "alice",
    "text": "hello\0 ☃",
    "created_at": 1767225600,
    "participants": ["alice", "bob"],
}
SAY = "from experience import settings; print(settings.CHAT_EVENTS, end='')"


@pytest.fixture
def to_nats(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(settings, "CHAT_EVENTS", "nats")
    return settings


def test_a_message_and_a_block_leave_by_the_subjects_and_in_the_words_of_the_document() -> None:
    created = outgoing.message_created("c1", **CREATED)
    assert (created.subject, created.key) == ("chat.message.created.c1", "c1")
    assert json.loads(created.text()) == {
        "type": "message.created",
        "conversation_id": "c1",
        "message": {"id": "c1.7", "sender_id": "alice", "text": "hello\0 ☃", "created_at": 1767225600},
        "participants": ["alice", "bob"],
    }
    users = {"by_user_id": "alice", "target_user_id": "bob"}
    for message, kind in (
        (ConversationBlocked("c1", **users), "conversation.blocked"),
        (ConversationUnblocked("c1", **users), "conversation.unblocked"),
    ):
        told = outgoing.of_a_block(message)
        assert (told.subject, told.key) == (f"chat.{kind}.c1", "c1")
        assert told.body == {"type": kind, "conversation_id": "c1", **users}


@pytest.mark.parametrize("conversation_id", ["a.b", "a b", "*", ">", "#", "ä", "%2E", "c" * 128])
def test_a_conversation_is_one_token_whatever_its_id_says(conversation_id: str) -> None:
    subject = outgoing.message_created(conversation_id, **CREATED).subject
    assert subject.count(".") == 3
    assert not set(subject) & set(" *>#")


@pytest.mark.django_db
def test_events_are_written_where_they_go_somewhere_and_only_there(to_nats: ModuleType) -> None:
    outgoing.write([outgoing.message_created("c1", **CREATED)] * 3)
    assert OutgoingEvent.objects.filter(key="c1").count() == 3
    to_nats.CHAT_EVENTS = "off"  # type: ignore[attr-defined]
    outgoing.write([outgoing.message_created("c2", **CREATED)])
    assert not OutgoingEvent.objects.filter(key="c2").exists()


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ({}, "off"),
        ({"NATS_URL": "nats://n"}, "nats"),
        ({"AMQP_URL": "amqp://r"}, "rabbitmq"),
        ({"NATS_URL": "nats://n", "AMQP_URL": "amqp://r"}, "rabbitmq"),
        ({"NATS_URL": "nats://n", "AMQP_URL": "amqp://r", "CHAT_EVENTS": "nats"}, "nats"),
        ({"NATS_URL": "nats://n", "CHAT_EVENTS": "off"}, "off"),
    ],
)
def test_where_they_go_unless_that_is_said(env: dict[str, str], where: str) -> None:
    needed = {"DJANGO_SETTINGS_MODULE": "config.settings", "SECRET_KEY": "k" * 50}
    said = run([sys.executable, "-c", SAY], env={**needed, **env}, timeout=60, check=True)
    assert said.stdout == where

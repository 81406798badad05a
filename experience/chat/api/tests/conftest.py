"""A database of each kind, on which what is told to the services can be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from experience.chat.models import Block, Conversation
from experience.chat.topics import chat_topic
from experience.settings import CHAT_CHANGE_RATE_PER_USER
from proxy.cluster import publishing
from proxy.conftest import any_database, migrated_postgres, postgres_database  # noqa: F401  fixtures
from proxy.registry import topic_kinds
from proxy.rest import access
from proxy.rest.rates import UserRate


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the chat's route was among ROUTES, whatever those are."""
    monkeypatch.setattr(publishing, "topic_kinds", lambda: tuple({*topic_kinds(), chat_topic}))


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's users have called nothing yet."""
    monkeypatch.setattr(access, "_CALLS", UserRate(lambda: settings.API_RATE_PER_USER))
    changes = UserRate(lambda: CHAT_CHANGE_RATE_PER_USER)
    monkeypatch.setattr("experience.chat.api.conversations.CHANGES", changes)
    monkeypatch.setattr("experience.chat.api.blocks.CHANGES", changes)


@pytest.fixture
def chat_tables(any_database: None) -> Iterator[None]:  # noqa: F811
    """The test runs twice: on SQLite and on PostgreSQL."""
    yield
    Conversation.objects.all().delete()
    Block.objects.all().delete()

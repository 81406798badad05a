from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from experience.chat.tests.serving import Chat, ChatProgram
from proxy.conftest import migrated_database
from proxy.tables.executor import DatabaseExecutor


@pytest.fixture(params=["sqlite", "postgresql"])
def chat_url(
    request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """A database of the test's own, for this process and its services: once on each kind."""
    sqlite = f"sqlite:///{tmp_path / 'chat.sqlite3'}"
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else sqlite
    with migrated_database(url, django_db_blocker):
        yield url


@pytest.fixture
async def database(chat_url: str) -> AsyncIterator[DatabaseExecutor]:
    """Where this process reads and writes."""
    executor = DatabaseExecutor(timeout_seconds=30)
    yield executor
    await executor.close()


@pytest.fixture
def chat(chat_url: str, database: DatabaseExecutor, tmp_path: Path) -> Iterator[Chat]:
    """What makes services and conversations. Each service must end in good order, or be killed."""
    with Chat(chat_url, tmp_path).ending() as chat:
        chat.database = database
        yield chat


@pytest.fixture(scope="module")
def shared_chat(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[Chat]:
    """As `chat`, on SQLite, for all tests of a file."""
    directory = tmp_path_factory.mktemp("chat")
    url = f"sqlite:///{directory / 'chat.sqlite3'}"
    with migrated_database(url, django_db_blocker), Chat(url, directory).ending() as chat:
        yield chat


@pytest.fixture(scope="module")
def shared_service(shared_chat: Chat) -> ChatProgram:
    """One service for all tests that leave it running."""
    return shared_chat.service()

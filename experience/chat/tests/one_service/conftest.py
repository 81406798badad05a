"""One service, a conversation of two, and their sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from experience.chat.tests.serving import (
    Chat,
    ChatProgram,
    Talker,
    talking,
)
from proxy.api import DatabaseExecutor


@pytest.fixture
async def chat(shared_chat: Chat) -> AsyncIterator[Chat]:
    shared_chat.database = DatabaseExecutor(timeout_seconds=30)
    yield shared_chat
    await shared_chat.database.close()


@pytest.fixture
def service(shared_service: ChatProgram) -> ChatProgram:
    return shared_service


@pytest.fixture
async def room(chat: Chat) -> str:
    return await chat.conversation("alice", "bob")


@pytest.fixture
async def alice(service: ChatProgram, room: str) -> AsyncIterator[Talker]:
    async with talking(service, "alice") as talker:
        yield talker


@pytest.fixture
async def bob(service: ChatProgram, room: str) -> AsyncIterator[Talker]:
    async with talking(service, "bob", conversation_id=room) as talker:
        yield talker

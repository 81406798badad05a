"""Who waits for whom in PostgreSQL: what one service or one user holds keeps nobody else's messages back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db.backends.utils import CursorWrapper
from django.db.models.signals import post_delete

from experience.chat import membership, store
from experience.chat.models import Conversation, Message
from experience.chat.store import Draft, Written
from experience.chat.tests.serving import make_conversation
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.parametrize("chat_url", ["postgresql"], indirect=True)
DEADLINE_SECONDS = 20.0


@pytest.fixture
async def other() -> Any:
    """As another service, or a gateway."""
    executor = DatabaseExecutor(timeout_seconds=30)
    yield executor
    await executor.close()


@contextmanager
def numbering(url: str, conversation_id: str) -> Iterator[None]:
    """A service that is frozen in the middle of a transaction, in which it has kept a message."""
    with psycopg.connect(url) as frozen:
        frozen.execute(
            "INSERT INTO chat_message (conversation_id, sequence, sender_id, text, created_at)"
            " VALUES (%s, 1, 'bob', 'hello', now())",
            [conversation_id],
        )
        yield
        frozen.rollback()


async def test_a_conversation_that_another_service_holds_keeps_no_other_back(
    chat_url: str, database: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.tables.executor.LOCK_SECONDS", 0.2)
    for name in ("a", "b", "c"):
        await database.run(make_conversation, name, ["alice", "bob"])
    drafts = [Draft(name, "alice", f"{number}") for number in (1, 2) for name in ("a", "b", "c")]

    with numbering(chat_url, "a"), numbering(chat_url, "b"):
        async with asyncio.timeout(DEADLINE_SECONDS):
            written = await database.run(store.write, drafts)

    told = [each and each.kept and (each.kept.conversation_id, each.kept.sequence) for each in written]
    assert told == [None, None, ("c", 1), None, None, ("c", 2)]
    assert None not in await database.run(store.write, drafts)


async def test_keys_that_two_services_are_sent_crosswise_cost_nobody_a_message(
    database: DatabaseExecutor, other: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c", "d"):
        await database.run(make_conversation, name, ["mallory", "bob"])
    both_have_begun, begun, insert = threading.Barrier(2), set[int](), store._insert

    def inserted(cursor: CursorWrapper, draft: Draft, now: int) -> int | None:
        number = insert(cursor, draft, now)
        if threading.get_ident() not in begun:
            begun.add(threading.get_ident())
            both_have_begun.wait(DEADLINE_SECONDS)
        return number

    monkeypatch.setattr(store, "_insert", inserted)

    async def write(service: DatabaseExecutor, *pairs: tuple[str, str]) -> list[Written | None]:
        drafts = [Draft(name, "mallory", "hello", key) for name, key in pairs]
        return await service.run(store.write, [*drafts, Draft(pairs[-1][0], "bob", "hello")])

    async with asyncio.timeout(DEADLINE_SECONDS):
        first, second = await asyncio.gather(
            write(database, ("a", "one"), ("c", "two")), write(other, ("b", "two"), ("d", "one"))
        )

    assert None not in [*first, *second]
    assert await database.run(Message.objects.filter(sender_id="bob").count) == 2


async def test_a_conversation_is_deleted_while_its_users_talk(
    database: DatabaseExecutor, other: DatabaseExecutor, chat_url: str
) -> None:
    await database.run(make_conversation, "a", ["alice", "bob"])
    draft = Draft("a", "alice", "hello")
    await database.run(store.write, [draft])
    loop, said = asyncio.get_running_loop(), list[Any]()

    def say(**_: object) -> None:
        """Once all that was said has been deleted, and the conversation has not."""
        if not said:
            writing = asyncio.run_coroutine_threadsafe(other.run(store.write, [draft]), loop)
            said.extend(writing.result(DEADLINE_SECONDS))

    post_delete.connect(say, sender=Message)
    try:
        await database.run(membership.delete, "a")
    finally:
        post_delete.disconnect(say, sender=Message)

    assert said[0].kept is not None
    assert await database.run(Conversation.objects.count) == 0
    assert await other.run(store.write, [draft]) == [None]


async def test_messages_are_kept_while_a_block_is_written_down(
    database: DatabaseExecutor, other: DatabaseExecutor, chat_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.run(make_conversation, "a", ["alice", "bob"])
    loop, said = asyncio.get_running_loop(), list[Any]()

    def say(*_: object) -> None:
        writing = asyncio.run_coroutine_threadsafe(
            other.run(store.write, [Draft("a", "alice", "hello")]), loop
        )
        said.extend(writing.result(DEADLINE_SECONDS))

    monkeypatch.setattr(membership, "publish_on_commit", say)
    await database.run(membership.block, "alice", "bob")

    assert [each and each.kept.sequence for each in said] == [1]

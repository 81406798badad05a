"""What is written and read, on SQLite and on PostgreSQL, by several at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from experience import settings
from experience.chat import store
from experience.chat.models import Block, Conversation, Message, Participant
from experience.chat.store import Draft, Kept, Read, Written
from experience.chat.tests.serving import make_conversation
from proxy.models import OutgoingEvent
from proxy.tables.executor import DatabaseExecutor

T = TypeVar("T")
WRITERS, MESSAGES_EACH = 4, 60


@pytest.fixture
async def conversation_id(database: DatabaseExecutor) -> str:
    return await database.run(make_conversation, "c", ["alice", "bob"])


def kept(written: Written | None) -> Kept:
    assert written is not None
    assert written.kept is not None
    return written.kept


def statements(work: Callable[[], object]) -> list[str]:
    """What the database was asked, without where transactions begin and end."""
    with CaptureQueriesContext(connection) as asked:
        work()
    words = [query["sql"].split()[0] for query in asked.captured_queries]
    return [word for word in words if word not in {"BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"}]


async def test_a_message_is_one_insert_and_no_other_query(
    database: DatabaseExecutor, conversation_id: str
) -> None:
    drafts = [Draft(conversation_id, "alice", f"text {number}", f"key {number}") for number in range(3)]

    assert await database.run(statements, lambda: store.write(drafts)) == ["INSERT"] * 3


async def test_messages_are_numbered_from_one_in_their_conversation(
    database: DatabaseExecutor, conversation_id: str
) -> None:
    other = await database.run(make_conversation, "a", ["alice"])
    drafts = [Draft(place, "alice", f"{place}") for place in (conversation_id, other, conversation_id)]
    written = await database.run(store.write, drafts)

    places = [(kept(each).conversation_id, kept(each).sequence) for each in written]
    assert places == [(conversation_id, 1), (other, 1), (conversation_id, 2)]
    found = await database.run(store.messages_between, conversation_id, range(1, 3), most=10)
    assert found == [kept(written[0]), kept(written[2])]


async def test_other_services_are_told_of_each_new_message_in_the_same_transaction(
    database: DatabaseExecutor, conversation_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "CHAT_EVENTS", "nats")
    draft = Draft(conversation_id, "alice", "hello", "key", ("alice", "bob"))
    drafts = [draft, draft, draft._replace(text="again", idempotency_key=None)]

    assert await database.run(statements, lambda: store.write(drafts)) == [
        *("INSERT", "INSERT", "SELECT", "INSERT"),  # of messages, the second of which is a repeat
        "INSERT",
    ]
    rows = OutgoingEvent.objects.order_by("id").values_list("subject", "key", "body")
    told = [(subject, key, json.loads(body)) for subject, key, body in await database.run(list, rows)]
    assert [(subject, key) for subject, key, _ in told] == [("chat.message.created.c", "c")] * 2
    assert [(body["message"]["id"], body["participants"]) for *_, body in told] == [
        ("c.1", ["alice", "bob"]),
        ("c.2", ["alice", "bob"]),
    ]


async def test_a_key_that_is_sent_again_is_answered_with_the_message_that_it_stands_for(
    database: DatabaseExecutor, conversation_id: str
) -> None:
    draft = Draft(conversation_id, "alice", "hello", "key")
    first, twin = await database.run(store.write, [draft, draft])
    (again,) = await database.run(store.write, [draft])

    assert (kept(first).sequence, kept(twin), kept(again)) == (1, kept(first), kept(first))
    assert first is not None
    assert twin is not None
    assert (first.is_repeat, twin.is_repeat) == (False, True)
    assert await database.run(Message.objects.count) == 1
    (others,) = await database.run(store.write, [draft._replace(sender_id="bob")])
    assert kept(others).sequence == 2


@pytest.mark.parametrize("change", [{"text": "bye"}, {"conversation_id": "other"}])
async def test_a_key_stands_for_one_message_only(
    database: DatabaseExecutor, conversation_id: str, change: dict[str, Any]
) -> None:
    await database.run(make_conversation, "other", ["alice"])
    draft = Draft(conversation_id, "alice", "hello", "key")
    await database.run(store.write, [draft])

    assert await database.run(store.write, [draft._replace(**change)]) == [Written(None, is_repeat=True)]
    assert await database.run(Message.objects.count) == 1


async def test_what_no_database_takes_harms_no_other_message(
    database: DatabaseExecutor, conversation_id: str
) -> None:
    draft = Draft(conversation_id, "alice", "hello")
    bad = draft._replace(conversation_id="nowhere")
    before, wrong, after = await database.run(store.write, [draft, bad, draft])

    assert wrong is None
    assert [kept(before).sequence, kept(after).sequence] == [1, 2]


async def test_several_services_number_without_a_gap_and_keep_each_senders_order(
    database: DatabaseExecutor, conversation_id: str
) -> None:
    """Each writes in batches, to two conversations, as fast as it can."""
    other = await database.run(make_conversation, "a", ["alice"])
    executors = [DatabaseExecutor(timeout_seconds=60) for _ in range(WRITERS)]

    async def write(number: int) -> None:
        drafts = [
            Draft(place, f"user {number}", str(each))
            for each in range(MESSAGES_EACH)
            for place in (conversation_id, other)
        ]
        left = drafts
        while left:
            try:
                written = await executors[number].run(store.write, left[:7])
            except OperationalError:  # SQLite gives a writer up that had to wait for a second
                continue
            left = [draft for draft, each in zip(left, written, strict=False) if each is None] + left[7:]

    try:
        await asyncio.gather(*(write(number) for number in range(WRITERS)))
    finally:
        await asyncio.gather(*(executor.close() for executor in executors))

    for place in (conversation_id, other):
        found = await database.run(store.messages_between, place, range(1, 10_000), most=10_000)
        assert [each.sequence for each in found] == list(range(1, WRITERS * MESSAGES_EACH + 1))
        for number in range(WRITERS):
            said = [int(each.text) for each in found if each.sender_id == f"user {number}"]
            assert said == list(range(MESSAGES_EACH))


async def test_what_was_read_only_moves_forward_and_to_messages_that_there_are(
    database: DatabaseExecutor, conversation_id: str
) -> None:
    await database.run(store.write, [Draft(conversation_id, "alice", "hello")] * 3)

    async def moved(sequence: int, user: str = "bob") -> bool:
        return bool(await database.run(store.set_read, [Read(conversation_id, user, sequence)], at=100))

    assert [await moved(sequence) for sequence in (2, 2, 1, 4, 3)] == [True, False, False, False, True]
    assert not await moved(3, user="carol")
    states = await database.run(store.states, [conversation_id])
    assert states[conversation_id].read == {"alice": 0, "bob": 3}


async def test_a_conversation_is_read_as_it_is(database: DatabaseExecutor, conversation_id: str) -> None:
    await database.run(make_conversation, "group", ["alice", "bob", "carol"])
    await database.run(store.write, [Draft(conversation_id, "alice", "hello")])
    await database.run(Block.objects.create, by_user_id="bob", target_user_id="alice")

    states = await database.run(store.states, [conversation_id, "group", "nowhere"])

    assert states.keys() == {conversation_id, "group"}
    assert (states[conversation_id].last, states[conversation_id].is_blocked) == (1, True)
    assert (states["group"].last, states["group"].is_blocked) == (0, False)
    assert await database.run(store.numbers, [conversation_id, "nowhere"]) == {conversation_id: (1, 1)}


async def test_who_joined_is_found(database: DatabaseExecutor, conversation_id: str) -> None:
    last = await database.run(store.last_participant)
    conversation = await database.run(Conversation.objects.get, pk=conversation_id)
    await database.run(Participant.objects.create, conversation=conversation, user_id="carol")

    ((_, place, user),) = await database.run(store.newest_participants, last, most=10)
    assert (place, user) == (conversation_id, "carol")
    assert await database.run(store.conversations_of, "carol", most=10) == [conversation_id]


async def test_who_is_added_to_many_conversations_still_hears_those_that_he_reads(
    database: DatabaseExecutor, conversation_id: str
) -> None:
    await database.run(store.write, [Draft(conversation_id, "alice", "hello")])
    await database.run(store.set_read, [Read(conversation_id, "bob", 1)], at=100)
    for number in range(3):
        await database.run(make_conversation, f"spam {number}", ["mallory", "bob"])

    heard = await database.run(store.conversations_of, "bob", most=2)
    assert heard == [conversation_id, "spam 2"]

"""A conversation as an instance knows it, without the services around it."""

from __future__ import annotations

import asyncio
import json

import pytest

from experience.chat.live import LiveConversation
from experience.chat.messages import ConversationBlocked, ConversationUnblocked, ServiceMessage, encode
from experience.chat.store import State
from proxy.api import Event


class Keeper:
    """Notes what is stale, and no more: what is missing is the services' to see to."""

    instance = "this one"

    def __init__(self) -> None:
        self.stale: list[str] = []

    def is_stale(self, conversation: LiveConversation) -> None:
        self.stale.append(conversation.id)

    def lacks(self, conversation: LiveConversation) -> None: ...

    def announce(self, topic: str, message: ServiceMessage) -> None: ...


class Ear:
    """A socket of a user."""

    def __init__(self, user_id: str) -> None:
        self.user_id, self.heard = user_id, list[str]()

    def tell(self, text: str) -> None:
        told = json.loads(text)
        self.heard.append(told.get("up_to_message_id", told["type"]))

    def left(self, conversation: LiveConversation) -> None:
        raise AssertionError("nobody leaves here")


async def test_a_receipt_moves_back_neither_by_a_state_that_was_read_before_it_nor_by_a_late_word() -> None:
    conversation, ear = LiveConversation("c", Keeper()), Ear("alice")
    conversation.became(State(1, 9, {"alice": 0, "bob": 3}, False), answers=1)
    conversation.sockets.add(ear)

    assert conversation.has_read("bob", 7, at=100)
    conversation.became(State(1, 9, {"alice": 2, "bob": 3}, False), answers=2)
    assert not conversation.has_read("bob", 5, at=100)
    assert ear.heard == ["c.7"]
    assert not conversation.is_unread("alice", 2)


async def test_who_has_left_and_come_back_has_read_nothing_again() -> None:
    conversation = LiveConversation("c", Keeper())
    conversation.became(State(1, 9, {"alice": 0, "bob": 7}, False), answers=1)
    conversation.became(State(3, 9, {"alice": 0, "bob": 0}, False), answers=2)

    assert conversation.is_unread("bob", 1)


async def test_what_is_asked_for_is_answered_by_no_reading_that_began_before() -> None:
    conversation = LiveConversation("c", Keeper())
    waiting = asyncio.ensure_future(conversation.answer(2))
    conversation.became(State(1, 0, {"alice": 0}, False), answers=1)
    await asyncio.wait([waiting], timeout=0.01)
    assert not waiting.done()
    conversation.became(State(2, 0, {"alice": 0, "bob": 0}, False), answers=2)
    await waiting


@pytest.mark.parametrize("kind", [ConversationBlocked, ConversationUnblocked])
async def test_a_block_and_its_end_are_told_and_looked_up(
    kind: type[ConversationBlocked | ConversationUnblocked],
) -> None:
    keeper = Keeper()
    conversation, ears = LiveConversation("c", keeper), [Ear("alice"), Ear("bob")]
    conversation.became(State(1, 0, {"alice": 0, "bob": 0}, False), answers=1)
    conversation.sockets.update(ears)

    told = kind("c", "alice", "bob")
    conversation.inject(Event(encode(told)))
    assert [ear.heard for ear in ears] == [[kind.__struct_config__.tag]] * 2
    assert keeper.stale == ["c"]

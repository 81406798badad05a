"""Who joins, leaves, is blocked or sees a conversation end, as one service has it."""

from __future__ import annotations

import asyncio

from experience.chat.models import Block, Conversation, Participant
from experience.chat.tests.serving import (
    DEADLINE_SECONDS,
    Chat,
    ChatProgram,
    Talker,
    talking,
    texts,
)


async def test_who_is_added_hears_of_it_and_who_left_hears_nothing_more(
    chat: Chat, service: ChatProgram, alice: Talker, room: str
) -> None:
    async with talking(service, "carol") as carol:
        await chat.database.run(change_participants, room, "carol")
        told = await carol.hear_until("conversation.changed")
        assert told["participants"] == ["alice", "bob", "carol"]
        assert await alice.hear_until("conversation.changed") == told
        await carol.send(room, "hello")
        assert await alice.hear_until("message.created") == await carol.hear_until("message.created")

        await chat.database.run(change_participants, room, "carol", leaves=True)
        await carol.hear_until("conversation.changed", participants=["alice", "bob"])
        await alice.hear_until("conversation.changed", participants=["alice", "bob"])
        await alice.send(room, "without her")
        await alice.hear_until("message.created")
        assert await carol.hears_nothing_before_pong() == []
        await carol.send(room, "may I")
        assert (await carol.hear())["code"] == "access_denied"


async def test_who_has_just_joined_comes_in_and_speaks_before_the_word_of_it_does(
    chat: Chat, service: ChatProgram, alice: Talker, room: str
) -> None:
    """The service knows the conversation without them, and looks once a second."""
    async with talking(service, "erin") as erin:
        assert await erin.hears_nothing_before_pong() == []
        for user in ("carol", "dave", "erin"):
            await chat.database.run(change_participants, room, user)
        async with talking(service, "carol", conversation_id=room), talking(service, "dave") as dave:
            await erin.send(room, "here I am")
            assert texts([await dave.hear_until("message.created")]) == ["here I am"]


async def test_who_is_unblocked_speaks_before_the_word_of_it_comes(chat: Chat, service: ChatProgram) -> None:
    room = await chat.conversation("eve", "trent")
    block = await chat.database.run(Block.objects.create, by_user_id="trent", target_user_id="eve")
    async with talking(service, "eve") as eve:
        await eve.send(room, "hello", key=f"{room} k")
        assert (await eve.hear_until("error"))["code"] == "blocked"
        await chat.database.run(block.delete)
        await eve.send(room, "hello", key=f"{room} k")
        assert texts([await eve.hear()]) == ["hello"]


async def test_a_socket_of_one_conversation_is_closed_when_its_user_leaves_it(
    chat: Chat, bob: Talker, room: str
) -> None:
    await chat.database.run(change_participants, room, "bob", leaves=True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await bob.socket.wait_closed()
    assert bob.socket.close_code == 1008


async def test_a_conversation_that_is_deleted_ends_for_its_participants(
    chat: Chat, alice: Talker, bob: Talker, room: str
) -> None:
    await chat.database.run(Conversation.objects.filter(pk=room).delete)
    told = await alice.hear_until("conversation.changed")
    assert (told["conversation_id"], told["participants"]) == (room, [])
    async with asyncio.timeout(DEADLINE_SECONDS):
        await bob.socket.wait_closed()
    await alice.send(room, "hello")
    assert (await alice.hear_until("error"))["code"] == "access_denied"


def change_participants(conversation_id: str, user_id: str, *, leaves: bool = False) -> None:
    """As the HTTP API does, but that it tells nobody."""
    conversation = Conversation.objects.get(pk=conversation_id)
    if leaves:
        Participant.objects.filter(conversation=conversation, user_id=user_id).delete()
    else:
        Participant.objects.create(conversation=conversation, user_id=user_id)
    conversation.version += 1
    conversation.save()

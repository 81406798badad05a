"""What users say to each other over one service: messages, typing, receipts."""

from __future__ import annotations

import asyncio
import json

import pytest

from experience.chat import live
from experience.chat.models import Block, Message
from experience.chat.tests.serving import (
    Chat,
    ChatProgram,
    Talker,
    talking,
    texts,
)


async def test_a_message_reaches_everybody_and_its_sender_is_told_which_one_it_was(
    alice: Talker, bob: Talker, room: str
) -> None:
    await alice.send(room, "hello", key=f"{room} k")

    mine, his = await alice.hear(), await bob.hear()
    assert mine.pop("idempotency_key") == f"{room} k"
    assert mine == his
    assert his["message"] == {**his["message"], "id": f"{room}.1", "sender_id": "alice", "text": "hello"}
    assert isinstance(his["message"]["created_at"], int)


async def test_all_hear_the_same_order_and_a_sender_its_own(
    service: ChatProgram, alice: Talker, bob: Talker, room: str
) -> None:
    async with talking(service, "alice", conversation_id=room) as second:
        for number in range(50):
            await alice.send(room, f"alice {number}")
            await bob.send(room, f"bob {number}")
        heard = [await each.hear_messages(100) for each in (alice, second, bob)]

    assert heard[0] == heard[1] == heard[2]
    assert [each["message"]["id"] for each in heard[0]] == [f"{room}.{number}" for number in range(1, 101)]
    for user in ("alice", "bob"):
        said = [text for text in texts(heard[0]) if text.startswith(user)]
        assert said == [f"{user} {number}" for number in range(50)]


async def test_a_send_that_is_repeated_is_answered_to_who_repeats_it_alone(
    chat: Chat, service: ChatProgram, alice: Talker, bob: Talker, room: str
) -> None:
    await alice.send(room, "hello", key=f"{room} k")
    first = await alice.hear()
    async with talking(service, "alice", conversation_id=room) as again:
        await again.send(room, "hello", key=f"{room} k")
        assert await again.hear() == first

    assert await alice.hears_nothing_before_pong() == []
    assert len(await bob.hears_nothing_before_pong()) == 1
    assert await chat.database.run(Message.objects.filter(conversation=room).count) == 1


async def test_a_key_for_another_text_is_refused(alice: Talker, room: str) -> None:
    await alice.send(room, "hello", key=f"{room} k")
    await alice.hear()
    await alice.send(room, "bye", key=f"{room} k")

    error = await alice.hear()
    assert (error["code"], error["idempotency_key"]) == ("idempotency_key_reused", f"{room} k")


@pytest.mark.parametrize(
    "message",
    [
        {"type": "message.send", "text": "hello", "idempotency_key": "k"},
        {"type": "typing.set", "state": "on"},
        {"type": "read.set", "up_to_message_id": "others.1"},
    ],
    ids=lambda message: str(message["type"]),
)
@pytest.mark.parametrize("place", ["others", "nowhere"])
async def test_who_takes_no_part_may_nothing_and_learns_nothing(
    chat: Chat, alice: Talker, message: dict[str, str], place: str
) -> None:
    others = await chat.conversation("carol", "dave")
    wanted = {**message, "conversation_id": others if place == "others" else "nowhere"}
    await alice.socket.send(json.dumps(wanted))

    error = await alice.hear()
    assert (error["code"], error["message"]) == ("access_denied", "You take no part in this conversation.")
    assert error.get("idempotency_key") == message.get("idempotency_key")
    assert not await chat.database.run(Message.objects.filter(conversation=others).exists)


async def test_a_socket_of_one_conversation_hears_no_other_and_may_send_to_it(
    chat: Chat, alice: Talker, bob: Talker, room: str
) -> None:
    other = await chat.conversation("bob", "carol")
    await bob.send(other, "from afar", key=f"{room} k")

    assert (await bob.hear())["message"]["id"] == f"{other}.1"
    await alice.send(room, "hello")
    assert (await bob.hear())["conversation_id"] == room


async def test_typing_is_heard_by_the_others_until_it_stops(alice: Talker, bob: Talker, room: str) -> None:
    for state in ("on", "on", "off", "off"):
        await alice.say("typing.set", conversation_id=room, state=state)
    assert await alice.hears_nothing_before_pong() == []

    told = [await bob.hear_until("conversation.typing") for _ in range(2)]
    expected = {"type": "conversation.typing", "conversation_id": room, "user_id": "alice"}
    assert told == [{**expected, "state": "on"}, {**expected, "state": "off"}]
    assert await bob.hears_nothing_before_pong() == []


async def test_typing_is_over_when_the_message_comes_and_when_its_socket_goes(
    service: ChatProgram, alice: Talker, bob: Talker, room: str
) -> None:
    await bob.say("typing.set", conversation_id=room, state="on")
    await bob.send(room, "hello")
    kinds = [(await alice.hear())["type"] for _ in range(3)]
    assert kinds == ["conversation.typing", "conversation.typing", "message.created"]

    await bob.say("typing.set", conversation_id=room, state="on")
    assert (await alice.hear())["state"] == "on"
    await bob.socket.close()
    assert (await alice.hear())["state"] == "off"


async def test_typing_expires(alice: Talker, bob: Talker, room: str) -> None:
    loop = asyncio.get_running_loop()
    await alice.say("typing.set", conversation_id=room, state="on")
    await bob.hear_until("conversation.typing", state="on")
    began = loop.time()
    await bob.hear_until("conversation.typing", state="off")
    assert loop.time() - began > live.TYPING_SECONDS - 0.5


async def test_receipts_reach_everybody_and_only_move_forward(
    service: ChatProgram, alice: Talker, bob: Talker, room: str
) -> None:
    for _ in range(3):
        await alice.send(room, "hello")
    await bob.hear_messages(3)
    for sequence in (2, 1, 2):
        await bob.say("read.set", conversation_id=room, up_to_message_id=f"{room}.{sequence}")

    receipt = await alice.hear_until("message.read")
    assert (receipt["user_id"], receipt["up_to_message_id"]) == ("bob", f"{room}.2")
    assert await bob.hear() == receipt
    await bob.say("read.set", conversation_id=room, up_to_message_id=f"{room}.3")
    assert (await alice.hear_until("message.read"))["up_to_message_id"] == f"{room}.3"


async def test_a_receipt_of_no_message_is_refused(alice: Talker, room: str) -> None:
    for wrong in ("other.1", room, f"{room}.", f"{room}.-1", f"{room}.0", f"{room}.1e3", f"{room}.٣"):
        await alice.say("read.set", conversation_id=room, up_to_message_id=wrong)
        assert (await alice.hear())["code"] == "validation_error", wrong


async def test_what_is_no_message_is_answered_and_the_socket_stays(alice: Talker) -> None:
    for wrong, code in (("{", "invalid_json"), ('{"type":"shout"}', "validation_error")):
        await alice.socket.send(wrong)
        assert (await alice.hear())["code"] == code
    await alice.socket.send(b"\x00")
    assert (await alice.hear())["code"] == "validation_error"
    assert await alice.hears_nothing_before_pong() == []


async def test_the_blocked_say_nothing_to_each_other(chat: Chat, service: ChatProgram) -> None:
    room = await chat.conversation("eve", "mallory")
    await chat.database.run(Block.objects.create, by_user_id="mallory", target_user_id="eve")
    async with talking(service, "eve") as eve, talking(service, "mallory") as mallory:
        for talker in (eve, mallory):
            await talker.say("typing.set", conversation_id=room, state="on")
            await talker.send(room, "hello", key=f"{room} k")
            assert (await talker.hear_until("error"))["code"] == "blocked"
        assert await mallory.hears_nothing_before_pong() == []

"""One service, as its clients see it."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from config.testing.gateway import issue
from experience.chat import live
from experience.chat.models import Block, Conversation, Message, Participant
from experience.chat.tests.serving import (
    DEADLINE_SECONDS,
    METRICS_TOKEN,
    Chat,
    ChatProgram,
    Talker,
    talking,
    texts,
)
from proxy.api import PROBE_USER_AGENT, DatabaseExecutor

OUTCOMES = ("kept", "repeated", "key_reused")


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


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/v1/chat/ws", "", 401),
        ("/v1/chat/ws", "token=no.such.token", 401),
        ("/v1/chat", "", 404),
        ("/v1/chat/ws", "token={token}&conversation_id=%00", 403),
        ("/v1/chat/ws", "token={token}&conversation_id=" + "x" * 600, 403),
    ],
)
async def test_who_may_not_come_in_is_told_why(
    service: ChatProgram, alice: Talker, room: str, path: str, query: str, status: int
) -> None:
    url = f"ws://{service.address}{path}?{query.format(token=issue('alice'))}"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, proxy=None)
    assert refused.value.response.status_code == status
    assert json.loads(bytes(refused.value.response.body))["message"]
    async with talking(service, "bob", conversation_id=room) as next_one:
        await alice.send(room, "hello")
        await next_one.hear_messages(1)


@pytest.mark.parametrize("place", ["others", "nowhere"])
async def test_nobody_comes_in_for_a_conversation_of_others(
    chat: Chat, service: ChatProgram, place: str
) -> None:
    others = await chat.conversation("carol", "dave")
    url = service.url("alice", conversation_id=others if place == "others" else "nowhere")
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, proxy=None)
    assert refused.value.response.status_code == 403


async def test_a_health_check_needs_no_token_and_may_only_ping(service: ChatProgram, room: str) -> None:
    url = f"ws://{service.address}/v1/chat/ws"
    async with connect(url, proxy=None, user_agent_header=PROBE_USER_AGENT) as health_check:
        probe = Talker(health_check)
        assert await probe.hears_nothing_before_pong() == []
        await probe.send(room, "hello")
        assert (await probe.hear())["code"] == "access_denied"

    def health() -> bytes:
        with urllib.request.urlopen(f"http://{service.address}/health", timeout=10) as answer:
            body: bytes = answer.read()
            return body

    assert json.loads(await asyncio.to_thread(health))["status"] == "ok"


async def test_what_the_service_does_is_counted_for_who_has_the_token(
    service: ChatProgram, alice: Talker, room: str
) -> None:
    before = await asyncio.to_thread(service.counted)
    for text in ("hello", "hello", "bye"):  # of which the second is a repeat
        await alice.send(room, text, key=f"{room} k")
        await alice.hear()
    await alice.send("nowhere", "hello")
    assert (await alice.hear())["code"] == "access_denied"
    with pytest.raises(InvalidStatus):
        await connect(service.url("mallory", conversation_id=room), proxy=None)
    async with talking(service, "bob") as bob:
        assert await bob.hears_nothing_before_pong() == []
        after = await asyncio.to_thread(service.counted)

    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    sends = {each: grown[f'chat_service_sends_total{{outcome="{each}"}}'] for each in OUTCOMES}
    assert sends == {"kept": 1, "repeated": 1, "key_reused": 1}
    assert grown['chat_service_errors_total{code="access_denied"}'] == 1
    assert grown['chat_service_errors_total{code="idempotency_key_reused"}'] == 1
    assert grown['chat_service_handshakes_total{outcome="access_denied"}'] == 1
    assert grown['chat_service_handshakes_total{outcome="accepted"}'] == 1
    assert grown["chat_service_sockets"] == 1
    assert grown["chat_service_batch_messages_sum"] == 3
    assert 1 <= grown["chat_service_write_seconds_count"] <= 3
    assert after["chat_service_sends_waiting"] == 0
    assert not any(room in name or "alice" in name for name in after)


@pytest.mark.parametrize("given", ["", "Bearer wrong", METRICS_TOKEN])
async def test_who_has_no_token_reads_no_metric(service: ChatProgram, given: str) -> None:
    request = urllib.request.Request(f"http://{service.address}/metrics", headers={"Authorization": given})
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(urllib.request.urlopen, request, timeout=10)
    assert (refused.value.code, json.load(refused.value)["code"]) == (401, "authentication_failed")


async def test_who_does_not_read_is_closed_and_holds_up_nobody(
    service: ChatProgram, alice: Talker, room: str
) -> None:
    with socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", int(service.address.rpartition(":")[2])))
        url = service.url("bob")
        async with connect(url, sock=narrow, proxy=None, compression=None, max_queue=1):
            async with asyncio.timeout(DEADLINE_SECONDS):
                while "a client reads too slowly" not in service.output:
                    for _ in range(50):
                        await alice.send(room, "🂡" * 4000)
                    await alice.hear_messages(50)
            assert await alice.hears_nothing_before_pong() == []


async def test_a_drain_keeps_what_it_has_told_and_says_when_to_come_back(chat: Chat, room: str) -> None:
    service = chat.service()
    async with talking(service, "alice") as alice:
        for number in range(50):
            await alice.send(room, str(number))
        ending = asyncio.create_task(asyncio.to_thread(service.stop))
        heard = [json.loads(each) async for each in alice.socket]
        told = texts([each for each in heard if each["type"] == "message.created"])

    assert await ending == 0
    assert alice.socket.close_code == 1001
    assert "retry in" in (alice.socket.close_reason or "")
    rows = Message.objects.filter(conversation=room).order_by("sequence")
    kept = await chat.database.run(list, rows.values_list("text", flat=True))
    assert kept == [str(number) for number in range(len(kept))]
    assert told == kept[: len(told)]

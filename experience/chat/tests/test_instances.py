"""Several services that share a database, and a Redis that comes and goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from config.testing.servers import PostgresServer, ValkeyServer
from experience.chat import store
from experience.chat.models import Participant
from experience.chat.store import Draft
from experience.chat.tests.serving import Chat, ChatProgram, Talker, talking, texts
from proxy.core.limits import LinkLimits

MESSAGES_EACH = 100


@pytest.fixture
def services(chat: Chat, own_valkey: ValkeyServer) -> list[ChatProgram]:
    """Two of them."""
    return [chat.service(REDIS_URL=own_valkey.url) for _ in range(2)]


@pytest.fixture
async def room(chat: Chat) -> str:
    return await chat.conversation("alice", "bob")


@pytest.fixture
async def alice(services: list[ChatProgram], room: str) -> AsyncIterator[Talker]:
    async with talking(services[0], "alice") as talker:
        yield talker


@pytest.fixture
async def bob(services: list[ChatProgram], room: str) -> AsyncIterator[Talker]:
    async with talking(services[1], "bob") as talker:
        yield talker


async def converse(talker: Talker, room: str, *, total: int) -> list[dict[str, Any]]:
    """Send as fast as it goes, and hear `total` messages."""
    for number in range(MESSAGES_EACH):
        await talker.send(room, str(number))
    return await talker.hear_messages(total)


async def test_participants_of_both_hear_one_order(alice: Talker, bob: Talker, room: str) -> None:
    heard = await asyncio.gather(*(converse(each, room, total=2 * MESSAGES_EACH) for each in (alice, bob)))

    assert heard[0] == heard[1]
    numbers = [each["message"]["id"] for each in heard[0]]
    assert numbers == [f"{room}.{number}" for number in range(1, 2 * MESSAGES_EACH + 1)]


@pytest.mark.parametrize("chat_url", ["postgresql"], indirect=True)
async def test_typing_and_receipts_cross_from_one_to_the_other(alice: Talker, bob: Talker, room: str) -> None:
    await alice.say("typing.set", conversation_id=room, state="on")
    assert (await bob.hear_until("conversation.typing"))["state"] == "on"
    await alice.say("typing.set", conversation_id=room, state="off")
    assert (await bob.hear_until("conversation.typing"))["state"] == "off"
    await alice.send(room, "hello")
    told = await bob.hear_until("message.created")
    await bob.say("read.set", conversation_id=room, up_to_message_id=told["message"]["id"])
    assert (await alice.hear_until("message.read"))["user_id"] == "bob"
    assert await bob.hears_nothing_before_pong() != []
    assert await bob.hears_nothing_before_pong() == []


@pytest.mark.parametrize("chat_url", ["postgresql"], indirect=True)
async def test_a_message_of_a_service_that_was_killed_is_found_by_the_others(
    chat: Chat, services: list[ChatProgram], alice: Talker, bob: Talker, room: str
) -> None:
    """As it was killed between keeping a message and telling of it."""
    await bob.send(room, "first")
    await alice.hear_messages(1)
    services[1].kill()
    last = Draft(room, "bob", "last words")
    await chat.database.run(store.write, [last])

    assert texts(await alice.hear_messages(1)) == ["last words"]
    async with talking(services[0], "bob") as back:
        await back.send(room, "third")
        assert texts(await alice.hear_messages(1)) == ["third"]


@pytest.mark.parametrize("chat_url", ["postgresql"], indirect=True)
async def test_while_the_database_is_away_clients_are_told_to_try_again_and_then_can(
    chat: Chat, room: str, postgres: PostgresServer
) -> None:
    service = chat.service()
    async with talking(service, "alice") as alice:
        await alice.send(room, "first")
        await alice.hear_until("message.created")
        postgres.kill()
        await alice.send(room, "second", key="k")
        refused = await alice.hear_until("error")
        assert (refused["code"], refused["idempotency_key"]) == ("unavailable", "k")
        async with asyncio.timeout(LinkLimits().dial_timeout_seconds):
            with pytest.raises(InvalidStatus) as turned_away:
                await connect(service.url("bob"), proxy=None)
        answer = turned_away.value.response
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert json.loads(bytes(answer.body))["message"] == "The chat cannot be read now; try again later."

        await asyncio.to_thread(postgres.start)
        again = "unavailable"
        while again == "unavailable":
            await alice.send(room, "second", key="k")
            again = (await alice.hear()).get("code", "")
        async with talking(service, "bob") as bob:
            await alice.send(room, "third", key="l")
            assert (await bob.hear())["message"]["id"] == f"{room}.3"


@pytest.mark.parametrize("chat_url", ["postgresql"], indirect=True)
async def test_a_receipt_that_the_database_does_not_take_yet_is_written_before_the_end(
    chat: Chat, room: str
) -> None:
    service, refused = chat.service(), "read positions were not kept"
    reader = Participant.objects.filter(conversation=room, user_id="bob")
    async with asyncio.timeout(40), await psycopg.AsyncConnection.connect(chat.url) as other:
        async with talking(service, "bob") as bob:
            await bob.send(room, "first")
            told = await bob.hear_until("message.created")
            await other.execute("SELECT * FROM chat_participant FOR UPDATE")
            await bob.say("read.set", conversation_id=room, up_to_message_id=told["message"]["id"])
            assert await bob.hears_nothing_before_pong() == []
            ending = asyncio.create_task(asyncio.to_thread(service.stop))
            await bob.socket.wait_closed()
        before = service.output.count(refused)
        while service.output.count(refused) == before and service.running:
            await asyncio.sleep(0.02)
        await other.rollback()
        assert await ending == 0
    assert await chat.database.run(reader.values_list("read_sequence", flat=True).get) == 1


@pytest.mark.parametrize("chat_url", ["postgresql"], indirect=True)
async def test_without_redis_messages_take_longer_and_none_is_lost(
    own_valkey: ValkeyServer, services: list[ChatProgram], alice: Talker, bob: Talker, room: str
) -> None:
    own_valkey.kill()
    talks = asyncio.gather(*(converse(each, room, total=2 * MESSAGES_EACH) for each in (alice, bob)))
    heard = await talks
    assert heard[0] == heard[1]
    dropped = 'chat_service_announcements_total{outcome="dropped"}'
    while not (await asyncio.to_thread(services[0].counted)).get(dropped):
        await asyncio.sleep(0.05)
    await asyncio.to_thread(own_valkey.start)
    heard = await asyncio.gather(*(converse(each, room, total=2 * MESSAGES_EACH) for each in (alice, bob)))
    assert heard[0] == heard[1]
    assert heard[0][-1]["message"]["id"] == f"{room}.{4 * MESSAGES_EACH}"

"""Who comes in, what is asked of a service beside its sockets, and how these end."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from config.testing.gateway import issue
from experience.chat.models import Message
from experience.chat.tests.serving import (
    DEADLINE_SECONDS,
    METRICS_TOKEN,
    Chat,
    ChatProgram,
    Talker,
    talking,
    texts,
)
from proxy.api import PROBE_USER_AGENT

OUTCOMES = ("kept", "repeated", "key_reused")


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

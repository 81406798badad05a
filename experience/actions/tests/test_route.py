"""The session service as its clients meet it: a real gateway, a real KB, a real Valkey."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from config.testing.servers import NatsServer, ValkeyServer
from experience.actions.tests.conftest import StartGateway
from experience.kb.tests.journey import play
from experience.kb.tests.serving import KbProgram, issue, running_kb
from experience.kb.world import WYLDING_WOODS

pytestmark = pytest.mark.timeout(90)
V1, V2 = "/ws/v1/experience", "/ws/v2/experience"
COLLECT = {"type": "action", "action": "collect_bottle"}
MIST = {**COLLECT, "item_id": "bottle_of_mist", "spot_id": "mill_pond"}


@pytest.fixture
def own_kb(kb_environment: dict[str, str], tmp_path: Path, valkey: ValkeyServer) -> Iterator[KbProgram]:
    """A service of the test's own, which publishes to its Valkey."""
    with running_kb(tmp_path, {**kb_environment, "REDIS_URL": valkey.url}) as kb:
        yield kb


def restart(kb: KbProgram) -> None:
    """Another process at the same address."""
    kb.argv[-1] = kb.address.rpartition(":")[2]
    kb.start()


async def told(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def ask(socket: ClientConnection, **fields: Any) -> dict[str, Any]:
    """The answer, told from events by its request id."""
    await socket.send(json.dumps({**fields, "request_id": "r1"}))
    while (answer := await told(socket)).get("request_id") != "r1":
        pass
    return answer


@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize("kind", ["serve", "daphne"])
async def test_the_same_game_is_played_on_both_routes_events_included(
    gateway_before: StartGateway, own_kb: KbProgram, kind: str, path: str, token: str
) -> None:
    async with gateway_before(own_kb.address, kind) as gateway:
        await play(gateway.url(path, token=token), expect_events=True)


@pytest.mark.parametrize("path", [V1, V2])
async def test_state_changes_come_over_nats_and_only_once_although_there_is_a_redis_too(
    gateway_before: StartGateway,
    kb_environment: dict[str, str],
    valkey: ValkeyServer,
    nats: NatsServer,
    tmp_path: Path,
    path: str,
    token: str,
) -> None:
    stores = {"REDIS_URL": valkey.url, "NATS_URL": nats.url}
    with running_kb(tmp_path, {**kb_environment, **stores}) as kb:
        async with asyncio.timeout(60), gateway_before(kb.address, NATS_URL=nats.url) as gateway:
            url = gateway.url(path, token=token)
            async with connect(url, proxy=None) as player, connect(url, proxy=None) as watcher:
                await told(player)
                await told(watcher)
                for item in WYLDING_WOODS.items.values():
                    await ask(player, **COLLECT, item_id=item.id, spot_id=item.spot_id)
                await ask(player, type="talk", npc_id="bram")
                heard = [await told(watcher) for _ in range(4)]
    assert [event["version"] for event in heard] == [1, 2, 3, 4]


async def test_the_greeting_is_the_gateways_with_the_services_fields(
    gateway_before: StartGateway, kb: KbProgram, token: str, user_id: str
) -> None:
    async with asyncio.timeout(20), gateway_before(kb.address) as gateway:
        offer = [Subprotocol("kb.v2"), Subprotocol("kb.v1")]
        async with connect(gateway.url(V2, token=token), proxy=None, subprotocols=offer) as socket:
            greeting = await told(socket)
            (record,) = await gateway.wait_for_records("closed_at IS NULL")
    assert list(greeting) == ["type", "connection_id", "user_id", "experience", "timestamp"]
    assert (greeting["user_id"], greeting["experience"]) == (user_id, "wylding-woods")
    assert greeting["connection_id"].replace("-", "") == str(record["id"]).replace("-", "")
    assert socket.subprotocol == "kb.v1"


@pytest.mark.parametrize(("token", "query"), [(None, {}), ("", {"experience": ""})])
async def test_a_handshake_is_refused_as_on_v1(
    gateway_before: StartGateway, kb: KbProgram, token: str | None, query: dict[str, str], user_id: str
) -> None:
    async with asyncio.timeout(20), gateway_before(kb.address) as gateway:
        answers = []
        for path in (V1, V2):
            valid = None if token is None else issue(user_id)
            with pytest.raises(InvalidStatus) as refused:
                await connect(gateway.url(path, token=valid, **query), proxy=None)
            response = refused.value.response
            answers.append((response.status_code, bytes(response.body or b"")))
    assert answers[0] == answers[1]


async def test_messages_sent_back_to_back_are_answered_in_their_order(
    gateway_before: StartGateway, kb: KbProgram, token: str
) -> None:
    async with asyncio.timeout(30), gateway_before(kb.address) as gateway:
        async with connect(gateway.url(V2, token=token), proxy=None) as socket:
            await told(socket)
            for number in range(100):
                kind = ("get_state", "ping", "dance")[number % 3]
                await socket.send(json.dumps({"type": kind, "request_id": str(number)}))
            answers = [(await told(socket))["request_id"] for _ in range(100)]
    assert answers == [str(number) for number in range(100)]


async def test_an_action_waits_for_a_service_that_restarts_and_is_played_once(
    gateway_before: StartGateway, own_kb: KbProgram, token: str
) -> None:
    async with asyncio.timeout(60), gateway_before(own_kb.address, KB_ACTION_SECONDS="15") as gateway:
        async with connect(gateway.url(V2, token=token), proxy=None) as socket:
            await told(socket)
            own_kb.kill()
            assert (await ask(socket, type="ping"))["type"] == "pong"
            asking = asyncio.create_task(ask(socket, **MIST))
            await asyncio.to_thread(restart, own_kb)
            collected = await asking
            state = await ask(socket, type="get_state")
    assert collected["success"]
    assert (state["version"], len(state["inventory"])) == (1, 1)


async def test_more_than_may_wait_is_answered_though_a_client_may_not_be_slow_for_as_long(
    gateway_before: StartGateway, own_kb: KbProgram, token: str
) -> None:
    env = {"KB_ACTION_SECONDS": "2", "SLOW_CONSUMER_SECONDS": "1", "KB_ACTIONS_PER_LINK": "2"}
    async with asyncio.timeout(60), gateway_before(own_kb.address, **env) as gateway:
        async with connect(gateway.url(V2, token=token), proxy=None) as socket:
            await told(socket)
            own_kb.kill()
            for _ in range(4):
                await socket.send(json.dumps(MIST))
            assert [(await told(socket))["code"] for _ in range(4)] == ["unavailable"] * 4


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_service_that_is_away_costs_an_answer_and_never_the_socket(
    gateway_before: StartGateway, own_kb: KbProgram, token: str, how: str
) -> None:
    async with asyncio.timeout(60), gateway_before(own_kb.address, KB_ACTION_SECONDS="1") as gateway:
        async with connect(gateway.url(V2, token=token), proxy=None) as socket:
            await told(socket)
            assert (await ask(socket, type="get_state"))["version"] == 0
            if how == "killed":
                own_kb.kill()
            else:
                own_kb.send_signal(signal.SIGSTOP)
            lost = await ask(socket, **MIST)
            if how == "killed":
                await asyncio.to_thread(restart, own_kb)
            else:
                own_kb.send_signal(signal.SIGCONT)
            while (again := await ask(socket, **MIST))["type"] == "error":
                pass
            state = await ask(socket, type="get_state")
        await asyncio.to_thread(gateway.program.wait_for_output, "the KB answers no actions")
    assert (lost["type"], lost["code"], set(lost)) == (
        "error",
        "unavailable",
        {"type", "code", "message", "request_id"},
    )
    assert again["success"] or again["code"] == "already_collected"
    assert (state["version"], len(state["inventory"])) == (1, 1)


async def test_the_service_sees_the_token_that_was_refreshed(
    gateway_before: StartGateway, kb: KbProgram, user_id: str
) -> None:
    async with asyncio.timeout(60), gateway_before(kb.address, TOKEN_GRACE_SECONDS="60") as gateway:
        await gateway.wait_until_ready()  # a token would be too old by then
        short = issue(user_id, minutes=3 / 60)
        async with connect(gateway.url(V2, token=short), proxy=None) as socket:
            await told(socket)
            while (answer := await ask(socket, type="get_state"))["type"] != "error":
                await asyncio.sleep(0.1)
            await socket.send(json.dumps({"type": "gateway.refresh", "token": issue(user_id)}))
            assert (await told(socket))["type"] == "gateway.refreshed"
            assert (await ask(socket, type="get_state"))["type"] == "state"
    assert answer["code"] == "token_expired"


async def test_what_the_service_refuses_is_an_error_of_its_own_words(
    gateway_before: StartGateway, kb: KbProgram, token: str
) -> None:
    async with asyncio.timeout(30), gateway_before(kb.address) as gateway:
        async with connect(gateway.url(V2, token=token, experience="moon"), proxy=None) as socket:
            assert (await told(socket))["experience"] == "moon"
            unknown = await ask(socket, type="get_state")
        async with connect(gateway.url(V2, token=token), proxy=None) as socket:
            await told(socket)
            await socket.send(json.dumps({"type": "get_state", "request_id": "r0", "padding": "x" * 65_536}))
            while (big := await told(socket))["type"] != "error":
                pass
            pong = await ask(socket, type="ping")
    assert (unknown["type"], unknown["code"]) == ("error", "not_found")
    assert big["code"] == "request_entity_too_large"
    assert "request_id" not in big, "of a message that nobody parsed"
    assert pong["type"] == "pong"

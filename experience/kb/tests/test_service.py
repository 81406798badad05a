"""The service over real sockets, as a real process."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from experience.kb.tests.journey import play
from experience.kb.tests.serving import KbProgram, issue, manage, running_kb
from experience.kb.world import WYLDING_WOODS

pytestmark = pytest.mark.timeout(60)


def joined(url: str, **options: Any) -> connect:
    return connect(url, proxy=None, compression=None, open_timeout=10, **options)


async def told(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def ask(socket: ClientConnection, **fields: Any) -> dict[str, Any]:
    await socket.send(json.dumps(fields))
    return await told(socket)


def collect(item_id: str) -> dict[str, str]:
    spot_id = WYLDING_WOODS.items[item_id].spot_id
    return {"type": "action", "action": "collect_bottle", "item_id": item_id, "spot_id": spot_id}


async def test_a_whole_game_is_played(kb: KbProgram, token: str) -> None:
    await play(kb.url(token))


async def test_the_greeting_comes_at_once_and_names_the_connection(
    kb: KbProgram, token: str, user_id: str
) -> None:
    async with asyncio.timeout(30), joined(kb.url(token)) as one, joined(kb.url(token)) as other:
        first, second = await told(one), await told(other)

    assert list(first) == ["type", "connection_id", "user_id", "experience", "timestamp"]
    assert (first["user_id"], first["experience"]) == (user_id, "wylding-woods")
    assert first["connection_id"] != second["connection_id"]


async def test_state_is_kept_over_a_reconnect_and_a_restart(
    kb_environment: dict[str, str], tmp_path: Path, token: str
) -> None:
    with running_kb(tmp_path, kb_environment) as kb:
        async with asyncio.timeout(30), joined(kb.url(token)) as socket:
            await told(socket)
            assert (await ask(socket, **collect("bottle_of_mist")))["success"]
        async with asyncio.timeout(30), joined(kb.url(token)) as socket:
            await told(socket)
            reconnected = await ask(socket, type="get_state")
    with running_kb(tmp_path, kb_environment) as kb:
        async with asyncio.timeout(30), joined(kb.url(token)) as socket:
            await told(socket)
            restarted = await ask(socket, type="get_state")

    assert [item["item_id"] for item in reconnected["inventory"]] == ["bottle_of_mist"]
    assert restarted == reconnected


async def test_sockets_of_one_user_on_two_services_lose_no_update(
    kb: KbProgram, kb_environment: dict[str, str], tmp_path: Path, token: str
) -> None:
    async def collects(socket: ClientConnection, item_id: str) -> bool:
        await told(socket)
        return bool((await ask(socket, **collect(item_id)))["success"])

    with running_kb(tmp_path, kb_environment) as second:
        urls = [kb.url(token), second.url(token)] * 6
        async with asyncio.timeout(20):
            sockets = await asyncio.gather(*(joined(url) for url in urls))
            items = list(WYLDING_WOODS.items) * 4
            outcomes = await asyncio.gather(*map(collects, sockets, items))
            state = await ask(sockets[0], type="get_state")
            await asyncio.gather(*(socket.close() for socket in sockets))

    assert sum(outcomes) == 3, "each bottle was collected by exactly one of four sockets"
    assert (state["version"], len(state["inventory"])) == (3, 3)


async def test_users_do_not_share_their_state(kb: KbProgram, token: str) -> None:
    async with asyncio.timeout(30), joined(kb.url(token)) as mine, joined(kb.url(issue("other"))) as other:
        await told(mine)
        await told(other)
        await ask(mine, **collect("bottle_of_mist"))
        assert (await ask(other, type="get_state"))["inventory"] == []


@pytest.mark.parametrize("message", ["{", "", "[]", b"\x00\x01", '{"type":"dance"}', '{"type":"action"}'])
async def test_what_cannot_be_understood_is_answered_and_the_socket_stays(
    kb: KbProgram, token: str, message: str | bytes
) -> None:
    async with asyncio.timeout(30), joined(kb.url(token)) as socket:
        await told(socket)
        await socket.send(message)
        error = await told(socket)
        pong = await ask(socket, type="ping")

    assert (error["type"], pong["type"]) == ("error", "pong")


async def test_a_fragmented_message_is_one_message(kb: KbProgram, token: str) -> None:
    async with asyncio.timeout(30), joined(kb.url(token)) as socket:
        await told(socket)
        await socket.send(['{"type":', '"ping",', '"timestamp":7}'])
        assert (await told(socket))["timestamp"] == 7


async def test_messages_sent_back_to_back_are_answered_in_their_order(kb: KbProgram, token: str) -> None:
    async with asyncio.timeout(30), joined(kb.url(token)) as socket:
        await told(socket)
        for number in range(200):
            kind = "get_state" if number % 10 == 0 else "ping"
            await socket.send(json.dumps({"type": kind, "request_id": str(number)}))
        answers = [(await told(socket))["request_id"] for _ in range(200)]

    assert answers == [str(number) for number in range(200)]


async def test_an_oversized_message_closes_with_1009(kb: KbProgram, token: str) -> None:
    async with asyncio.timeout(30), joined(kb.url(token)) as socket:
        await told(socket)
        await socket.send("x" * (64 * 1024 + 1))
        await socket.wait_closed()
    assert socket.close_code == 1009


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["kb.v2", "kb.v1"], "kb.v1"), (["other"], None), (None, None)]
)
async def test_kb_v1_is_chosen_where_it_is_offered(
    kb: KbProgram, token: str, offered: list[Subprotocol] | None, chosen: str | None
) -> None:
    async with asyncio.timeout(30), joined(kb.url(token), subprotocols=offered) as socket:
        assert socket.subprotocol == chosen


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/elsewhere", 404, "not_found"),
        ("/ws/experience?experience=wylding-woods", 401, "authentication_failed"),
        ("/ws/experience?token={forged}&experience=wylding-woods", 401, "authentication_failed"),
        ("/ws/experience?token={expired}&experience=wylding-woods", 401, None),
        ("/ws/experience?token={token}", 400, "bad_request"),
        ("/ws/experience?token={token}&experience=moon", 404, "not_found"),
    ],
)
async def test_a_refusal_has_its_status_and_says_why_in_json(
    kb: KbProgram, token: str, user_id: str, path: str, status: int, code: str | None
) -> None:
    tokens = {
        "token": token,
        "forged": issue(user_id, key="somebody-elses-key-" + "0" * 20),
        "expired": issue(user_id, minutes=-5),
    }
    with pytest.raises(InvalidStatus) as refused:
        async with asyncio.timeout(30):
            await joined(f"ws://{kb.address}{path.format(**tokens)}")

    response = refused.value.response
    body = json.loads(response.body or b"")
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert set(body) == {"code", "message"}
    assert code in (None, body["code"])


def test_health_is_answered_over_plain_http(kb: KbProgram) -> None:
    with urllib.request.urlopen(f"http://{kb.address}/health", timeout=30) as answer:
        assert (answer.status, json.load(answer)["status"]) == (200, "ok")


def test_a_plain_request_to_the_sockets_path_is_refused_before_anything_else(kb: KbProgram) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{kb.address}/ws/experience", timeout=30)
    with refused.value:
        assert refused.value.code == 401


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_closes_the_sockets_with_1001_and_ends_the_process_with_0(
    kb_environment: dict[str, str], tmp_path: Path, token: str, number: signal.Signals
) -> None:
    with running_kb(tmp_path, kb_environment) as kb:
        async with asyncio.timeout(15), joined(kb.url(token)) as socket:
            await told(socket)
            kb.send_signal(number)
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (1001, "restart")
        assert await asyncio.to_thread(kb.wait_for_exit) == 0


async def test_the_log_tells_of_opens_closes_and_refusals_and_never_a_token(
    kb_environment: dict[str, str], tmp_path: Path, token: str, user_id: str
) -> None:
    with running_kb(tmp_path, kb_environment) as kb:
        await play(kb.url(token))
        with pytest.raises(InvalidStatus):
            await joined(kb.url(token + "x"))
        assert await asyncio.to_thread(kb.stop) == 0

    lines = [json.loads(line) for line in kb.output.splitlines()]
    events = [line["event"] for line in lines if line.get("user_id") in (user_id, None)]
    assert [event for event in events if event.startswith("socket ")] == [
        "socket opened",
        "socket closed",
        "socket refused",
    ]
    assert not any(part in kb.output for part in token.split(".")[1:])


def test_a_taken_port_stops_the_start_with_one_line(kb: KbProgram, kb_environment: dict[str, str]) -> None:
    port = kb.address.rpartition(":")[2]
    ended = manage("kbservice", "--port", port, env=kb_environment)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr

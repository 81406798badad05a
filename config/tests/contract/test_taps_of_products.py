"""Staff look at links of each product: of the session service from another node, Socket.IO, the chat."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway
from config.tests.test_taps import begin, echo, live_link, staff_of
from experience.kb.tests.serving import KbProgram, environment, manage, running_kb
from experience.kb.tests.serving import issue as issue_for_kb
from experience.studio.socketio import speak

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]


async def seen_up_to(told: AsyncIterator[Any], way: str, part: str) -> list[dict[str, Any]]:
    """Lines, up to the one that goes that way and has that in it."""
    found: list[dict[str, Any]] = []
    async for each in told:
        found += each["lines"]
        if any(line["way"] == way and part in line["text"] for line in found):
            return found
    raise AssertionError(f"the stream has ended with {found}")


@pytest.fixture
def kb(tmp_path: Path, valkey: ValkeyServer) -> Iterator[KbProgram]:
    env = environment(f"sqlite:///{tmp_path / 'kb.sqlite3'}", REDIS_URL=valkey.url)
    migrated = manage("migrate", "experience", "--verbosity", "0", env=env)
    assert migrated.returncode == 0, migrated.stderr
    with running_kb(tmp_path, env) as kb:
        yield kb


@contextmanager
def two_nodes(directory: Path, env: dict[str, str]) -> Iterator[tuple[Gateway, Gateway]]:
    with ExitStack() as ends:
        first, second = (Gateway("serve", directory, env) for _ in range(2))
        ends.callback(first.close)
        ends.callback(second.close)
        first.migrate()
        first.start()
        second.start()
        yield first, second


async def test_actions_answers_and_changes_of_the_session_service_are_seen_from_another_node(
    tmp_path: Path, kb: KbProgram, valkey: ValkeyServer, database_url: str, settings: Any
) -> None:
    env = {
        "JWT_SIGNING_KEY": settings.JWT_SIGNING_KEY,
        "KB_SERVICE_URL": f"http://{kb.address}",
        "REDIS_URL": valkey.url,
        "DATABASE_URL": database_url,
        "HTTPS_ONLY": "false",
    }
    action = {"type": "action", "action": "collect_bottle", "item_id": "bottle_of_mist"}
    said = {**action, "spot_id": "mill_pond", "request_id": "r1", "token": "hunter2"}
    with two_nodes(tmp_path, env) as (here, there):
        url = there.url("/ws/v2/experience", token=issue_for_kb("joe"))
        async with staff_of(here) as staff, there.connect(url) as client:
            assert json.loads(await client.recv())["type"] == "connected"
            page = await begin(staff["ada"], here, await live_link(here, "joe"))
            async with staff["ada"].watching(here, page) as told:
                await client.send(json.dumps(said))
                lines = await seen_up_to(told, "out", "state.changed")
    came, *went = lines
    assert json.loads(came["text"]) == {**said, "token": "[redacted]"}
    assert [json.loads(line["text"])["type"] for line in went] == ["action_response", "state.changed"]
    assert [line["way"] for line in lines] == ["in", "out", "out"]


async def test_socket_io_and_what_is_binary_are_seen(make_gateway: MakeGateway) -> None:
    async with serve(speak, "127.0.0.1", 0, compression=None) as service:
        port = next(iter(service.sockets)).getsockname()[1]
        env = {"STUDIO_WS_URLS": f"ws://127.0.0.1:{port}", "STUDIO_PROBE": "none"}
        gateway = make_gateway(HTTPS_ONLY="false", **env)
        url = gateway.url("/socket.io/", token=issue("joe"), EIO="4", transport="websocket")
        async with staff_of(gateway) as staff, gateway.connect(url) as client:
            assert str(await client.recv()).startswith("0{")
            page = await begin(staff["ada"], gateway, await live_link(gateway, "joe"))
            async with staff["ada"].watching(gateway, page) as told:
                await client.send("40")
                await client.recv()
                await client.send(b"\x04\x00Token\xa3hunter2")
                await client.send('42["login",{"token":"hunter2","u":"joe"}]')
                assert await client.recv() == '42["login",{"token":"hunter2","u":"joe"}]'
                lines = await seen_up_to(told, "out", "login")
    assert "hunter2" not in str(lines)
    assert [(line["kind"], line["text"]) for line in lines if line["way"] == "in"] == [
        ("text", "40"),
        ("binary", "04 00 54 6f 6b 65 6e [redacted]"),
        ("text", '42["login",{"token":"[redacted]","u":"joe"}]'),
    ]


async def test_what_the_policy_of_the_chat_keeps_back_is_counted(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(HTTPS_ONLY="false")
    async with gateway.serving(echo), staff_of(gateway) as staff:
        async with gateway.connect(gateway.url("/v1/chat/ws", token=issue("joe"))) as client:
            page = await begin(staff["ada"], gateway, await live_link(gateway, "joe"))
            async with staff["ada"].watching(gateway, page) as told:
                await client.send("no JSON, hunter2")
                error = json.loads(await client.recv())
                async for each in told:
                    if each["lines"]:
                        break
            shown = (await staff["ada"].get(gateway, page)).text
    assert error["type"] == "error"
    assert [line["way"] for line in each["lines"]] == ["out"], "the answer to it, alone"
    assert (each["kept_back"], each["dropped"], each["left_out"]) == (1, 0, 0)
    assert "Kept back by the policy of the route" in shown
    assert "hunter2" not in shown

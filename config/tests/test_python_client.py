"""clients/python, in both of its shapes: what it asks of gateways is done, whatever happens to them."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio
from sluicegate_client import (
    AsyncGateway,
    BadRequest,
    Delivered,
    GatewayAway,
    KeyRefused,
    Kicked,
    NotAllowed,
    Presence,
    Present,
    Publication,
    SluicegateError,
    UnexpectedAnswer,
)
from sluicegate_client import (
    Gateway as SyncGateway,
)
from websockets.asyncio.server import ServerConnection

from config.testing import documents
from config.testing.gateway import Gateway, issue
from config.testing.program import free_port
from config.testing.servers import ValkeyServer
from config.testing.starts import BASE_DIR
from config.tests.conftest import MakeGateway

ADA = "user:ada"
LAST = {"type": "last"}
Ask = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """`await ask(url, key, "publish", …)`: what a client of that shape answers, or raises."""

    def ask_sync(url: str, key: str, call: str, *args: Any, options: Any = None, **named: Any) -> Any:
        with SyncGateway(url, key, **(options or {})) as client:
            answer = getattr(client, call)(*args, **named)
            return list(answer) if call == "connections" else answer

    async def ask_in_a_thread(*args: Any, **named: Any) -> Any:
        return await asyncio.to_thread(ask_sync, *args, **named)

    async def ask_async(url: str, key: str, call: str, *args: Any, options: Any = None, **named: Any) -> Any:
        async with AsyncGateway(url, key, **(options or {})) as client:
            answer = getattr(client, call)(*args, **named)
            return [each async for each in answer] if call == "connections" else await answer

    return ask_in_a_thread if request.param == "sync" else ask_async


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


def address(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.port}"


def issue_key(gateway: Gateway, *rights: str) -> str:
    return gateway.manage("issue_api_key", "game", *rights).stdout.strip()


async def test_what_is_asked_is_done(make_gateway: MakeGateway, valkey: ValkeyServer, ask: Ask) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url)
    key = issue_key(gateway, "--publish", "user:*", "--kick", "--connections")
    many = [Publication(ADA, {"type": "n", "n": n}) for n in range(1001)]

    async def asked(*args: Any, **named: Any) -> Any:
        return await ask(address(gateway), key, *args, **named)

    async with gateway.serving(wait), asyncio.timeout(50):
        await gateway.wait_until_ready(redis=True)
        async with gateway.connect(gateway.url(token=issue("ada"))) as client, gateway.connect(gateway.url()):
            assert await asked("publish", "user:nobody", LAST) == Delivered(0, 0)
            for _ in range(2):
                told = await asked("publish", ADA, {"type": "first"}, idempotency_key="first")
                assert told == Delivered(nodes=1, links=1)
            for _ in range(2):
                assert await asked("publish_many", many) == [Delivered(1, 1)] * 1001
            assert await asked("publish", ADA, LAST) == Delivered(1, 1)
            heard = [json.loads(await client.recv()) for _ in range(1003)]
            assert heard == [{"type": "first"}, *(each.event for each in many), LAST]

            await gateway.wait_for_records("closed_at IS NULL", 2)
            assert [each.user_id for each in await asked("connections", page_size=1)] == ["42", "ada"]
            (link,) = await asked("connections", user="ada", route="experience")
            assert link.closed_at is None
            assert link.opened_at.tzinfo is not None
            there = await asked("presence", ADA)
            assert there == Presence(nodes=1, links=1, who=(Present(link.id, "ada"),))
            assert there.users == ("ada",)
            assert await asked("presence", "user:a/b c?%2F#", limit=5) == Presence(nodes=0, links=0)
            kicked = await asked("kick", connection_ids=[link.id], reason="Please restart")
            assert kicked == Kicked(ended=1, silent=0)
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4001, "Please restart")
            await gateway.wait_for_records("closed_at IS NOT NULL")
            (link,) = await asked("connections", state="closed")
            assert (link.close_code, link.closed_by) == (4001, "staff")


async def test_the_examples_of_its_readme_do_what_they_say(
    make_gateway: MakeGateway, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url)
    monkeypatch.setenv("GATEWAY_KEY", issue_key(gateway, "--publish", "user:*", "--kick", "--connections"))
    text = (BASE_DIR / "clients/python/README.md").read_text()
    example = {
        each.kind: each.text.replace("https://gateway.example.com", address(gateway))
        for each in documents.examples(text)
    }
    async with gateway.serving(wait), asyncio.timeout(50):
        await gateway.wait_until_ready(redis=True)
        async with gateway.connect(gateway.url(token=issue("ada"))) as client:
            await gateway.wait_for_records("closed_at IS NULL")
            names: dict[str, Any] = {}
            exec(example["async"], names)
            assert await names["tell"]("ada", 7) == ["experience"]
            await asyncio.to_thread(exec, example["sync"], {})
            quests = [{"type": "quest.updated", "quest": 7}] * 2
            steps = [{"type": "quest.step", "step": n} for n in range(3)]
            assert [json.loads(await client.recv()) for _ in range(5)] == [*quests, *steps]
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4001, "Please restart")


async def test_a_gateway_killed_with_a_request_in_hand_publishes_it_once(
    make_gateway: MakeGateway, valkey: ValkeyServer, ask: Ask
) -> None:
    asked, other = make_gateway(REDIS_URL=valkey.url), make_gateway(REDIS_URL=valkey.url)
    key = issue_key(asked, "--publish", "user:*")
    publications = [Publication(ADA, {"type": "quest.updated", "n": n}) for n in range(2)]
    async with other.serving(wait), asyncio.timeout(50), asyncio.TaskGroup() as tasks:
        await asyncio.gather(*(each.wait_until_ready(redis=True) for each in (asked, other)))
        async with other.connect(other.url(token=issue("ada"))) as client:
            async with holding_answers_back(valkey) as it_is_published:
                publishing = tasks.create_task(ask(address(asked), key, "publish_many", publications))
                await it_is_published()
                assert not publishing.done()
                asked.program.kill()
            asked.start()
            assert [each.links for each in await publishing] == [1, 1]
            await ask(address(asked), key, "publish", ADA, LAST)
            heard = [json.loads(await client.recv()) for _ in range(3)]
            assert heard == [*(each.event for each in publications), LAST]


async def test_a_gateway_frozen_with_a_request_in_hand_holds_nobody_beyond_the_deadline_and_publishes_it_once(
    make_gateway: MakeGateway, valkey: ValkeyServer, ask: Ask
) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url)
    key = issue_key(gateway, "--publish", "user:*")
    publications = [Publication(ADA, {"type": "quest.updated"})]
    impatient = {"deadline_seconds": 4, "try_seconds": 1}

    async def tried() -> None:
        began = time.monotonic()
        with pytest.raises(GatewayAway) as failed:
            await ask(address(gateway), key, "publish_many", publications, options=impatient)
        assert failed.value.may_have_happened
        assert time.monotonic() - began < 15, "far more than the deadline"

    async with gateway.serving(wait), asyncio.timeout(50), asyncio.TaskGroup() as tasks:
        await gateway.wait_until_ready(redis=True)
        async with gateway.connect(gateway.url(token=issue("ada"))) as client:
            async with holding_answers_back(valkey) as it_is_published:
                trying = tasks.create_task(tried())
                await it_is_published()
                gateway.program.send_signal(signal.SIGSTOP)
            try:
                await trying
            finally:
                gateway.program.send_signal(signal.SIGCONT)
            await ask(address(gateway), key, "publish_many", publications)
            await ask(address(gateway), key, "publish", ADA, LAST)
            heard = [json.loads(await client.recv())]
            while heard[-1] != LAST:
                heard.append(json.loads(await client.recv()))
            # A gateway that was away for long may say so itself.
            assert [each for each in heard if each["type"] != "gateway.resync"] == [
                publications[0].event,
                LAST,
            ]


@asynccontextmanager
async def holding_answers_back(valkey: ValkeyServer) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Somebody who listens to Ada's topic and does not say how many links took it: a gateway waits for that.

    Yields what waits until something is published there.
    """
    async with redis.asyncio.Redis.from_url(valkey.url) as server, server.pubsub() as silent:
        await silent.subscribe("gateway__group__gateway.user.ada")

        async def it_is_published() -> None:
            async for said in silent.listen():
                if said["type"] == "message":
                    return

        yield it_is_published


async def test_errors_say_whose_they_are_and_never_show_the_key(
    make_gateway: MakeGateway, valkey: ValkeyServer, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = make_gateway(REDIS_URL=valkey.url)
    await gateway.wait_until_ready(redis=True)
    mine, wrong = issue_key(gateway, "--publish", "user:*"), f"sluicegate_{'0' * 12}_{'a' * 43}"
    hasty = {"deadline_seconds": 1}
    at, nowhere = address(gateway), f"http://127.0.0.1:{free_port()}"
    caplog.set_level(logging.DEBUG)
    async with redirecting(to=at) as moved, asyncio.timeout(40):
        for kind, status, url, key, call, args in (
            (KeyRefused, 401, at, wrong, "publish", (ADA, LAST)),
            (NotAllowed, 403, at, mine, "publish", ("everyone", LAST)),
            (NotAllowed, 403, at, mine, "connections", ()),
            (NotAllowed, 403, at, mine, "presence", (ADA,)),
            (BadRequest, 400, at, mine, "publish", (ADA, {"kind": "last"})),
            (BadRequest, 400, at, mine, "publish", (ADA, {"type": "gateway.resync"})),
            (UnexpectedAnswer, 413, f"{at}/elsewhere", mine, "publish", (ADA, LAST)),
            (UnexpectedAnswer, 307, moved, mine, "publish", (ADA, LAST)),
            (GatewayAway, None, nowhere, mine, "publish", (ADA, LAST)),
            (BadRequest, None, "gateway.example.com", mine, "publish", (ADA, LAST)),
            (BadRequest, None, at, f"{mine}\r\nX: y", "publish", (ADA, LAST)),
        ):
            with pytest.raises(SluicegateError) as failed:
                await ask(url, key, call, *args, options=hasty)
            assert (type(failed.value), failed.value.status) == (kind, status)
            assert not failed.value.may_have_happened
            shown = shown_of(failed.value)
            assert "Gateway" in shown
            assert not any(each in shown for each in (mine[-43:], wrong[-43:]))
    assert "sluicegate_" in caplog.text
    assert not any(each in caplog.text for each in (mine[-43:], wrong[-43:]))


def shown_of(error: Exception) -> str:
    """The traceback from the package's first frame on, with variables, as trackers of errors keep it."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert frames.__context__ is None
    while "sluicegate_client" not in frames.stack[0].filename:
        frames.stack.pop(0)
    return "".join(frames.format())


@asynccontextmanager
async def redirecting(*, to: str) -> AsyncIterator[str]:
    """The URL of something that sends everybody on, as a proxy in front of a gateway may."""

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        words = (
            b"HTTP/1.1 307 Temporary Redirect",
            b"Location: %b/api/events" % to.encode(),
            b"Content-Length: 0",
        )
        writer.write(b"\r\n".join((*words, b"", b"")))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

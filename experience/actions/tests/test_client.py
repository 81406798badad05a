"""Asking the KB: where, how often, and what its answers mean."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from aiohttp import web

from config.testing.program import free_port
from experience.actions.client import (
    ATTEMPTS_TOTAL,
    Action,
    ActionClient,
    ClientLimits,
    Unanswered,
    actions_url,
    answer_in,
)
from experience.actions.retries import PACE_SECONDS

pytestmark = pytest.mark.long

STATE = '{"type":"state","request_id":"r1"}'
REFUSED = '{"code":"token_expired","message":"The token has expired."}'
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://kb:8001", "http://kb:8001/api/experience/actions"),
        ("wss://kb.example.org/", "https://kb.example.org/api/experience/actions"),
        ("ws://kb/game/ws/experience", "http://kb/game/api/experience/actions"),
        ("https://kb/game", "https://kb/game/api/experience/actions"),
    ],
)
def test_actions_go_where_the_setting_of_the_sockets_leads(base: str, url: str) -> None:
    assert actions_url(base) == url


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, '{"code":"token_expired","message":"The token has expired."}', "token_expired"),
        (403, "<html>", "upstream_failed"),
        (200, "[]", "upstream_failed"),
        (200, "{", "upstream_failed"),
        (200, '{"type":7}', "upstream_failed"),
        (200, '{"type":"state","health":NaN}', "upstream_failed"),
        (400, '{"type":"error","retry_after_ms":-Infinity}', "upstream_failed"),
        (302, "", "upstream_failed"),
        (500, '{"code":"secret","message":"inner"}', "upstream_failed"),
        (404, '{"code":"x","message":"' + "x" * 2_000 + '"}', "upstream_failed"),
        (404, '{"code":"x","message":"\\ud800"}', "upstream_failed"),
    ],
)
def test_what_is_no_answer_becomes_an_error_that_says_nothing_inner(
    status: int, body: str, code: str
) -> None:
    with pytest.raises(Unanswered) as unanswered:
        answer_in(status, body)
    assert unanswered.value.code == code
    assert "inner" not in unanswered.value.message


@asynccontextmanager
async def asking(answering: Answering, **limits: float) -> AsyncIterator[ActionClient]:
    """A client of a service that answers so."""
    app = web.Application()
    app.router.add_post("/api/experience/actions", answering)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    client = ActionClient(f"http://{host}:{port}", ClientLimits(**limits))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(50):
            yield client
    finally:
        await client.close()
        await runner.cleanup()


def attempts() -> float:
    return float(ATTEMPTS_TOTAL._value.get())


def action(number: int = 1, *, seconds: float = 10) -> Action:
    due = asyncio.get_running_loop().time() + seconds
    return Action(
        id=f"c.{number}",
        request_id="r1",
        body='{"type":"x"}',
        experience="woods & moon",
        token="t",
        due=due,
    )


async def test_an_action_is_asked_again_under_its_own_id_until_it_is_answered() -> None:
    asked: list[tuple[str | None, ...]] = []

    async def answering(request: web.Request) -> web.StreamResponse:
        body = await request.text()
        headers = (request.headers.get("X-Request-Id"), request.headers.get("Authorization"))
        asked.append((*headers, request.query["experience"], body))
        if len(asked) == 1:
            return web.Response(status=503)
        if len(asked) == 2:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text=STATE)

    async with asking(answering) as client:
        assert await client.ask(action()) == STATE
    assert asked == [("c.1", "Bearer t", "woods & moon", '{"type":"x"}')] * 3


async def test_a_connection_that_hangs_is_given_up_for_another_before_the_action_is_due() -> None:
    asked = 0

    async def answering(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.Event().wait()
        return web.Response(text=STATE)

    async with asking(answering, attempt_seconds=0.2) as client:
        assert await client.ask(action()) == STATE
    assert asked == 2


async def test_an_answer_that_came_too_late_for_another_is_nobodys() -> None:
    """As of a service, or a proxy in front of it, that answers twice over a connection that is kept."""
    answered: list[str] = []
    is_late, is_told = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(len(action().body))
                answered.append(head.partition(b"X-Request-Id: ")[2].partition(b"\r\n")[0].decode())
                body = f'{{"type":"state","request_id":"r{answered[-1]}"}}'
                response = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                writer.write(response)
                if len(answered) == 1:
                    await is_late.wait()
                    writer.write(response)
                    is_told.set()
        writer.close()

    async with asyncio.timeout(20), await asyncio.start_server(answer, "127.0.0.1", 0) as service:
        host, port = service.sockets[0].getsockname()
        client = ActionClient(f"http://{host}:{port}", ClientLimits())
        for number in (1, 2, 3):
            asked = replace(action(number), request_id=f"rc.{number}")
            assert json.loads(await client.ask(asked))["request_id"] == asked.request_id
            is_late.set()
            await is_told.wait()
            await asyncio.sleep(0)  # the client's side of it has a turn to hear it, too
        await client.close()
    assert list(dict.fromkeys(answered)) == ["c.1", "c.2", "c.3"]  # the second twice, where both were read


async def test_what_waits_is_bounded_and_ends_when_it_is_due() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def answering(_: web.Request) -> web.StreamResponse:
        began.set()
        await go_on.wait()
        return web.Response(text=STATE)

    async with asking(answering, connections=1, most_waiting=2, attempt_seconds=30) as client:
        first = asyncio.create_task(client.ask(action(1)))
        await began.wait()
        second = asyncio.create_task(client.ask(action(2, seconds=0.2)))
        await asyncio.sleep(0)
        with pytest.raises(Unanswered, match="overloaded"):
            await client.ask(action(3))
        with pytest.raises(Unanswered, match="unavailable"):
            await second
        go_on.set()
        assert json.loads(await first)["type"] == "state"
        assert await client.ask(action(4)) == STATE


async def test_many_that_wait_ask_as_seldom_as_a_few_and_all_are_answered_when_it_is_back() -> None:
    """Of 500, each would ask four times a second."""
    asked, known, is_back, clock = 0, set[str](), False, asyncio.get_running_loop().time

    async def answering(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        known.add(request.headers["X-Request-Id"])
        return web.Response(text=STATE) if is_back else web.Response(status=503)

    async with asking(answering) as client:
        waiting = [asyncio.create_task(client.ask(action(number, seconds=45))) for number in range(500)]
        while len(known) < 500:
            await asyncio.sleep(0.01)
        began, before = clock(), asked
        while clock() < began + 1.5:
            await asyncio.sleep(0.01)
        assert 3 < asked - before < 10 + (clock() - began) / PACE_SECONDS
        is_back, before = True, asked
        assert set(await asyncio.gather(*waiting)) == {STATE}
        assert asked - before < 510


async def test_a_service_that_nobody_reaches_is_tried_by_few_of_those_that_come() -> None:
    client, clock = ActionClient(f"http://127.0.0.1:{free_port()}", ClientLimits()), time.monotonic
    with pytest.raises(Unanswered, match="ClientConnectorError"):
        await client.ask(action(0, seconds=2))
    began, before = clock(), attempts()
    while attempts() == before:  # this process may have been kept waiting until all of them were due
        coming = [client.ask(action(number, seconds=1)) for number in range(300)]
        ended = await asyncio.gather(*coming, return_exceptions=True)
        assert {type(each) for each in ended} == {Unanswered}
    await client.close()
    assert attempts() - before < 10 + (clock() - began) / PACE_SECONDS


async def test_an_action_that_is_refused_for_ever_holds_up_no_other() -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        return (
            web.Response(status=503) if request.headers["X-Request-Id"] == "c.0" else web.Response(text=STATE)
        )

    async with asking(answering) as client:
        refused = asyncio.create_task(client.ask(action(0, seconds=2)))
        before = attempts()
        for number in range(1, 301):
            assert await client.ask(action(number)) == STATE
        with pytest.raises(Unanswered, match="unavailable"):
            await refused
        assert attempts() - before < 300 + 15


@pytest.mark.parametrize("status", [200, 401])
async def test_that_the_service_is_away_and_back_is_said_once_and_of_one_late_action_nothing(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    is_back = True

    async def answering(request: web.Request) -> web.StreamResponse:
        if not is_back or request.headers["X-Request-Id"] == "c.0":
            return web.Response(status=503)
        return web.Response(status=status, text=STATE if status == 200 else REFUSED)

    async def ask(client: ActionClient, number: int, seconds: float) -> None:
        with suppress(Unanswered):
            await client.ask(action(number, seconds=seconds))

    async with asking(answering) as client:
        late = asyncio.create_task(ask(client, 0, 1.5))
        while not late.done():
            await ask(client, 1, 5)
        await ask(client, 2, 0)
        assert caplog.messages == []
        is_back = False
        for number in (3, 4):
            await ask(client, number, 1.2)
        is_back = True
        for number in (5, 6):
            await ask(client, number, 5)
    assert caplog.messages == ["the KB answers no actions", "the KB answers actions again"]


async def test_the_log_says_where_no_kb_could_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    client = ActionClient(f"http://127.0.0.1:{port}", ClientLimits())
    async with asyncio.timeout(20):
        with pytest.raises(Unanswered):
            await client.ask(action(seconds=1.2))
        await client.close()
    (record,) = caplog.records
    assert f"127.0.0.1:{port}" in record.__dict__["why"]

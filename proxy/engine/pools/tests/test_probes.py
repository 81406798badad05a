from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from proxy.core.pools.health import Probe, ProbeKind
from proxy.core.routes import MemberSpec, Upstream
from proxy.engine.pools import probes
from proxy.engine.pools.members import Member
from proxy.engine.pools.pool import Pool
from proxy.engine.pools.probes import USER_AGENT, probe_forever, probe_once

QUICK: dict[str, Any] = {
    "interval_seconds": 0.05,
    "failing_seconds": 0.02,
    "timeout_seconds": 0.3,
    "rise": 2,
    "fall": 2,
}


async def stay(connection: ServerConnection) -> None:
    await connection.wait_closed()


@asynccontextmanager
async def service(answer: Callable[[ServerConnection, Request], Response | None]) -> AsyncIterator[str]:
    async with serve(stay, "127.0.0.1", 0, process_request=answer, compression=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


class Changes(logging.Handler):
    """What the log says of members: that one has become well or ill."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        told: Any = record
        self.queue.put_nowait((told.member, told.healthy))


@asynccontextmanager
async def probing(pool: Pool) -> AsyncIterator[Callable[[Member], bool]]:
    """Yields a function that waits until a member's health changed, and answers it."""
    changes = Changes()
    probes.logger.addHandler(changes)
    running = asyncio.create_task(probe_forever(pool))
    try:
        async with asyncio.timeout(30):
            yield changes.queue.get  # type: ignore[misc]
    finally:
        probes.logger.removeHandler(changes)
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize("kind", [ProbeKind.WEBSOCKET, ProbeKind.HTTP])
async def test_a_member_falls_and_rises_with_its_answers(kind: ProbeKind) -> None:
    well = True

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if not well:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "not now\n")
        return None if kind is ProbeKind.WEBSOCKET else connection.respond(HTTPStatus.OK, "fine\n")

    async with service(answer) as url:
        pool = Pool(Upstream(name="studio", members=(url,), probe=Probe(kind=kind, path="/health", **QUICK)))
        async with probing(pool) as changed:
            well = False
            assert await changed() == (url, False)  # type: ignore[call-arg,misc]
            assert pool.available == 0
            assert "503" in pool.all_members()[0].last_error
            well = True
            assert await changed() == (url, True)  # type: ignore[call-arg,misc]
            assert pool.available == 1


def by_message(url: str, **more: Any) -> Pool:
    says = {"kind": ProbeKind.MESSAGE, "says": '{"type":"ping"}', "expects": '{"type":"pong"}'}
    return Pool(Upstream(name="chat", members=(url,), probe=Probe(**{**QUICK, **says, **more})))


async def test_a_member_falls_and_rises_with_its_answers_to_a_message() -> None:
    answers: list[str | bytes] = ["hello", b'{"type":"pong"}', '{"type":"pong","at":1}']
    heard: list[object] = []

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        heard.append((connection.request.path, connection.request.headers["User-Agent"]))
        with suppress(ConnectionClosed):
            heard.append(await connection.recv())
            for answer in answers:
                await connection.send(answer)
            await connection.wait_closed()

    async with serve(talk, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/chat"
        pool = by_message(url)
        (member,) = pool.all_members()
        assert pool.upstream.probe is not None
        await probe_once(pool, member, pool.upstream.probe)
        assert heard == [("/chat?user_id=gateway-probe", USER_AGENT), '{"type":"ping"}']
        assert member.health is not None
        assert member.health.last_ok
        async with probing(pool) as changed:
            for wrong in (["[]"], ['{"type":"ping"}'], ["pong"] * 200, ['"' + "x" * 70_000 + '"']):
                answers = list(wrong)
                assert await changed() == (url, False)  # type: ignore[call-arg,misc]
                answers = ['{"type":"pong"}']
                assert await changed() == (url, True)  # type: ignore[call-arg,misc]


@pytest.mark.parametrize("status", [401, 403, 429, 404])
async def test_a_member_that_refuses_a_probe_by_message_is_ill(status: int) -> None:
    def answer(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(HTTPStatus(status), "no\n")

    async with service(answer) as url:
        pool = by_message(url)
        async with probing(pool) as changed:
            assert await changed() == (url, False)  # type: ignore[call-arg,misc]
    assert str(status) in pool.all_members()[0].last_error


async def test_a_member_that_accepts_but_does_not_answer_falls() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        pool = Pool(Upstream(name="studio", members=(url,), probe=Probe(**QUICK)))
        async with probing(pool) as changed:
            assert await changed() == (url, False)  # type: ignore[call-arg,misc]
            assert pool.all_members()[0].last_error == "probe: TimeoutError"


async def test_members_that_are_added_are_probed_and_removed_ones_are_not() -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    def answer(connection: ServerConnection, request: Request) -> None:
        seen.put_nowait(request.path)

    async with service(answer) as url:
        pool = Pool(Upstream(name="studio", members=(), probe=Probe(**QUICK)))
        async with probing(pool):
            pool.apply([MemberSpec(url=url + "x/")])
            assert await seen.get() == "/x/?user_id=gateway-probe"
            pool.apply([MemberSpec(url=url + "y/")])
            while await seen.get() != "/y/?user_id=gateway-probe":
                pass
            while not seen.empty():
                seen.get_nowait()
            for _ in range(3):
                assert await seen.get() == "/y/?user_id=gateway-probe"


@pytest.mark.parametrize(
    ("probe", "member_path", "asked"),
    [
        ({}, "", "/?user_id=gateway-probe"),
        ({"default_path": "/ws"}, "", "/ws?user_id=gateway-probe"),
        ({"default_path": "/ws"}, "own/ws", "/own/ws?user_id=gateway-probe"),
        ({"default_path": "/ws"}, "shops/{shop}", "/ws?user_id=gateway-probe"),
        ({"path": "/health"}, "own/ws", "/health?user_id=gateway-probe"),
        ({"path": "/ws?token=x"}, "own/ws", "/ws?token=x"),
        ({"path": "/health", "kind": ProbeKind.HTTP}, "own/ws", "/health"),
        ({"path": "/health?deep=1&of=db", "kind": ProbeKind.HTTP}, "own/ws", "/health?deep=1&of=db"),
        ({"path": "/?deep=1", "kind": ProbeKind.HTTP}, "", "/?deep=1"),
    ],
)
async def test_a_probe_asks_for_a_path_and_says_whose_it_is(
    probe: dict[str, Any], member_path: str, asked: str
) -> None:
    seen: asyncio.Queue[Request] = asyncio.Queue()

    def answer(connection: ServerConnection, request: Request) -> None:
        seen.put_nowait(request)

    async with service(answer) as url:
        members = (url + member_path,)
        pool = Pool(Upstream(name="studio", members=members, probe=Probe(**{**QUICK, **probe})))
        async with probing(pool):
            request = await seen.get()
    assert request.path == asked
    assert request.headers["User-Agent"] == USER_AGENT
    assert "Sec-WebSocket-Extensions" not in request.headers, "a ping is not worth compressing"


@pytest.mark.parametrize(
    ("status", "probe", "healthy"),
    [
        (401, {}, True),
        (403, {"path": "/ws"}, True),
        (403, {"path": "/health", "kind": ProbeKind.HTTP}, True),
        (404, {}, True),
        (404, {"path": "/ws"}, False),
        (404, {"path": "/health", "kind": ProbeKind.HTTP}, False),
        (500, {}, False),
        (503, {"path": "/ws"}, False),
    ],
)
async def test_a_member_that_refuses_a_probe_for_who_it_is_is_alive(
    status: int, probe: dict[str, Any], healthy: bool
) -> None:
    answered = 0

    def answer(connection: ServerConnection, _: Request) -> Response:
        nonlocal answered
        answered += 1
        return connection.respond(HTTPStatus(status), "no\n")

    async with service(answer) as url:
        pool = Pool(Upstream(name="studio", members=(url,), probe=Probe(**{**QUICK, **probe})))
        async with probing(pool):
            while answered <= 3:
                await asyncio.sleep(0.01)
    assert (pool.available == 1) is healthy


async def test_a_probe_that_finds_no_file_left_says_nothing_of_the_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Pool(Upstream(name="studio", members=("ws://127.0.0.1:9/",), probe=Probe(fall=1)))
    (member,) = pool.all_members()

    async def no_file(_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(probes, "connect_socket", no_file)
    await probe_once(pool, member, Probe(fall=1))
    assert member.healthy


async def test_a_probe_waits_no_longer_than_a_dial() -> None:
    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    held: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(mute, "127.0.0.1", 0) as service:
        port = service.sockets[0].getsockname()[1]
        upstream = Upstream.of("studio", f"ws://127.0.0.1:{port}", probe=Probe(fall=1, timeout_seconds=3600))
        pool = Pool(upstream, dial_seconds=0.05)
        (member,) = pool.all_members()
        async with asyncio.timeout(30):
            await probe_once(pool, member, Probe(fall=1, timeout_seconds=3600))
        assert not member.healthy
        for writer in held:
            writer.close()

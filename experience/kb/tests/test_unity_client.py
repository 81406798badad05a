"""The sample client of clients/unity, compiled and run by Mono where there is one (as Unity's is)."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.conf import settings
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from config.testing.gateway import Gateway
from config.testing.starts import BASE_DIR
from experience.kb.tests.serving import KbProgram
from proxy.core import closes
from proxy.core.closes import Close, ComeBack
from proxy.socket.asgi_leg import substitute

UNITY = BASE_DIR / "clients" / "unity"
CLIENT = [UNITY / name for name in ("ClientOptions.cs", "Comeback.cs", "Since.cs", "SluicegateClient.cs")]
needs_mono = pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="no Mono here (apt-get install mono-mcs)"
)
pytestmark = [needs_mono, pytest.mark.timeout(60)]


def compiled(main: Path, directory: Path) -> Path:
    """The client compiled with `main`; a warning is a failure."""
    out = directory / f"{main.stem}.exe"
    command = ["mcs", "-langversion:7", "-warnaserror", f"-out:{out}", *map(str, CLIENT), str(main)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console example."""
    return compiled(UNITY / "Example.cs", tmp_path_factory.mktemp("unity"))


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(Path(__file__).parent / "unity" / "Trials.cs", tmp_path_factory.mktemp("trials"))


async def said(trials: Path, trial: str, *arguments: str, lines: int | None = None) -> list[str]:
    """The lines that a trial prints: one an argument, or `lines`."""
    process = await asyncio.create_subprocess_exec(
        "mono", str(trials), trial, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            # Not its exit: now and then Mono itself hangs in its shutdown, after Main has returned.
            return [
                (await process.stdout.readline()).decode().rstrip() for _ in range(lines or len(arguments))
            ]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Console:
    """The example's standard input and output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().rstrip()

    async def message(self) -> dict[str, object]:
        kind, _, text = (await self.line()).partition(" ")
        assert kind == "message", text
        message: dict[str, object] = json.loads(text)
        return message

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@asynccontextmanager
async def running(program: Path, url: str, *tokens: str) -> AsyncIterator[Console]:
    process = await asyncio.create_subprocess_exec(
        "mono", str(program), url, "wylding-woods", *tokens,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20,
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            yield Console(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def scripted(*scripts: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that plays the next script for each connection; yields its URL."""
    waiting = list(scripts)

    async def play(socket: ServerConnection) -> None:
        await waiting.pop(0)(socket)

    chosen = [Subprotocol("kb.v1")]
    async with serve(play, "127.0.0.1", 0, subprotocols=chosen) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/experience"


def closing(code: int, reason: str = "") -> Callable[[ServerConnection], Awaitable[None]]:
    async def close(socket: ServerConnection) -> None:
        await socket.close(code, reason)

    return close


async def test_it_plays_on_the_kb_and_says_goodbye(program: Path, kb: KbProgram, token: str) -> None:
    url = f"ws://{kb.address}/ws/experience"
    async with running(program, url, token) as console:
        assert await console.line() == "opened"
        assert (await console.message())["type"] == "connected"
        console.say('{"type":"get_state","request_id":"r1"}')
        assert (await console.message())["request_id"] == "r1"
        console.end_input()
        # Not its exit: now and then Mono itself hangs in its shutdown, after Main has returned.
        assert await console.line() == "ended 1000"


@pytest.mark.parametrize("path", ["/ws/v1/experience", "/ws/v2/experience"])
async def test_it_plays_alike_on_both_routes_of_a_gateway(
    program: Path, kb: KbProgram, token: str, tmp_path: Path, path: str
) -> None:
    env = {"JWT_SIGNING_KEY": settings.JWT_SIGNING_KEY, "KB_SERVICE_URL": f"http://{kb.address}"}
    gateway = Gateway("serve", tmp_path, env)
    try:
        gateway.migrate()
        gateway.start()
        async with running(program, gateway.url(path, token=None).partition("?")[0], token) as console:
            assert await console.line() == "opened"
            assert (await console.message())["type"] == "connected"
            console.say('{"type":"ping","request_id":"r1"}')
            assert (await console.message())["type"] == "pong"
            console.say('{"type":"get_state","request_id":"r2"}')
            assert (await console.message())["type"] == "state"
            console.say('{"type":"talk","npc_id":"nobody","request_id":"r3"}')
            assert (await console.message())["code"] == "unknown_npc"
            console.end_input()
            assert await console.line() == "ended 1000"
    finally:
        gateway.close()


@pytest.mark.parametrize("code", [1008, 1009, 4001, 4003, 4009, 3333])
async def test_it_stays_away_after_a_final_close(program: Path, code: int) -> None:
    async with scripted(closing(code, "why")) as url, running(program, url, "token") as console:
        lines = [await console.line() for _ in range(2)]
    assert lines == [f"closed {code} for good", f"ended {code} why"]


async def test_it_comes_back_after_a_restart_a_failure_and_a_loss(program: Path) -> None:
    async def lose(socket: ServerConnection) -> None:
        socket.transport.abort()

    scripts = (closing(1001, "come back in 50 ms"), closing(1011), lose, closing(4001))
    async with scripted(*scripts) as url, running(program, url, "token") as console:
        lines = [await console.line() for _ in range(4)]
    assert lines == [
        "closed 1001 coming back",
        "closed 1011 coming back",
        "closed 1006 coming back",
        "closed 4001 for good",
    ]


async def test_it_brings_a_fresh_token_after_its_own_has_expired(program: Path) -> None:
    paths: list[str] = []

    async def expire(socket: ServerConnection) -> None:
        assert socket.request is not None
        paths.append(socket.request.path)
        await socket.close(4010 if len(paths) == 1 else 4001)

    async with scripted(expire, expire) as url, running(program, url, "old", "fresh") as console:
        while not (await console.line()).startswith("ended"):
            pass
    assert ["token=old&" in paths[0], "token=fresh&" in paths[1]] == [True, True]
    assert all("&refuse=close" in path for path in paths)


async def test_fragments_make_one_message_and_control_messages_are_told_apart(program: Path) -> None:
    async def speak(socket: ServerConnection) -> None:
        await socket.send(["frag", "men", "ts: \u00e9", "x" * 100_000])
        await socket.send("")
        assert await socket.recv() == '{"type":"gateway.refresh","token":"a.b-c_d"}'
        await socket.send('{"type":"gateway.refreshed","expires_at":1}')
        await socket.close(4001)

    async with scripted(speak) as url, running(program, url, "token") as console:
        assert await console.line() == "opened"
        assert await console.line() == "message fragments: \u00e9" + "x" * 100_000
        assert await console.line() == "message"
        console.say("refresh a.b-c_d")
        assert await console.line() == 'gateway {"type":"gateway.refreshed","expires_at":1}'


# --- When it counts as open -----
async def test_a_link_that_is_refused_is_never_open(program: Path) -> None:
    async def serve(socket: ServerConnection) -> None:
        await socket.send("hello")
        await socket.close(4001)

    scripts = (closing(4013, "too many connections of one user, at most 5; retry in 10 ms"), serve)
    async with scripted(*scripts) as url, running(program, url, "token") as console:
        lines = [await console.line() for _ in range(4)]
    assert lines == ["closed 4013 coming back", "opened", "message hello", "closed 4001 for good"]


async def test_a_service_that_waits_to_be_spoken_to_is_open_after_a_while(program: Path) -> None:
    async def listen(socket: ServerConnection) -> None:
        assert await socket.recv() == "first"
        await socket.send("second")
        await socket.wait_closed()

    async with scripted(listen) as url, running(program, url, "token") as console:
        assert await console.line() == "opened"
        console.say("first")
        assert await console.line() == "message second"


# --- When to come back -----
WORDS = {
    ComeBack.NO: "Stop",
    ComeBack.BACKOFF: "ComeBack",
    ComeBack.WHEN_TOLD: "ComeBack",
    ComeBack.FRESH_TOKEN: "ComeBackWithFreshToken",
}


async def test_it_comes_back_after_each_code_as_the_gateways_table_says(trials: Path) -> None:
    """On stock Daphne, which cannot send them all, after what stands in for them, too."""
    expected = {code: WORDS[meaning.come_back] for code, meaning in closes.MEANINGS.items()}
    stand_ins = {substitute(Close(code)).code: word for code, word in expected.items() if code < 3000}
    lines = await said(trials, "verdicts", *map(str, expected | stand_ins))
    assert lines == [f"{code} {word}" for code, word in (expected | stand_ins).items()]


async def test_it_waits_as_long_as_a_reason_says_and_a_little_longer(trials: Path) -> None:
    named = closes.retry_in(closes.Close(4013, "too many connections of one user, at most 5"), 2).reason
    told, untold = map(float, await said(trials, "delays", named, "overloaded"))
    assert 2000 <= told <= 2500
    assert 250 <= untold <= 500


async def test_it_comes_back_for_what_was_missed_only_where_a_history_has_told_it_its_place(
    trials: Path,
) -> None:
    resync = '{"type":"gateway.resync","reason":"events may have been lost"}'
    recovered = '{"type":"gateway.recovered","recovered":true,"events":0,"since":"1-2"}'
    lines = await said(trials, "heard", resync, recovered, resync)
    fetch_and_come_back = [tuple(word == "True" for word in line.split()) for line in lines]
    assert fetch_and_come_back == [(True, False), (False, False), (False, True)]


async def test_a_game_whose_callbacks_throw_stays_connected(trials: Path) -> None:
    async def speak(socket: ServerConnection) -> None:
        await socket.send("one")
        await socket.send('{"type":"gateway.resync"}')
        await socket.send("two")
        await socket.close(3333)

    async with scripted(speak, closing(4001)) as url:
        lines = await said(trials, "stubborn", url, lines=19)
    assert lines == [
        "failed no session yet", "failed in Closed", "closed 1006",
        "failed the token callback has not answered", "failed in Closed", "closed 1006",
        "failed in Opened", "opened",
        "failed in MessageReceived", "message one",
        "failed in GatewayMessageReceived",
        "failed in MessageReceived", "message two",
        "failed undecided", "failed in Closed", "closed 3333",
        "failed in Closed", "closed 4001",
        "ended 4001",
    ]  # fmt: skip


async def test_at_a_running_gateways_cap_it_waits_without_being_open_and_is_let_in_later(
    program: Path, kb: KbProgram, token: str, tmp_path: Path
) -> None:
    env = {
        "JWT_SIGNING_KEY": settings.JWT_SIGNING_KEY,
        "KB_SERVICE_URL": f"http://{kb.address}",
        "MAX_CONNECTIONS_PER_USER": "1",
    }
    gateway = Gateway("serve", tmp_path, env)
    url = gateway.url(token=None).partition("?")[0]
    try:
        gateway.migrate()
        gateway.start()
        async with running(program, url, token) as first:
            assert await first.line() == "opened"
            async with running(program, url, token) as second:
                assert await second.line() == "closed 4013 coming back"
                first.process.kill()
                assert await second.line() == "opened"
                assert (await second.message())["type"] == "connected"
    finally:
        gateway.close()

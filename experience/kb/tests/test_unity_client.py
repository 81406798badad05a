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
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from config.testing.program import BASE_DIR
from experience.kb.tests.serving import KbProgram

SOURCES = [BASE_DIR / "clients" / "unity" / name for name in ("SluicegateClient.cs", "Example.cs")]
needs_mono = pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="no Mono here (apt-get install mono-mcs)"
)
pytestmark = [needs_mono, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled console example; a warning is a failure."""
    out = tmp_path_factory.mktemp("unity") / "example.exe"
    command = ["mcs", "-langversion:7", "-warnaserror", f"-out:{out}", *map(str, SOURCES)]
    compiled = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    return out


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


@pytest.mark.parametrize("code", [1008, 1009, 4001, 4003, 4009, 4011, 3333])
async def test_it_stays_away_after_a_final_close(program: Path, code: int) -> None:
    async with scripted(closing(code, "why")) as url, running(program, url, "token") as console:
        said = [await console.line() for _ in range(3)]
    assert said == ["opened", f"closed {code} for good", f"ended {code} why"]


async def test_it_comes_back_after_a_restart_a_failure_and_a_loss(program: Path) -> None:
    async def lose(socket: ServerConnection) -> None:
        socket.transport.abort()

    scripts = (closing(1001, "come back in 50 ms"), closing(1011), lose, closing(4001))
    async with scripted(*scripts) as url, running(program, url, "token") as console:
        closes = [line for line in [await console.line() for _ in range(9)] if line.startswith("closed")]
    assert closes == [
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

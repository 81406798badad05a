"""docs/history.md: its clients, in each language, hear all of a gateway that is killed under them."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.testing import documents
from config.testing.documents import examples
from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.testing.starts import BASE_DIR
from config.tests.conftest import MakeGateway
from config.tests.test_history import ROUTES, Publisher

DOCUMENT = documents.read("history.md")
CLIENTS = {example.language: example.text for example in examples(DOCUMENT) if example.kind == "client"}
# A line of stdout for what each callback is called with. Node has a browser's WebSocket.
IN_NODE = """
const say = (...words) => console.log(JSON.stringify(words));
%s
const [url, token] = process.argv.slice(2);
play(url, token, { hear: (m) => say("hear", m.number), fetchState: () => say("state") });
"""
IN_MONO = """
using System;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;
using Sluicegate;

public static class Program
{
    private static void Hear(string text)
    {
        Console.WriteLine("[\\"hear\\"," + Regex.Match(text, "\\"number\\": ([0-9]+)").Groups[1].Value + "]");
    }

    private static void FetchState()
    {
        Console.WriteLine("[\\"state\\"]");
    }

    public static void Main(string[] arguments)
    {
        string url = arguments[0], token = arguments[1];
        %s
        options.PingInterval = TimeSpan.Zero; // nobody answers there
        client.RunAsync(CancellationToken.None).Wait();
    }
}
"""
UNITY = sorted((BASE_DIR / "clients" / "unity").glob("[!E]*.cs"))  # but for the example


@pytest.fixture
def gateway(make_gateway: MakeGateway, valkey: ValkeyServer) -> Gateway:
    return make_gateway(REDIS_URL=valkey.url, ROUTES=ROUTES)


async def outlives(gateway: Gateway, valkey: ValkeyServer, said: asyncio.Queue[list[Any]]) -> None:
    """The client that says there what it hears hears what was published while its gateway was dead."""
    publisher = Publisher(valkey.url)
    assert await said.get() == ["state"]
    await publisher.publish(1)
    assert await said.get() == ["hear", 1]
    gateway.program.kill()
    for number in (2, 3):
        await publisher.publish(number)
    gateway.start()
    assert [await said.get() for _ in range(2)] == [["hear", 2], ["hear", 3]]
    await publisher.publish(4)
    assert await said.get() == ["hear", 4]
    await publisher.close()


async def test_the_python_client_hears_what_it_missed(gateway: Gateway, valkey: ValkeyServer) -> None:
    said: asyncio.Queue[list[Any]] = asyncio.Queue()
    names: dict[str, Any] = {}
    exec(compile(CLIENTS["python"], "history.md", "exec"), names)

    async def fetch_state() -> None:
        said.put_nowait(["state"])

    await gateway.wait_until_ready(redis=True)
    url = f"ws://127.0.0.1:{gateway.port}/rooms/r"
    playing = asyncio.create_task(
        names["play"](
            url, issue(), hear=lambda m: said.put_nowait(["hear", m["number"]]), fetch_state=fetch_state
        )
    )
    try:
        async with asyncio.timeout(40):
            await outlives(gateway, valkey, said)
    finally:
        playing.cancel()
        await asyncio.wait([playing])


@pytest.mark.skipif(not shutil.which("node"), reason="no Node here")
async def test_the_browsers_client_hears_what_it_missed(
    gateway: Gateway, valkey: ValkeyServer, tmp_path: Path
) -> None:
    script = tmp_path / "client.js"
    script.write_text(IN_NODE % CLIENTS["js"])
    await gateway.wait_until_ready(redis=True)
    async with asyncio.timeout(40):
        node = ("node", "--no-warnings", "--experimental-websocket", script)
        async with running(*node, f"ws://127.0.0.1:{gateway.port}/rooms/r", issue()) as said:
            await outlives(gateway, valkey, said)


@pytest.mark.skipif(not shutil.which("mcs"), reason="no Mono here (apt-get install mono-mcs)")
async def test_the_unity_client_hears_what_it_missed(
    gateway: Gateway, valkey: ValkeyServer, tmp_path: Path
) -> None:
    source, program = tmp_path / "program.cs", tmp_path / "program.exe"
    source.write_text(IN_MONO % CLIENTS["csharp"])
    compiling = await asyncio.create_subprocess_exec(
        "mcs", "-langversion:7", "-warnaserror", f"-out:{program}", *UNITY, source
    )
    assert await compiling.wait() == 0
    await gateway.wait_until_ready(redis=True)
    async with asyncio.timeout(60):
        async with running("mono", program, f"ws://127.0.0.1:{gateway.port}/rooms/r", issue()) as said:
            await outlives(gateway, valkey, said)


@asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[asyncio.Queue[list[Any]]]:
    """What a program says, line by line."""
    said: asyncio.Queue[list[Any]] = asyncio.Queue()
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said.put_nowait(json.loads(line))

    reading = asyncio.create_task(read())
    try:
        yield said
    finally:
        process.kill()
        await process.wait()
        await reading

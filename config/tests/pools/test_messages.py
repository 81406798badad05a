"""What a client sends too much of, and what it sends too little of."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from config.testing.gateway import issue
from config.tests.pools.conftest import MakeNodes

KINDS = pytest.mark.parametrize("kind", ["serve", "daphne"])


@KINDS
async def test_messages_beyond_the_rate_are_dropped_and_the_client_is_told(
    make_nodes: MakeNodes, kind: str
) -> None:
    (node,) = make_nodes(1, kind=kind, MESSAGE_RATE_PER_USER="20/s")
    async with asyncio.timeout(30), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(node.connect(node.url("/ws"))) for _ in range(2)]
        other = await stack.enter_async_context(node.connect(node.url("/ws", token=issue("7"))))
        for number in range(15):  # two links of one user share its rate
            for client in clients:
                await client.send(json.dumps({"n": number}))
        answers: list[dict[str, Any]] = []
        while not any(answer["type"] == "error" for answer in answers):
            answers.append(json.loads(await clients[1].recv()))
        told = answers[-1]
        assert (told["code"], told["bound"]) == ("rate_limited", "messages_per_user")
        assert 0 < told["retry_after_ms"] <= 1000
        await other.send("{}")
        assert json.loads(await other.recv())["type"] == "echo"


@KINDS
async def test_the_first_client_of_a_node_may_offer_compression_as_every_browser_does(
    make_nodes: MakeNodes, kind: str
) -> None:
    async def echo(service: ServerConnection) -> None:
        async for message in service:
            await service.send(message)

    async with asyncio.timeout(30), serve(echo, "127.0.0.1", 0, compression="deflate") as service:
        port = service.sockets[0].getsockname()[1]
        (node,) = make_nodes(1, kind=kind, STUDIO_WS_URLS=f"ws://127.0.0.1:{port}", STUDIO_PROBE="none")
        for _ in ("first", "second"):
            async with node.connect(node.url("/ws"), compression="deflate") as client:
                for text in ("short", "x" * 70_000):
                    await client.send(text)
                    assert await client.recv() == text


@KINDS
async def test_a_compressed_stream_can_be_read_on_after_what_was_dropped_of_it(
    make_nodes: MakeNodes, kind: str
) -> None:
    async def echo(service: ServerConnection) -> None:
        async for message in service:
            await service.send(message)

    async with asyncio.timeout(30), serve(echo, "127.0.0.1", 0, compression="deflate") as service:
        port = service.sockets[0].getsockname()[1]
        (node,) = make_nodes(
            1,
            kind=kind,
            STUDIO_WS_URLS=f"ws://127.0.0.1:{port}",
            STUDIO_PROBE="none",
            STUDIO_RESUME="close",
            MESSAGE_RATE_PER_USER="10/s",
        )
        async with node.connect(node.url("/ws"), compression="deflate") as client:
            assert client.response is not None
            told = client.response.headers.get("Sec-WebSocket-Extensions", "")
            assert ("client_no_context_takeover" in told) is (kind == "serve"), told
            sent = [json.dumps({"n": number, "text": "all of these are alike"}) for number in range(40)]
            for text in sent:
                await client.send(text)
            heard = [await client.recv()]
            while not any("rate_limited" in str(text) for text in heard):
                heard.append(await client.recv())
            while sent[-1] not in heard:  # comes through as soon as the rate lets it
                await client.send(sent[-1])
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        heard.append(await client.recv())
            assert {text for text in heard if "rate_limited" not in str(text)} <= set(sent)


@KINDS
async def test_a_message_beyond_the_rate_closes_where_that_is_the_policy(
    make_nodes: MakeNodes, kind: str
) -> None:
    (node,) = make_nodes(1, kind=kind, BYTE_RATE_PER_CONNECTION="1000/s", MESSAGE_RATE_POLICY="close")
    async with asyncio.timeout(30), node.connect(node.url("/ws")) as client:
        for _ in range(3):
            await client.send(json.dumps("x" * 600))
        await client.wait_closed()
    assert client.close_code == (4908 if kind == "daphne" else 1008)


@KINDS
async def test_an_idle_link_is_closed_with_4008_and_a_busy_one_is_not(
    make_nodes: MakeNodes, kind: str
) -> None:
    (node,) = make_nodes(1, kind=kind, WS_TIMEOUT_SECONDS="2")
    async with asyncio.timeout(30), AsyncExitStack() as stack:
        idle = await stack.enter_async_context(node.connect(node.url("/ws")))
        busy = await stack.enter_async_context(node.connect(node.url("/ws")))
        while idle.close_code is None:
            await busy.send('{"type":"heartbeat"}')
            assert json.loads(await busy.recv()) == {"type": "ack"}
            await asyncio.sleep(0.05)
        assert idle.close_code == 4008  # stock Daphne drops the reason
        assert busy.close_code is None

"""Each side's end ends the other, with its code and reason, and the record says who and why."""

from __future__ import annotations

import asyncio
import time

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from config.testing.gateway import Gateway, issue
from proxy.core.wire.framing import encode_frame
from proxy.core.wire.headers import BINARY, TEXT

pytestmark = pytest.mark.long

DAPHNE_CAN_SEND = {1000, *range(3000, 5000)}


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def record_of(gateway: Gateway, user: str) -> dict[str, object]:
    """The closed record of `user`, as soon as it is written."""
    return (await gateway.wait_for_records(f"user_id = '{user}' AND closed_at IS NOT NULL"))[0]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, "bye"), (1001, "room moved"), (1008, "no"), (1011, "oops"), (3000, ""), (4321, "room closed é")],
)
async def test_the_upstreams_close_reaches_the_client_with_code_and_reason(
    gateway: Gateway, code: int, reason: str
) -> None:
    async def close(upstream: ServerConnection) -> None:
        await upstream.close(code, reason)

    user = f"upstream-closes-{gateway.kind}-{code}"
    async with gateway.serving(close), asyncio.timeout(30):
        async with gateway.connect(gateway.url(token=issue(user))) as client:
            await client.wait_closed()
    if gateway.kind == "serve":
        assert (client.close_code, client.close_reason) == (code, reason)
    else:
        assert client.close_code == (code if code in DAPHNE_CAN_SEND else 3900 + code)
    row = await record_of(gateway, user)
    assert (row["close_code"], row["close_reason"], row["closed_by"]) == (code, reason, "upstream")


async def test_the_upstreams_close_without_a_code_is_not_taken_for_1000(gateway: Gateway) -> None:
    async def close(upstream: ServerConnection) -> None:
        await upstream.close(None)  # type: ignore[arg-type]  # as the protocol means it: an empty close frame

    user = f"upstream-closes-{gateway.kind}-empty"
    async with gateway.serving(close), asyncio.timeout(30):
        async with gateway.connect(gateway.url(token=issue(user))) as client:
            await client.wait_closed()
    assert client.close_code == (4905 if gateway.kind == "daphne" else 1005)
    row = await record_of(gateway, user)
    assert (row["close_code"], row["closed_by"]) == (1005, "upstream")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (encode_frame(BINARY, bytes((1 << 20) + 1), mask=bytes(4)), 1009),
        (encode_frame(TEXT, b"not masked"), 1002),
    ],
    ids=["too big", "not masked"],
)
async def test_a_client_that_breaks_a_rule_reads_why_and_is_not_said_to_have_closed(
    gateway: Gateway, sent: bytes, code: int
) -> None:
    user = f"breaks-{gateway.kind}-{code}"
    async with gateway.serving(wait), asyncio.timeout(20):
        async with gateway.connect(gateway.url(token=issue(user))) as client:
            client.transport.write(sent)
            await client.wait_closed()
    assert client.close_code == code
    row = await record_of(gateway, user)
    assert (row["close_code"], row["closed_by"]) == (code, "gateway")


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1001, ""), (3456, "x" * 123), (4999, "é")])
async def test_the_clients_close_reaches_the_upstream_with_code_and_reason(
    gateway: Gateway, code: int, reason: str
) -> None:
    ended: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def listen(upstream: ServerConnection) -> None:
        await upstream.wait_closed()
        ended.set_result(upstream)

    user = f"client-closes-{gateway.kind}-{code}"
    async with gateway.serving(listen), asyncio.timeout(30):
        async with gateway.connect(gateway.url(token=issue(user))) as client:
            await client.close(code, reason)
        async with asyncio.timeout(1):
            upstream = await ended
    assert upstream.close_code == code
    if gateway.kind == "serve":
        assert upstream.close_reason == reason
    row = await record_of(gateway, user)
    assert (row["close_code"], row["closed_by"]) == (code, "client")


async def test_a_client_that_vanishes_ends_its_upstream_within_a_second(gateway: Gateway) -> None:
    opened: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def listen(upstream: ServerConnection) -> None:
        opened.set_result(upstream)
        await upstream.wait_closed()

    user = f"vanishes-{gateway.kind}"
    async with gateway.serving(listen), asyncio.timeout(10):
        async with gateway.connect(gateway.url(token=issue(user))) as client:
            upstream = await opened
            client.transport.abort()
            async with asyncio.timeout(1):
                await upstream.wait_closed()
    row = await record_of(gateway, user)
    assert (row["close_code"], row["closed_by"]) == (1006, "client")


async def test_an_upstream_that_drops_tcp_closes_the_client_with_1011(gateway: Gateway) -> None:
    async def drop(upstream: ServerConnection) -> None:
        upstream.transport.abort()

    user = f"drops-{gateway.kind}"
    async with gateway.serving(drop), asyncio.timeout(30):
        async with gateway.connect(gateway.url(token=issue(user))) as client:
            await client.wait_closed()
    assert client.close_code == (1011 if gateway.kind == "serve" else 4911)
    row = await record_of(gateway, user)
    assert (row["close_code"], row["closed_by"]) == (1006, "upstream")


async def test_what_the_upstream_said_before_it_closed_arrives_first(gateway: Gateway) -> None:
    async def last_words(upstream: ServerConnection) -> None:
        for number in range(500):
            await upstream.send(f"{number}" + "x" * 1000)
        await upstream.close(4000, "that was all")

    async with gateway.serving(last_words) as url, asyncio.timeout(30), gateway.connect(url) as client:
        heard = [message async for message in client_messages(client)]
    assert len(heard) == 500
    assert client.close_code == 4000


async def client_messages(client: ClientConnection):  # type: ignore[no-untyped-def]
    """Messages until the close, whatever its code."""
    from websockets.exceptions import ConnectionClosed

    while True:
        try:
            yield await client.recv()
        except ConnectionClosed:
            return


async def test_an_expired_token_closes_an_open_socket_with_4010(gateway: Gateway) -> None:
    await gateway.wait_until_ready()  # a token would be too old by then
    token = issue("expires", minutes=3 / 60)
    async with gateway.serving(wait), asyncio.timeout(15):
        async with gateway.connect(gateway.url(token=token)) as client:
            await client.wait_closed()
    assert (client.close_code) == 4010


async def test_a_refresh_keeps_the_socket_open(gateway: Gateway) -> None:
    import json

    heard: list[object] = []

    async def listen(upstream: ServerConnection) -> None:
        async for message in upstream:
            heard.append(message)
            await upstream.send(message)

    await gateway.wait_until_ready()  # a token would be too old by then
    token = issue("refreshes", minutes=15 / 60)
    async with gateway.serving(listen), asyncio.timeout(15):
        async with gateway.connect(gateway.url(token=token)) as client:

            async def ask(text: str) -> dict[str, object]:
                await client.send(text)
                answer = json.loads(await client.recv())
                assert isinstance(answer, dict)
                return answer

            def refresh(token: str) -> str:
                return '{"type":"gateway.refresh","token":"' + token + '"}'

            assert (await ask(refresh("garbage")))["code"] == "invalid_token"
            assert (await ask(refresh(issue("somebody-else"))))["code"] == "invalid_token"
            in_milliseconds = issue("refreshes", exp=(int(time.time()) + 600) * 1000)
            assert "not milliseconds" in str((await ask(refresh(in_milliseconds)))["message"])
            assert (await ask('{"type":"gateway.dance"}'))["code"] == "unknown_control"
            assert (await ask('{"type":"gateway.refresh'))["code"] == "invalid_control"
            answer = await ask(refresh(issue("refreshes")))
            assert answer["type"] == "gateway.refreshed"
            assert isinstance(answer["expires_at"], str)
            spelled = json.dumps({"token": issue("refreshes"), "type": "gateway.refresh"}, indent=1)
            assert (await ask(spelled))["type"] == "gateway.refreshed"
            # Anything else goes on to the upstream, a type of its own that only looks alike included.
            await client.send('{"kind":"gateway.refresh"}')
            assert await client.recv() == '{"kind":"gateway.refresh"}'
    assert heard == ['{"kind":"gateway.refresh"}']

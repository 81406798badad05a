"""Who is blamed for a handshake or a link that fails: never a member for what one client sent."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from config.testing.gateway import Gateway, issue
from config.testing.studio import StudioInstance
from config.tests.pools.conftest import MakeNodes
from config.tests.pools.test_balancing import instance_of

KINDS = ("serve", "daphne")


async def status_of(node: Gateway, head: bytes, *, user: str = "bad") -> int:
    """The status of a handshake with these raw header lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(
        b"GET /ws?token=%b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n\r\n"
        % (issue(user).encode(), head)
    )
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handshake_that_cannot_be_passed_on_is_refused_and_blames_no_member(
    make_nodes: MakeNodes, kind: str
) -> None:
    (node,) = make_nodes(1, kind=kind, STUDIO_PROBE="none")
    heads = (
        b"User-Agent: a\x01b",
        b"User-Agent: a\x7fb",
        b"Accept-Language: a\x1bb",
        b"Sec-WebSocket-Protocol: foo bar",
        b"Sec-WebSocket-Protocol: foo\x01",
    )
    async with asyncio.timeout(30):
        for head in heads * 3:
            assert await status_of(node, head) == (403 if kind == "daphne" else 400)
        async with node.connect(node.url("/ws", token=issue("good"))) as client:
            assert await instance_of(client)
    assert "never retrieved" not in node.program.output
    assert "Traceback" not in node.program.output


@pytest.mark.parametrize("kind", KINDS)
async def test_one_user_whose_links_make_a_service_drop_does_not_shut_its_members_to_others(
    make_nodes: MakeNodes, studios: list[StudioInstance], kind: str
) -> None:
    (node,) = make_nodes(1, kind=kind, STUDIO_PROBE="none")
    async with asyncio.timeout(30):
        for _ in range(3):
            clients = [
                await node.connect(node.url("/ws", token=issue("bad"))).__aenter__() for _ in range(12)
            ]
            for client in clients:
                await client.send(json.dumps({"type": "fail", "how": "abort"}))
            for client in clients:
                await client.wait_closed()
        instances = set()
        for number in range(6):
            async with node.connect(node.url("/ws", token=issue(f"good-{number}"))) as client:
                instances.add(await instance_of(client))
        assert len(instances) == len(studios)


async def test_accounts_whose_links_make_a_service_drop_shut_no_member_that_keeps_the_links_of_others(
    make_nodes: MakeNodes, studios: list[StudioInstance]
) -> None:
    (node,) = make_nodes(1, STUDIO_PROBE="none")
    async with asyncio.timeout(60):
        for number in range(4):
            async with AsyncExitStack() as good:
                url = node.url("/ws", token=issue("good"))
                clients = [await good.enter_async_context(node.connect(url)) for _ in studios]
                assert len({await instance_of(client) for client in clients}) == len(studios)
            urls = [node.url("/ws", token=issue(f"bad-{number}-{account}")) for account in range(12)]
            lost = [await node.connect(url).__aenter__() for url in urls]
            for client in lost:
                await client.send(json.dumps({"type": "fail", "how": "abort"}))
            for client in lost:
                await client.wait_closed()


async def test_a_member_that_lets_everybody_in_and_drops_them_is_left_out(make_nodes: MakeNodes) -> None:
    dropped, kept = list[ServerConnection](), list[ServerConnection]()

    async def drop(connection: ServerConnection) -> None:
        dropped.append(connection)
        connection.transport.abort()

    async def keep(connection: ServerConnection) -> None:
        kept.append(connection)
        await connection.wait_closed()

    async with asyncio.timeout(60), AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(each, "127.0.0.1", 0)) for each in (drop, keep)]
        ports = [next(iter(server.sockets)).getsockname()[1] for server in servers]
        urls = ",".join(f"ws://127.0.0.1:{port}/ws" for port in ports)
        options = {"STUDIO_PROBE": "none", "STUDIO_POLICY": "least_connections", "STUDIO_WS_URLS": urls}
        (node,) = make_nodes(1, **options)
        for number in range(20):
            seen = len(dropped)
            url = node.url("/ws", token=issue(f"user-{number}"))
            client = await stack.enter_async_context(node.connect(url))
            if len(dropped) > seen:
                await client.wait_closed()
    assert len(dropped) >= 3
    assert len(kept) > 3, "the one that has no links would draw everybody"


class Studio:
    """A member that answers `status` to the user whom it `refuses`, None for all; counts answers to users."""

    def __init__(self, *, refuses: str | None = "", status: int = 403) -> None:
        self.refuses, self.status = refuses, status
        self.answers: Counter[int] = Counter()

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        user = request.headers.get("X-User-Id")  # a probe has none
        is_refused = self.refuses is None or user == self.refuses
        self.answers[self.status if is_refused else 101] += user is not None
        if not is_refused:
            return None
        response = connection.respond(self.status, "no\n")
        response.headers["Retry-After"] = "60"
        return response

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with serve(
            ServerConnection.wait_closed, "127.0.0.1", 0, process_request=self.answer, compression=None
        ) as server:
            yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "probe"),
    [(403, "none"), (403, "websocket"), (404, "websocket"), (400, "none"), (429, "websocket"), (503, "none")],
)
async def test_a_member_that_refuses_everybody_takes_nobodys_route_away(
    make_nodes: MakeNodes, kind: str, status: int, probe: str
) -> None:
    broken, well = Studio(refuses=None, status=status), Studio()
    async with asyncio.timeout(40), AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(studio.running()) for studio in (broken, well)]
        (node,) = make_nodes(
            1,
            kind=kind,
            STUDIO_PROBE=probe,
            STUDIO_POLICY="least_connections",
            STUDIO_WS_URLS=",".join(urls),
        )
        for number in range(20):
            url = node.url("/ws", token=issue(f"user-{number}"))
            await stack.enter_async_context(node.connect(url))
        _, counted = await node.get("/metrics")
    assert well.answers == {101: 20}
    # Its breaker opens at the third, and some trials follow; one that is busy is left alone after the second.
    assert 2 <= broken.answers[status] < 10
    kinds = {403: "service_refused", 404: "not_found", 400: "upstream_refused"}
    assert f'errors_total{{backend="{urls[0]}",type="{kinds.get(status, "service_busy")}"}}' in counted


async def test_a_user_whom_no_member_lets_in_hears_so_and_harms_none(make_nodes: MakeNodes) -> None:
    members = [Studio(refuses="banned"), Studio(refuses="banned")]
    async with asyncio.timeout(40), AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(studio.running()) for studio in members]
        (node,) = make_nodes(
            1, STUDIO_PROBE="none", STUDIO_POLICY="round_robin", STUDIO_WS_URLS=",".join(urls)
        )
        for _ in range(9):
            with pytest.raises(InvalidStatus) as refused:
                await node.connect(node.url("/ws", token=issue("banned"))).__aenter__()
            assert refused.value.response.status_code == 403
        for number in range(6):
            url = node.url("/ws", token=issue(f"user-{number}"))
            await stack.enter_async_context(node.connect(url))
    assert [studio.answers for studio in members] == [{403: 9, 101: 3}] * 2

"""A gateway in the test's own process, in which every await and every turn of a handshake can be met."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from channels.layers import channel_layers, get_channel_layer
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from websockets.asyncio.server import Server, ServerConnection, serve

from config.testing.servers import ValkeyServer
from proxy import metrics, registry
from proxy.core.credentials import Credentials
from proxy.core.history import History
from proxy.core.limits import MessageLimits, Rate
from proxy.core.principal import Principal
from proxy.core.routes import Resume, Route, Upstream
from proxy.core.topics import TopicKind
from proxy.node import GatewayNode
from proxy.served import serve_routes
from proxy.server.clients import Clients
from proxy.server.handshake import UpgradeRequest
from proxy.server.handshake_leg import HandshakeLeg
from proxy.server.options import ServerOptions
from proxy.socket import consumer
from proxy.socket.consumer import GatewayConsumer

WAYS = ("splice", "relay", "resume")
HEAD = [
    (b"host", b"localhost"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
]


class World:
    """One gateway in this process: our server's clients, a node with a hub and Redis, and a service."""

    def __init__(self, way: str, route: Route, node: GatewayNode, service: Server) -> None:
        self.way, self.node, self.service = way, node, service
        self.route = route
        self.wrap: Callable[[Any], Awaitable[None]] = lambda running: running
        self.wrap_send: Callable[[Any], Any] = lambda send: send
        self.clients = Clients(self._application, ServerOptions(), loop=asyncio.get_running_loop())
        self.tasks: list[asyncio.Future[None]] = []
        self.scopes: list[dict[str, Any]] = []
        self.query: dict[str, str] = {}  # of each handshake from now on
        self.tickets: tuple[str, ...] = ()  # likewise

    @property
    def route(self) -> Route:
        return self.node.served["tried"].route

    @route.setter
    def route(self, route: Route) -> None:
        """What each handshake from now on is served by."""
        before, (served,) = self.node.served["tried"], serve_routes([route], limits=self.node.limits).values()
        is_same = route.upstream is before.route.upstream
        self.node.served["tried"] = replace(served, pool=before.pool) if is_same else served

    def _application(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        scope |= {
            "request_id": "r",
            "client_address": "192.0.2.1",
            "principal": None,
            "token": "secret",
            "tickets": self.tickets,
            "refusal": None,
            "query": self.query,
            "offered_subprotocols": (),
            "bearer_subprotocol": False,
            "url_route": {"kwargs": {"session": "s1"}},
        }
        self.scopes.append(scope)
        if self.way != "splice":
            del scope["extensions"]["sluicegate.splice"]
        running = self.wrap(GatewayConsumer(self.route)(scope, receive, self.wrap_send(send)))
        self.tasks.append(asyncio.ensure_future(running))
        return self.tasks[-1]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[socket.socket]:
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setblocking(False)
        request = UpgradeRequest(
            method="GET", target=b"/ws", http_version="1.1", headers=list(HEAD), client=None, server=None
        )
        HandshakeLeg(self.clients, request).take(theirs)
        with ours:
            yield ours

    async def answer(self) -> tuple[int, bytes]:
        """The status of one handshake, and all that came before its socket was closed; 0 if nothing did."""
        heard = b""
        async with self.client() as client:
            loop = asyncio.get_running_loop()
            while more := await loop.sock_recv(client, 65536):
                heard += more
                if b"\r\n\r\n" in heard and b" 101 " in heard[:16]:
                    break
        return int(heard[9:12] or b"0"), heard

    @property
    def backend(self) -> str:
        upstream = self.route.upstream
        return upstream.members[0] if isinstance(upstream, Upstream) else upstream.name

    async def is_empty(self, redis: Redis) -> bool:
        layer: Any = get_channel_layer()
        served = self.node.served["tried"]
        members = () if served.pool is None else served.pool.all_members()
        labels = {"route": "tried", "backend": self.backend}
        live = REGISTRY.get_sample_value(metrics.CONNECTIONS_INNER_NAME, labels)
        gates = served.gates
        return (
            not self.clients.present
            and not self.node.links
            and not self.node.admission.live()
            and not any(member.links for member in members)
            and not live
            and gates is not None
            and gates.is_empty
            and len(layer.groups) == 3  # the node's own, that of all nodes, and of those that ship
            and not self.service.connections
            and not [key async for key in redis.scan_iter("gateway:lease:*") if b":user:" in key]
        )


session_topic = TopicKind("session", history=History(events=10, seconds=60))


async def quiet_service(connection: ServerConnection) -> None:
    await connection.wait_closed()


@pytest.fixture
async def redis(valkey: ValkeyServer, settings: Any) -> AsyncIterator[Redis]:
    settings.REDIS_URL = valkey.url
    settings.REDIS_HOST = {**settings.REDIS_HOST, "address": valkey.url}
    settings.WEBSOCKET_ENABLED = True
    client = Redis.from_url(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture(params=WAYS)
async def world(
    request: pytest.FixtureRequest, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    async with serve(quiet_service, "127.0.0.1", 0, compression=None) as service:
        port = next(iter(service.sockets)).getsockname()[1]
        route = Route(
            name="tried",
            paths=("ws",),
            upstream=Upstream.of("tried", f"ws://127.0.0.1:{port}", path="/ws"),
            topics=lambda subject: (session_topic(subject.connection_id),),
            topic_kinds=(session_topic,),
            resume=Resume.RECONNECT if request.param == "resume" else Resume.CLOSE,
            authenticate=_user_7,
            message_limits=MessageLimits(messages_per_user=Rate(1000, 1)),
        )
        monkeypatch.setattr(registry, "routes", lambda: (route,))
        channel_layers.backends.clear()
        node = GatewayNode()
        monkeypatch.setattr(node.rules, "ready", _at_once)  # there is no database

        async def running() -> GatewayNode:
            return node

        monkeypatch.setattr(consumer, "running_node", running)
        node.background.start("hub", node.hub.run)
        assert node.admission.shared is not None
        node.background.start("leases", node.admission.shared.run)
        async with asyncio.timeout(20):  # a machine may do much else meanwhile
            while not (node.hub.connected and node.admission.shared.connected):
                await asyncio.sleep(0.01)
        yield World(request.param, route, node, service)
        await node.background.stop()
        await node.admission.shared.leave()
        run_script: Any = node.admission.shared._run_script
        await run_script.func.registered_client.aclose()


async def _user_7(_: Credentials) -> Principal:
    await asyncio.sleep(0)
    return Principal(user_id="7")


async def _at_once() -> None:
    await asyncio.sleep(0)


async def settle(world: World, redis: Redis) -> None:
    async with asyncio.timeout(30):
        if world.tasks:
            await asyncio.wait(world.tasks)
        while not await world.is_empty(redis):
            await asyncio.sleep(0.01)
    world.tasks.clear()

"""A relayed link leaves no upstream socket, however its consumer ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import ClientLeft
from proxy.core.limits import LinkLimits
from proxy.core.records import LinkCounters
from proxy.core.routes import Route, Upstream
from proxy.engine.pools.dial import DialRequest, Target, dial_leg
from proxy.socket import ways
from proxy.socket.opening import Opening
from proxy.socket.ways import RelayWay


def life_of(leg: Any, route: Route, **told: Any) -> Any:
    """A link's life, as far as a relay asks it."""
    link = SimpleNamespace(record=SimpleNamespace(id="c", request_id="r"), counters=LinkCounters())
    told |= {"route": route, "lease": SimpleNamespace(leg=leg), "link": link}
    told |= dict.fromkeys(("began", "joined"), lambda _: None)
    return SimpleNamespace(gate=None, policy=None, failed=None, **told)


def opening_of(route: Route, receive: Any, send: Any) -> Opening:
    served: Any = SimpleNamespace(route=route, limits=LinkLimits())
    node: Any = None
    return Opening(scope={"principal": None}, receive=receive, send=send, served=served, node=node)


@pytest.mark.parametrize("end", ["cancelled", "accept fails", "before the accept"])
async def test_an_upstream_leg_ends_with_a_consumer_that_is_given_up(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, accepted, ends = asyncio.Event(), asyncio.Event(), list[tuple[Close, ClosedBy]]()

    async def service(connection: ServerConnection) -> None:
        await connection.wait_closed()
        gone.set()

    async def send(_: dict[str, Any]) -> None:
        accepted.set()
        if end == "accept fails":
            raise ConnectionError

    def fail(**_: str) -> None:
        accepted.set()
        raise ConnectionError

    if end == "before the accept":
        monkeypatch.setattr(ways, "bind_contextvars", fail)
    async with asyncio.timeout(30), serve(service, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        leg = await dial_leg(Target(url), DialRequest(), limits=LinkLimits())

        def give_up(close: Close) -> None:
            leg.abort()
            ends.append((close, ClosedBy.GATEWAY))

        route = Route(name="r", paths=(), upstream=Upstream.of("kb", url))
        life = life_of(leg, route, give_up=give_up, ended=lambda close, by: ends.append((close, by)))
        opening = opening_of(route, asyncio.Event().wait, send)
        serving = asyncio.create_task(RelayWay(opening).serve(life, {}))
        await accepted.wait()
        await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait([serving])
        await gone.wait()
        assert serving.cancelled() or isinstance(serving.exception(), ConnectionError)
    assert len(ends) == 1


async def test_what_a_client_sends_before_the_accept_ends_no_dial_and_reaches_the_service_first() -> None:
    heard: list[str | bytes] = []
    dialled, events = asyncio.Event(), asyncio.Queue[dict[str, Any]]()

    async def service(connection: ServerConnection) -> None:
        heard.extend([message async for message in connection])

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.accept":
            events.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async with asyncio.timeout(30), serve(service, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        route = Route(name="r", paths=(), upstream=Upstream.of("kb", url))
        ended = asyncio.Event()

        async def opened() -> Any:
            await dialled.wait()
            leg = await dial_leg(Target(url), DialRequest(), limits=LinkLimits())
            return life_of(leg, route, ended=lambda *_: ended.set())

        way = RelayWay(opening_of(route, events.get, send))
        for number in range(2):
            events.put_nowait({"type": "websocket.receive", "text": f"early {number}"})
        opening = asyncio.create_task(way.until_left(opened()))
        while events.qsize() > 1:
            await asyncio.sleep(0)
        dialled.set()
        await way.serve(await opening, {"type": "websocket.accept"})
        await ended.wait()
        server.close()
        await server.wait_closed()
    assert heard == ["early 0", "early 1"]


async def test_a_client_that_leaves_before_the_accept_ends_the_dial() -> None:
    route = Route(name="r", paths=(), upstream=Upstream.of("kb", "ws://127.0.0.1:1/"))

    async def leave() -> dict[str, Any]:
        return {"type": "websocket.disconnect", "code": 1006}

    async with asyncio.timeout(30):
        with pytest.raises(ClientLeft):
            await RelayWay(opening_of(route, leave, None)).until_left(asyncio.Event().wait())  # type: ignore[arg-type]

"""A relayed link leaves no upstream socket, however its consumer ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from proxy.core.closes import Close, ClosedBy
from proxy.core.limits import LinkLimits
from proxy.core.records import LinkCounters
from proxy.core.routes import Route, Upstream
from proxy.engine.pools.dial import DialRequest, Target, dial_leg
from proxy.socket import ways
from proxy.socket.opening import Opening
from proxy.socket.ways import RelayWay


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
    async with asyncio.timeout(5), serve(service, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        leg = await dial_leg(Target(url), DialRequest(), limits=LinkLimits())

        def give_up(close: Close) -> None:
            leg.abort()
            ends.append((close, ClosedBy.GATEWAY))

        route = Route(name="r", paths=(), upstream=Upstream.of("kb", url))
        life: Any = SimpleNamespace(
            gate=None,
            policy=None,
            failed=None,
            route=route,
            lease=SimpleNamespace(leg=leg),
            link=SimpleNamespace(
                record=SimpleNamespace(id="c", request_id="r"),
                counters=LinkCounters(),
                begin=lambda _: None,
            ),
            began=lambda _: None,
            give_up=give_up,
            ended=lambda close, by: ends.append((close, by)),
        )
        served: Any = SimpleNamespace(route=route, limits=LinkLimits())
        node: Any = None
        silent: Any = asyncio.Event().wait
        opening = Opening(scope={"principal": None}, receive=silent, send=send, served=served, node=node)
        serving = asyncio.create_task(RelayWay(opening).serve(life, {}))
        await accepted.wait()
        await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait([serving])
        await gone.wait()
        assert serving.cancelled() or isinstance(serving.exception(), ConnectionError)
    assert len(ends) == 1

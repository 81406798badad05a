"""What the record of a link says of where it leads."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from config.testing.gateway import issue
from proxy.core.principal import Principal
from proxy.core.routes import Route, Subject, Upstream
from proxy.socket.scope import record_of
from proxy.socket.tests.wire import accepted
from proxy.tests.world import World, settle


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/rooms/north", "/rooms/north"),
        ("/rooms/a\0b\u202e", "/rooms/a\ufffdb\ufffd"),
        ("/rooms/" + "x" * 900, "/rooms/" + "x" * 248),
        (f"/rooms/{issue()}", "/rooms/[redacted]"),
    ],
)
def test_the_record_has_the_path_that_was_asked_for_bounded_and_without_a_token(path: str, kept: str) -> None:
    route = Route(name="rooms", paths=("rooms/<path:room>",), upstream=Upstream.of("rooms", "ws://a:1"))
    principal = Principal(user_id="42")
    scope = {"path": path, "client_address": "", "request_id": "r1", "headers": [], "principal": principal}
    subject = Subject(connection_id="c1", principal=principal, query={})
    assert record_of(scope, route, subject, topics=(), upstream="ws://a:1/").path == kept


@pytest.mark.parametrize("has_own", [True, False])
async def test_the_topic_of_a_link_is_the_first_of_its_routes_own(
    world: World, redis: Redis, has_own: bool
) -> None:
    if not has_own:
        world.route = replace(world.route, topics=lambda _: (), topic_kinds=())
    async with asyncio.timeout(30), world.client() as client:
        await accepted(client)
        while not world.node.links:
            await asyncio.sleep(0)
        (link,) = world.node.links.values()
        assert link.record.topic == (f"session:{link.id}" if has_own else "")
    await settle(world, redis)

"""Each route finds out by itself who a client is: when it is asked, what it sees, what becomes of it."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from proxy.core.blocking import Blocklist, BlockRule
from proxy.core.credentials import Credentials
from proxy.core.errors import AuthenticationFailed, Forbidden, NotFound, TokenExpired
from proxy.core.limits import ConnectionLimits, LinkLimits, Rate
from proxy.core.principal import Principal
from proxy.core.revoking import Revoked
from proxy.core.routes import Subject
from proxy.core.topic_rules import TopicRule, TopicRules
from proxy.tests.world import World, settle


def asking(world: World, answer: Callable[[], Principal]) -> list[Credentials]:
    """Who is asked about from now on."""
    asked: list[Credentials] = []

    async def authenticate(credentials: Credentials) -> Principal:
        await asyncio.sleep(0)
        asked.append(credentials)
        return answer()

    world.route = replace(world.route, authenticate=authenticate)
    return asked


async def test_a_route_sees_the_token_and_the_path_and_its_answer_is_who_the_link_is(
    world: World, redis: Redis
) -> None:
    asked = asking(world, lambda: Principal(user_id="agent-1"))
    async with world.client() as client:
        loop = asyncio.get_running_loop()
        assert b" 101 " in await loop.sock_recv(client, 65536)
        while not world.node.links:
            await asyncio.sleep(0)
        (link,) = world.node.links.values()
        assert (link.record.user_id, "user:agent-1" in link.topics) == ("agent-1", True)
        assert world.scopes[-1] == {}  # the token is in its headers, too
    (shown,) = asked
    assert (shown.token, shown.params, shown.client_address) == ("secret", {"session": "s1"}, "192.0.2.1")
    assert "secret" not in repr(shown)
    await settle(world, redis)


async def test_what_is_taken_back_while_a_link_is_dialled_ends_it(world: World, redis: Redis) -> None:
    """A route has vouched for the client before, and no look of the node's comes after."""
    asking(world, lambda: Principal(user_id="agent-1"))

    def takes_back(subject: Subject) -> None:  # between the question who it is and the accept
        world.node.rules.revocations._revocations.add([Revoked("agent-1", "", time.time())])

    world.route = replace(world.route, authorize=takes_back)
    async with world.client() as client:
        loop, heard = asyncio.get_running_loop(), b""
        while b"token revoked" not in heard and (more := await loop.sock_recv(client, 65536)):
            heard += more
    assert b"token revoked" in heard
    await settle(world, redis)


@pytest.mark.parametrize(("may", "status"), [(False, 403), (True, 503)])
async def test_who_may_not_come_in_is_not_told_that_it_is_closed(
    world: World, redis: Redis, may: bool, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def authorize(_: Subject) -> None:
        if not may:
            raise Forbidden("not of this room")

    asking(world, lambda: Principal(user_id="agent-1"))
    world.route = replace(world.route, authorize=authorize)
    closed = TopicRules([TopicRule(topic="user:agent-1", closed="Back at nine.")])
    monkeypatch.setattr(world.node.rules.topics, "_rules", closed)
    answered, body = await world.answer()
    assert (answered, b"Back at nine." in body) == (status, may)
    await settle(world, redis)


async def test_a_ticket_is_the_routes_own_where_the_route_finds_out_by_itself(
    world: World, redis: Redis
) -> None:
    def respond() -> Principal:
        raise AuthenticationFailed("a ticket of another theatre")

    asked, world.tickets = asking(world, respond), ("row 7", "row 8")
    assert (await world.answer())[0] == 401
    (shown,) = asked
    assert (shown.token, shown.query["ticket"]) == ("secret", "row 7")
    await settle(world, redis)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AuthenticationFailed("key k-1 was revoked"), "The credentials are missing or not valid."),
        (AuthenticationFailed("k-1 revoked", message="No such API key."), "No such API key."),
        (TokenExpired("k-1 is of last year"), "The token has expired."),
    ],
)
async def test_a_route_has_words_of_its_own_for_who_it_does_not_know_and_its_log_more(
    world: World, redis: Redis, error: AuthenticationFailed, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    def respond() -> Principal:
        raise error

    def counted() -> float:
        labels = {"reason": error.reason}
        return REGISTRY.get_sample_value("gateway_websocket_auth_failures_total", labels) or 0.0

    asking(world, respond)
    before = counted()
    with caplog.at_level(logging.INFO):
        status, body = await world.answer()
    assert (status, json.loads(body.partition(b"\r\n\r\n")[2])["message"]) == (401, told)
    assert b"k-1" not in body
    (refused,) = [record for record in caplog.records if record.message == "handshake refused"]
    assert "k-1" in refused.why  # type: ignore[attr-defined]
    assert (error.reason in {"credentials", "expired"}, counted() - before) == (True, 1)
    await settle(world, redis)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (AuthenticationFailed("no such key"), 401),
        (NotFound("no such session"), 404),
        (RuntimeError("a product's mistake"), 500),
        (Principal(user_id=""), 500),
        (Principal(user_id="a\r\nb"), 500),
        (Principal(user_id=7), 500),  # type: ignore[arg-type]
        (None, 500),
    ],
)
async def test_who_is_nobody_is_refused_with_the_routes_own_words_and_leaves_nothing(
    world: World, redis: Redis, answer: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def respond() -> Principal:
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    asking(world, respond)
    assert (await world.answer())[0] == status
    failed = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [getattr(record, "hook", None) for record in failed] == ["authenticate"] * (status == 500)
    await settle(world, redis)


@pytest.mark.parametrize(
    "mistake",
    [
        {"email": 5},
        {"token": None},
        *({"expires_at": at} for at in (math.inf, math.nan, "soon", 2e12, -1, Decimal(9))),
    ],
    ids=str,
)
async def test_a_principal_that_could_not_be_recorded_or_expire_is_nobody_and_the_hook_is_named(
    world: World, redis: Redis, mistake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asking(world, lambda: Principal(user_id="7", **mistake))
    assert (await world.answer())[0] == 500
    failed = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [getattr(record, "hook", None) for record in failed] == ["authenticate"]
    await settle(world, redis)


async def test_a_store_that_does_not_answer_is_a_504_in_time(world: World, redis: Redis) -> None:
    async def authenticate(_: Credentials) -> Principal:
        await asyncio.Event().wait()
        raise AssertionError

    world.route = replace(world.route, authenticate=authenticate)
    served = world.node.served["tried"]
    world.node.served["tried"] = replace(served, limits=LinkLimits(dial_timeout_seconds=0.1))
    assert (await world.answer())[0] == 504
    await settle(world, redis)


def beyond_the_rate(world: World) -> None:
    limits = ConnectionLimits(name="tried", connect_rate=Rate(1, 3600))
    world.route = replace(world.route, connection_limits=limits)
    world.node.admission.check_rate(limits, "192.0.2.1")


def beyond_the_cap(world: World) -> None:
    world.route = replace(world.route, connection_limits=ConnectionLimits(name="tried", per_address=0))


def blocked(world: World) -> None:
    world.node.rules._blocklist = Blocklist([BlockRule(network=ip_network("192.0.2.0/24"))])


def draining(world: World) -> None:
    world.node.door.draining = True


@pytest.mark.parametrize(
    ("refused", "status"), [(beyond_the_rate, 429), (beyond_the_cap, 429), (blocked, 403), (draining, 503)]
)
async def test_nobody_is_asked_who_a_client_is_that_is_refused_whoever_it_is(
    world: World, redis: Redis, refused: Callable[[World], None], status: int
) -> None:
    asked = asking(world, lambda: Principal(user_id="7"))
    refused(world)
    assert (await world.answer())[0] == status
    assert not asked
    await settle(world, redis)


async def test_a_blocked_user_is_kept_out_once_it_is_known_who_it_is(world: World, redis: Redis) -> None:
    world.node.rules._blocklist = Blocklist([BlockRule(user_id="7")])
    assert (await world.answer())[0] == 403
    await settle(world, redis)


def _refuses_in_words(credentials: Credentials) -> Principal:
    raise AuthenticationFailed(f"nobody has {credentials.token}")


SESSIONS: dict[str, Principal] = {}


@pytest.mark.parametrize(
    ("authenticate", "says"),
    [
        (lambda credentials: SESSIONS[credentials.token], "KeyError"),
        (lambda credentials: Principal(user_id=str(int(credentials.token))), "invalid literal for int"),
        (lambda credentials: Principal(user_id=credentials.token + "\n"), "a Principal with a user id, not"),
        (_refuses_in_words, "nobody has"),
    ],
)
async def test_an_opaque_token_does_not_get_into_the_log(
    world: World, redis: Redis, authenticate: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.route = replace(world.route, authenticate=authenticate)
    with caplog.at_level(logging.INFO):
        assert (await world.answer())[0] in {401, 500}
    shown = caplog.text + "".join(str(vars(record).get("why")) for record in caplog.records)
    assert says in shown
    assert "secret" not in shown
    await settle(world, redis)

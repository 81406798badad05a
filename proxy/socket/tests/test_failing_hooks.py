"""What fails in an accept or in a product's hook is answered, named, and leaves nothing."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import AuthenticationFailed, Forbidden, GatewayError, NotFound
from proxy.core.events import Event
from proxy.core.limits import MessageLimits, OverRate, Rate
from proxy.core.policies import Policy, Verdict
from proxy.core.routes import Forward, Subject
from proxy.socket.tests.wire import accepted, read
from proxy.tests.world import World, settle


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_accept_that_fails_leaves_nothing(world: World, redis: Redis, moment: str) -> None:
    def fail_around(send: Any) -> Any:
        async def failing(message: dict[str, Any]) -> None:
            if message["type"] != "websocket.accept" or moment == "after":
                await send(message)
            if message["type"] == "websocket.accept":
                raise ConnectionError

        return failing

    world.wrap_send = fail_around
    status, _ = await world.answer()
    assert status == (500 if moment == "before" else 101)
    await settle(world, redis)


def raises(error: BaseException) -> Callable[..., Any]:
    def hook(*_: Any) -> Any:
        raise error

    return hook


class Odd(BaseException):
    """What no `except Exception` catches."""


class BrokenForward(Forward):
    def query_string(self, subject: Subject) -> str:
        raise RuntimeError("a product's mistake")


async def waits_for_a_broken_one(_: Subject) -> None:
    await asyncio.sleep(0)
    raise TimeoutError("a product's mistake")  # its own, not the gateway's deadline


async def waits_for_what_was_cancelled(_: object) -> None:
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


HOOKS: dict[str, dict[str, Any]] = {
    "topics": {"topics": raises(RuntimeError("a product's mistake"))},
    "forward": {"forward": BrokenForward()},
    "policy": {"policy": raises(RuntimeError("a product's mistake"))},
    "policy, which is none": {"policy": lambda _: "a product's mistake"},
    "authorize": {"authorize": raises(RuntimeError("a product's mistake"))},
    "authorize, awaited": {"authorize": waits_for_a_broken_one},
    "authorize, false": {"authorize": lambda _: False},
    "authorize, cancelled": {"authorize": waits_for_what_was_cancelled},
    "authenticate, cancelled": {"authenticate": waits_for_what_was_cancelled},
    "topics, cancelled": {"topics": raises(asyncio.CancelledError())},
    "policy, cancelled": {"policy": raises(asyncio.CancelledError())},
    "policy, odd": {"policy": raises(Odd())},
    "authenticate, generator": {"authenticate": raises(GeneratorExit())},
    "authorize, generator": {"authorize": raises(GeneratorExit())},
    "topics, generator": {"topics": raises(GeneratorExit())},
}


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_hook_that_raises_is_named_and_answered_with_500(
    world: World, redis: Redis, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.route = replace(world.route, **HOOKS[hook])
    with caplog.at_level(logging.ERROR):
        status, body = await world.answer()
    assert status == 500
    assert b"mistake" not in body
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == [
        hook.split(",", maxsplit=1)[0]
    ]
    await settle(world, redis)


@pytest.mark.parametrize(
    ("topics", "status"),
    [
        (raises(NotFound("no such game")), 404),
        (lambda _: ("no topic",), 500),
        (lambda _: ("room:1",), 500),
        (lambda _: ("node:all",), 500),
        (lambda _: ("session:half a surrogate \ud800",), 500),
        (lambda _: (None,), 500),
        (lambda _: None, 500),
        (lambda _: "session:1", 500),
    ],
)
async def test_topics_that_are_none_are_refused_with_the_errors_own_status(
    world: World, redis: Redis, topics: Any, status: int
) -> None:
    world.route = replace(world.route, topics=topics)
    assert (await world.answer())[0] == status
    await settle(world, redis)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("a product's mistake"), 1011),
        (NotFound("no such game"), 1008),
        (asyncio.CancelledError(), 1011),
        (TimeoutError(), 1011),
        (Odd(), 1011),
        (GeneratorExit(), 1011),
    ],
)
async def test_a_policy_that_raises_ends_its_link_with_the_errors_own_close(
    world: World, redis: Redis, error: BaseException, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Policy):
        def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
            raise error

    world.route = replace(world.route, policy=lambda _: Failing())
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30), world.client() as client:
        heard = await loop.sock_recv(client, 65536)
        await loop.sock_sendall(client, b"\x81\x82\0\0\0\0hi")
        while len(heard.partition(b"\r\n\r\n")[2]) < 4:
            heard += await loop.sock_recv(client, 65536)
    frame = heard.partition(b"\r\n\r\n")[2]
    assert frame[0] == 0x88
    assert int.from_bytes(frame[2:4], "big") == code
    await settle(world, redis)
    logged = [record for record in caplog.records if hasattr(record, "hook")]
    named = [(record.hook, record.user_id, len(record.connection_id)) for record in logged]  # type: ignore[attr-defined]
    assert named == ([("policy", "7", 32)] if code == 1011 else [])


async def stranger(subject: Subject) -> None:
    await asyncio.sleep(0)
    raise Forbidden(f"{subject.principal.user_id} is in none", message="Not a member of this shop.")


@pytest.mark.parametrize(
    ("authorize", "told"),
    [(raises(Forbidden("an inner detail")), b"Not permitted."), (stranger, b"Not a member of this shop.")],
)
async def test_a_client_that_the_route_does_not_authorize_is_a_403_before_any_dial(
    world: World, redis: Redis, authorize: Any, told: bytes
) -> None:
    world.route = replace(world.route, authorize=authorize)
    status, body = await world.answer()
    assert (status, told in body, b"detail" in body) == (403, True, False)
    assert not world.service.connections
    await settle(world, redis)


async def test_a_client_that_the_route_authorizes_comes_in(world: World, redis: Redis) -> None:
    asked: list[Subject] = []
    world.route = replace(world.route, authorize=asked.append)
    status, _ = await world.answer()
    assert (status, len(asked)) == (101, 1)
    await settle(world, redis)


async def test_a_route_that_does_not_say_in_time_whether_is_a_504(world: World, redis: Redis) -> None:
    async def never(_: Subject) -> None:
        await asyncio.Event().wait()

    world.node.limits = replace(world.node.limits, dial_timeout_seconds=0.05)
    world.route = replace(world.route, authorize=never)
    status, _ = await world.answer()
    assert status == 504
    await settle(world, redis)


LIVE_HOOKS: dict[str, Callable[..., Any]] = {
    "phrase": raises(RuntimeError("a product's mistake")),
    "phrase, none": lambda _: None,
    "phrase, bytes": lambda _: b"{}",
    "phrase, no text": lambda _: "\ud800",
    "phrase, cancelled": raises(asyncio.CancelledError()),
    "phrase, odd": raises(Odd()),
    "phrase, generator": raises(GeneratorExit()),
    "farewell, generator": raises(GeneratorExit()),
    "farewell": raises(RuntimeError("a product's mistake")),
    "farewell, none": lambda _: None,
    "farewell, no text": lambda _: "\ud800",
    "farewell, cancelled": raises(asyncio.CancelledError()),
}


@pytest.mark.parametrize("hook", LIVE_HOOKS)
async def test_a_hook_that_fails_on_a_live_link_is_named_with_the_link(
    world: World, redis: Redis, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    name, broken = hook.split(",", maxsplit=1)[0], LIVE_HOOKS[hook]
    world.route = replace(world.route, **{name: broken})  # type: ignore[arg-type]
    async with asyncio.timeout(30), world.client() as client:
        rest = await accepted(client)
        (service,) = world.service.connections
        await service.send("hello")
        assert (await read(client, rest))[1] == b"hello"
        (link,) = world.node.links.values()
        if name == "phrase":
            link.inject(Event("everyone", "{}"))
        else:
            link.end(closes.KICKED, ClosedBy.STAFF)
        assert (await read(client))[0] == 0x88
    await settle(world, redis)
    (logged,) = [vars(record) for record in caplog.records if hasattr(record, "hook")]
    named = (logged["hook"], logged["user_id"], logged["connection_id"], logged["request_id"])
    assert named == (name, "7", link.id, "r")


def untellable(**fields: Any) -> GatewayError:
    """A failure of a product's that no client can be told of."""
    error = (AuthenticationFailed if "reason" in fields else GatewayError)("a product's mistake")
    for name, value in fields.items():
        setattr(error, name, value)
    return error


class Unsayable(GatewayError):
    """What no log can be told of."""

    def __str__(self) -> str:
        raise RuntimeError("a product's mistake")


UNTELLABLE: list[dict[str, Any]] = [
    {"code": {"no": "word"}},
    {"code": "half a surrogate \ud800"},
    {"upstream": 5},
    {"close": "no close"},
    {"close": Close(1006)},
    {"close": closes.OVERLOADED, "retry_after_seconds": math.inf},
    {"status": 101},
    {"status": "403"},
    {"message": "half a surrogate \ud800"},
    {"message": "x" * 100_000},
    {"message": None},
]


@pytest.mark.parametrize("fields", UNTELLABLE, ids=" ".join)
@pytest.mark.parametrize("refuse", ["", "close"])
async def test_a_failure_that_no_client_can_be_told_of_is_the_hooks(
    world: World, redis: Redis, fields: dict[str, Any], refuse: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.route = replace(world.route, authorize=raises(untellable(**fields)))
    world.query = {"refuse": refuse}
    status, heard = await world.answer()
    assert status == (101 if refuse else 500)
    assert refuse == "" or b"internal error" in heard
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == ["authorize"]
    assert "application failed" not in caplog.messages
    await settle(world, redis)


@pytest.mark.parametrize("error", [Unsayable(), untellable(reason=["no word"])], ids=["str", "reason"])
async def test_a_failure_that_no_log_or_metric_can_be_told_of_is_the_hooks(
    world: World, redis: Redis, error: GatewayError, caplog: pytest.LogCaptureFixture
) -> None:
    world.route = replace(world.route, authenticate=raises(error))
    assert (await world.answer())[0] == 500
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == ["authenticate"]
    await settle(world, redis)


def says(close: Callable[[], Any]) -> Callable[..., Verdict]:
    return lambda *_, **__: Verdict(forward=False, close=close())


WRONG_ENDS: list[Callable[..., Any]] = [
    says(lambda: Close(4000, None)),  # type: ignore[arg-type]
    says(lambda: Close(4000.0)),  # type: ignore[arg-type]
    says(lambda: Close("4000")),  # type: ignore[arg-type]
    says(lambda: "no close"),
    lambda *_, **__: raises(untellable(close="no close"))(),
    lambda *_, **__: raises(untellable(close=closes.OVERLOADED, retry_after_seconds=math.inf))(),
]


@pytest.mark.parametrize("judge", WRONG_ENDS)
async def test_an_end_that_cannot_be_told_is_the_policys_failure_and_leaves_nothing(
    world: World, redis: Redis, judge: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(Policy):
        from_client = judge

    world.route = replace(world.route, policy=lambda _: Wrong())
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30), world.client() as client:
        rest = await accepted(client)
        await loop.sock_sendall(client, b"\x81\x82\0\0\0\0hi")
        first, payload, _ = await read(client, rest)
        assert (first, payload) == (0x88, (1011).to_bytes(2, "big") + b"internal error")
    await settle(world, redis)
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == ["policy"]


@pytest.mark.parametrize("hook", [each for each in LIVE_HOOKS if each.startswith("phrase")])
async def test_a_phrase_that_fails_as_the_answer_to_a_dropped_message_ends_the_link(
    world: World, redis: Redis, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = MessageLimits(messages_per_connection=Rate(1, 60), over=OverRate.DROP)
    world.route = replace(world.route, phrase=LIVE_HOOKS[hook], message_limits=limits)
    async with asyncio.timeout(30), world.client() as client:
        rest = await accepted(client)
        await asyncio.get_running_loop().sock_sendall(client, b"\x81\x82\0\0\0\0hi" * 2)
        first, payload, _ = await read(client, rest)
        assert (first, payload[:2]) == (0x88, (1011).to_bytes(2, "big"))
    await settle(world, redis)
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == ["phrase"]

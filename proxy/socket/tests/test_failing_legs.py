"""A leg of a route's own that is none, or fails: its hook is named; client and record get what is theirs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.frames import Opcode

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import GatewayError, LegClosed
from proxy.core.legs import Leg
from proxy.core.routes import LegPerLink, Resume, Subject
from proxy.socket.tests.wire import accepted, frame, read
from proxy.tests.world import World, settle

LIVE: set[Leg] = set()


class Quiet(Leg):
    """Has nothing to say, and says no more of itself than it must."""

    async def receive(self) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: str | bytes) -> None:
        raise AssertionError


class FailsToChoose(Quiet):
    @property
    def subprotocol(self) -> str | None:
        raise RuntimeError("a product's mistake")


class Chooses(Quiet):
    """One of sub-protocols that nobody offered."""

    def __init__(self, subprotocol: Any) -> None:
        self.chosen = subprotocol

    @property
    def subprotocol(self) -> str | None:
        return self.chosen  # type: ignore[no-any-return]

    def abort(self) -> None:
        LIVE.discard(self)


class FailsToAbort(Quiet):
    def abort(self) -> None:
        raise RuntimeError("a product's mistake")


class FailsToMeasure(Quiet):
    @property
    def unsent_bytes(self) -> int:
        raise RuntimeError("a product's mistake")


class RefusesSomehow(Quiet):
    async def receive(self) -> str:
        error = GatewayError("a product's mistake")
        error.close = "no close"  # type: ignore[assignment]
        raise error


class ClosedSomehow(Quiet):
    async def receive(self) -> str:
        raise LegClosed(Close(4321, None), by=ClosedBy.UPSTREAM)  # type: ignore[arg-type]


class Odd(BaseException):
    """What no `except Exception` catches."""


class Fails(Quiet):
    """Raises the failure at `hook`."""

    def __init__(self, hook: str, failure: BaseException) -> None:
        self._hook, self._failure = hook, failure

    async def receive(self) -> str:
        self._fail("receive")
        return await super().receive()

    async def send(self, message: str | bytes) -> None:
        self._fail("send")

    async def close(self, close: Close) -> None:
        self._fail("close")

    def _fail(self, hook: str) -> None:
        if hook == self._hook:
            raise self._failure


class Holds(Quiet):
    """Takes a cancellation of `hook` for nothing, once: as `asyncio.wait_for` does, now and then."""

    def __init__(self, hook: str) -> None:
        self._hook, self.asked = hook, asyncio.Event()

    async def receive(self) -> str:
        if self._hook == "receive":
            await self._held()
            self._hook = ""
            return ""
        return await super().receive()

    async def send(self, message: str | bytes) -> None:
        if self._hook == "send":
            await self._held()

    async def _held(self) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return


class SessionOver(LegClosed):
    """Never told how the leg was closed."""

    def __init__(self) -> None:
        pass


class Mute(Leg):
    async def receive(self) -> str:
        raise AssertionError


class FailsToReceive(Quiet):
    async def receive(self) -> str:
        raise TimeoutError("a product's mistake")  # its own, and no slow client


class ReceivesNothing(Quiet):
    async def receive(self) -> str:
        return None  # type: ignore[return-value]


class FailsToSend(Quiet):
    async def send(self, message: str | bytes) -> None:
        raise ConnectionError("a product's mistake")


def leads_to(world: World, leg: Any) -> None:
    async def open_leg(_: Subject) -> Any:
        return leg

    world.route = replace(
        world.route, upstream=LegPerLink(name="sessions", open=open_leg), resume=Resume.CLOSE
    )


def hooks_named(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.hook for record in caplog.records if hasattr(record, "hook")]


@pytest.mark.parametrize(
    ("leg", "hook"),
    [
        (None, "open"),
        (object(), "open"),
        (Quiet, "open"),  # the class, where one is asked for
        (Mute(), "open"),  # type: ignore[abstract]
        (FailsToChoose(), "subprotocol"),
        (Chooses("nobody's"), "subprotocol"),
        (Chooses(5), "subprotocol"),
    ],
)
async def test_what_is_no_leg_or_fails_as_one_refuses_the_handshake_and_leaves_nothing(
    world: World, redis: Redis, leg: Any, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    leads_to(world, leg)
    if isinstance(leg, Chooses):
        LIVE.add(leg)
    with caplog.at_level(logging.INFO):
        assert (await world.answer())[0] == 500
    assert hooks_named(caplog) == [hook]
    assert "link opened" not in caplog.messages
    await settle(world, redis)
    assert not LIVE


@pytest.mark.parametrize(
    ("leg", "hook"),
    [
        (FailsToReceive(), "receive"),
        (ReceivesNothing(), "receive"),
        (FailsToSend(), "send"),
        (Fails("receive", asyncio.CancelledError()), "receive"),
        (Fails("receive", Odd()), "receive"),
        (Fails("send", asyncio.CancelledError()), "send"),
        (Fails("send", TimeoutError()), "send"),
        (Fails("send", GeneratorExit()), "send"),
        (Fails("send", SessionOver()), "send"),
        (Fails("receive", SessionOver()), "receive"),
    ],
)
async def test_a_leg_that_fails_ends_its_link_and_is_named_with_it(
    world: World, redis: Redis, leg: Leg, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    leads_to(world, leg)
    async with asyncio.timeout(30), world.client() as client:
        rest = await accepted(client)
        await asyncio.get_running_loop().sock_sendall(client, frame(Opcode.TEXT, b"a"))
        first, payload, _ = await read(client, rest)
        assert (first, payload) == (0x88, (1011).to_bytes(2, "big") + b"internal error")
    await settle(world, redis)
    (failed,) = [vars(record) for record in caplog.records if hasattr(record, "hook")]
    assert (failed["hook"], failed["route"], failed["user_id"]) == (hook, "tried", "7")


@pytest.mark.parametrize("hook", ["receive", "send"])
async def test_a_client_whose_leg_says_that_it_closed_reads_that_close(
    world: World, redis: Redis, hook: str
) -> None:
    leads_to(world, Fails(hook, LegClosed(Close(4321, "bye"), by=ClosedBy.CLIENT)))
    async with asyncio.timeout(30), world.client() as client:
        rest = await accepted(client)
        await asyncio.get_running_loop().sock_sendall(client, frame(Opcode.TEXT, b"a"))
        first, payload, _ = await read(client, rest)
        assert (first, payload) == (0x88, (4321).to_bytes(2, "big") + b"bye")
    await settle(world, redis)


@pytest.mark.parametrize("joins", [True, False])
async def test_a_leg_that_fails_at_its_abort_leaves_nothing_else_behind(
    world: World,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    joins: bool,
) -> None:
    async def fail(*_: Any) -> None:
        raise ConnectionError

    if not joins:
        monkeypatch.setattr(world.node.hub, "join", fail)
    leads_to(world, FailsToAbort())
    assert (await world.answer())[0] == (101 if joins else 500)
    await settle(world, redis)
    assert set(hooks_named(caplog)) == {"abort"}


@pytest.mark.parametrize("leg", [ClosedSomehow(), RefusesSomehow()])
async def test_a_leg_that_is_closed_by_what_is_no_close_ends_its_link_as_a_failure(
    world: World, redis: Redis, leg: Leg
) -> None:
    leads_to(world, leg)
    async with asyncio.timeout(30), world.client() as client:
        first, payload, _ = await read(client, await accepted(client))
        assert (first, payload) == (0x88, (1011).to_bytes(2, "big") + b"internal error")
    await settle(world, redis)


@pytest.mark.parametrize(
    ("leg", "hook"),
    [
        (Fails("close", RuntimeError("a product's mistake")), "close"),
        (Fails("close", asyncio.CancelledError()), "close"),
        (Fails("close", Odd()), "close"),
        (FailsToMeasure(), "unsent_bytes"),
    ],
)
async def test_a_leg_that_fails_at_its_close_costs_neither_client_nor_record_theirs(
    world: World, redis: Redis, leg: Leg, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    leads_to(world, leg)
    with caplog.at_level(logging.INFO):
        async with asyncio.timeout(30), world.client() as client:
            rest = await accepted(client)
            while not world.node.links:
                await asyncio.sleep(0)
            (link,) = world.node.links.values()
            link.end(Close(4001, "kicked"), ClosedBy.GATEWAY)
            first, payload, _ = await read(client, rest)
            assert (first, payload) == (0x88, (4001).to_bytes(2, "big") + b"kicked")
        await settle(world, redis)
    assert hooks_named(caplog) == [hook]
    ends = [(record.code, record.reason) for record in caplog.records if record.message == "link closed"]  # type: ignore[attr-defined]
    assert ends == [(4001, "kicked")]


@pytest.mark.parametrize("hook", ["receive", "send"])
async def test_a_leg_that_holds_on_to_a_call_does_not_keep_its_link_open(
    world: World, redis: Redis, hook: str
) -> None:
    leg = Holds(hook)
    leads_to(world, leg)
    async with asyncio.timeout(10), world.client() as client:
        rest = await accepted(client)
        await asyncio.get_running_loop().sock_sendall(client, frame(Opcode.TEXT, b"a"))
        await leg.asked.wait()
        (link,) = world.node.links.values()
        link.end(closes.KICKED, ClosedBy.STAFF)
        first, payload, rest = await read(client, rest)
        if hook == "receive":
            assert (first, payload) == (0x81, b"")  # what it received after all
            first, payload, _ = await read(client, rest)
        assert (first, payload[:2]) == (0x88, (4001).to_bytes(2, "big"))
    await settle(world, redis)

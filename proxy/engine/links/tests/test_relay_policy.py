"""A relayed route's policy is asked about every message, as a spliced one's is."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import LegClosed
from proxy.core.events import Event
from proxy.core.limits import LinkLimits, MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGates
from proxy.core.policies import DROP, FORWARD, Policy, Verdict
from proxy.core.records import LinkCounters
from proxy.engine.links.relay import Relay
from proxy.engine.links.resting import MOST_AHEAD, Rests
from proxy.engine.links.tests.splicing import NotingLife, terms


class ScriptedLeg:
    """A leg that says what it was given, then closes, and remembers what it was told."""

    def __init__(self, *messages: str | bytes, close: Close | None, by: ClosedBy) -> None:
        self._messages, self._close, self._by = list(messages), close, by
        self.heard: list[str | bytes] = []
        self.closed_with: Close | None = None
        self.unsent_bytes, self.subprotocol = 0, None

    async def receive(self) -> str | bytes:
        if self._messages:
            return self._messages.pop(0)
        if self._close is None:
            await asyncio.get_running_loop().create_future()
        assert self._close is not None
        raise LegClosed(self._close, by=self._by)

    async def send(self, message: str | bytes) -> None:
        self.heard.append(message)

    async def close(self, close: Close) -> None:
        self.closed_with = close

    def abort(self) -> None: ...


class Strict(Policy):
    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self.judge("in", payload, is_text)

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self.judge("out", payload, is_text)

    def judge(self, direction: str, payload: bytes, is_text: bool) -> Verdict:
        if not is_text:
            return Verdict(forward=False, reply=f"no binary {direction}")
        if payload == b"drop me":
            return DROP
        return Verdict(forward=False, close=closes.INVALID_DATA) if payload == b"end" else FORWARD


class DeafLeg(ScriptedLeg):
    """One that reads nothing of what it is sent."""

    async def send(self, message: str | bytes) -> None:
        await asyncio.get_running_loop().create_future()


class FailingLeg(ScriptedLeg):
    """One that takes one message. At each of the others it fails or, without a `failure`, waits for good."""

    failure: Exception | None = None

    async def send(self, message: str | bytes) -> None:
        await super().send(message)
        if len(self.heard) > 1:
            if self.failure is not None:
                raise self.failure
            await asyncio.get_running_loop().create_future()


async def relayed(client: ScriptedLeg, service: ScriptedLeg, **options: Any) -> LegClosed:
    relay = Relay(client, service, terms(**{"policy": Strict(), "farewell": lambda _: ("bye",), **options}))
    async with asyncio.timeout(30):
        return await relay.run()


async def test_the_policy_forwards_drops_and_answers_the_sender_either_way() -> None:
    client = ScriptedLeg("a", "drop me", b"raw", "b", close=closes.NORMAL, by=ClosedBy.CLIENT)
    service = ScriptedLeg(b"raw", "drop me", "c", close=None, by=ClosedBy.UPSTREAM)
    ended = await relayed(client, service)
    assert (ended.close, ended.by) == (closes.NORMAL, ClosedBy.CLIENT)
    assert [message for message in service.heard if message != "no binary out"] == ["a", "b"]
    assert "no binary out" in service.heard
    assert "no binary in" in client.heard
    assert "drop me" not in client.heard


async def test_what_the_policy_puts_in_place_of_a_message_is_of_its_kind() -> None:
    class Saying(Policy):
        def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
            return Verdict(forward=True, payload=payload[4:])

    client = ScriptedLeg("say grüezi", b"say \xff", close=closes.NORMAL, by=ClosedBy.CLIENT)
    service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
    await relayed(client, service, policy=Saying())
    assert service.heard == ["grüezi", b"\xff"]


async def test_what_is_put_in_place_of_a_text_has_to_be_one_and_its_failure_is_told() -> None:
    class Binary(Policy):
        def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
            return Verdict(forward=True, payload=b"\xff")

    life = NotingLife()
    client = ScriptedLeg("text", close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
    ended = await relayed(client, service, policy=Binary(), life=life)
    assert ended.close == closes.INTERNAL_ERROR
    assert [error.hook for error in life.failures] == ["policy"]


@pytest.mark.parametrize("over", OverRate)
async def test_the_gate_stands_in_front_of_the_policy(over: OverRate) -> None:
    seen: list[bytes] = []

    class Noting(Policy):
        def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
            seen.append(payload)
            return FORWARD

    gate = MessageGates(MessageLimits(messages_per_connection=Rate(2, 0.2), over=over)).open("7")
    client = ScriptedLeg("a", "b", "c", close=closes.NORMAL, by=ClosedBy.CLIENT)
    service, counters = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM), LinkCounters()
    ended = await relayed(client, service, policy=Noting(), gate=gate, counters=counters)
    waits = over is OverRate.WAIT
    assert service.heard == ["a", "b", *(["c"] if waits else [])]
    assert seen == [b"a", b"b", *([b"c"] if waits else [])]
    assert counters.messages_dropped == (not waits)
    assert ended.close == (closes.MESSAGE_RATE if over is OverRate.CLOSE else closes.NORMAL)
    assert any("rate_limited" in str(told) for told in client.heard) is (over is OverRate.DROP)


async def test_an_event_is_told_in_the_links_own_context_so_that_log_lines_name_it() -> None:
    named: ContextVar[str] = ContextVar("named", default="nobody")
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    class Noting(ScriptedLeg):
        async def send(self, message: str | bytes) -> None:
            told.set_result(named.get())

    async def joined() -> LegClosed:
        named.set("the link")
        client = Noting(close=None, by=ClosedBy.CLIENT)
        relay.set_result(Relay(client, ScriptedLeg(close=None, by=ClosedBy.UPSTREAM), terms()))
        return await relay.result().run()

    relay: asyncio.Future[Relay] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(joined())
    async with asyncio.timeout(30):
        (await relay).inject(Event("news"))
        assert await told == "the link"
        relay.result().end(closes.NORMAL, ClosedBy.GATEWAY)
        await running


async def test_the_policy_ends_the_link_at_both_ends() -> None:
    client = ScriptedLeg("a", "end", "never", close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
    ended = await relayed(client, service)
    assert (ended.close, ended.by) == (closes.INVALID_DATA, ClosedBy.GATEWAY)
    assert service.heard == ["a"]
    assert client.closed_with == service.closed_with == closes.INVALID_DATA


async def test_who_does_not_read_the_answer_to_its_control_message_is_a_slow_consumer() -> None:
    client = DeafLeg('{"type":"gateway.refresh"}', close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
    limits = LinkLimits(slow_consumer_seconds=0.05)
    assert (await relayed(client, service, control=True, limits=limits)).close == closes.SLOW_CONSUMER


async def test_who_does_not_read_a_policys_answer_is_to_blame_and_not_the_other_end() -> None:
    limits = LinkLimits(slow_consumer_seconds=0.05)
    deaf_client = DeafLeg(b"no binary here", close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
    assert (await relayed(deaf_client, service, limits=limits)).close == closes.SLOW_CONSUMER

    client = ScriptedLeg(close=None, by=ClosedBy.CLIENT)
    deaf_service = DeafLeg(b"no binary here", close=None, by=ClosedBy.UPSTREAM)
    assert (await relayed(client, deaf_service, limits=limits)).close == closes.UPSTREAM_FAILED


async def test_a_service_that_does_not_take_a_message_in_time_has_failed() -> None:
    client = ScriptedLeg("hello", close=None, by=ClosedBy.CLIENT)
    service = DeafLeg(close=None, by=ClosedBy.UPSTREAM)
    ended = await relayed(client, service, limits=LinkLimits(slow_consumer_seconds=0.05))
    assert (ended.close, ended.by) == (closes.UPSTREAM_FAILED, ClosedBy.GATEWAY)


@pytest.mark.parametrize("failure", [None, RuntimeError("gone")])
async def test_last_words_that_a_client_does_not_take_keep_neither_end_from_its_close(
    failure: Exception | None,
) -> None:
    client = FailingLeg(close=None, by=ClosedBy.CLIENT)
    client.failure = failure
    service = ScriptedLeg("hello", "end", close=None, by=ClosedBy.UPSTREAM)
    await relayed(client, service, limits=LinkLimits(close_timeout_seconds=60))
    assert client.heard == ["hello", "bye"]
    assert client.closed_with == service.closed_with == closes.INVALID_DATA


async def test_a_client_that_is_too_slow_is_not_asked_to_take_last_words() -> None:
    client = FailingLeg(close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg("hello", "more", close=None, by=ClosedBy.UPSTREAM)
    ended = await relayed(client, service, limits=LinkLimits(slow_consumer_seconds=0.05))
    assert ended.close == closes.SLOW_CONSUMER
    assert client.heard == ["hello", "more"]


async def test_an_end_is_read_ahead_of_a_rest_by_few_messages_in_order() -> None:
    leg = ScriptedLeg(*map(str, range(100)), close=closes.NORMAL, by=ClosedBy.CLIENT)
    source = Rests(leg, max_bytes=1000)
    source.rest(60)
    first = asyncio.create_task(source.receive())
    await asyncio.wait([first], timeout=0.05)
    assert not first.done()
    assert len(leg._messages) == 100 - MOST_AHEAD
    first.cancel()
    await asyncio.wait([first])
    assert [await source.receive() for _ in range(100)] == [str(number) for number in range(100)]
    with pytest.raises(LegClosed):
        await source.receive()


async def test_a_leg_that_closes_in_a_rest_ends_it_and_has_no_other() -> None:
    source = Rests(ScriptedLeg("a", "b", close=closes.NORMAL, by=ClosedBy.CLIENT), max_bytes=1000)
    async with asyncio.timeout(30):
        for message in ("a", "b"):
            source.rest(60)
            assert await source.receive() == message
        source.rest(60)
        with pytest.raises(LegClosed):
            await source.receive()

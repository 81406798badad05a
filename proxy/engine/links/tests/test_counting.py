"""What crosses a link is counted alike on both ways, whatever a policy makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

import pytest

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.errors import Forbidden
from proxy.core.limits import LinkLimits, MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGate, MessageGates
from proxy.core.policies import DROP, FORWARD, Policy, Verdict
from proxy.core.records import LinkCounters
from proxy.core.wire.framing import text_frame
from proxy.core.wire.headers import TEXT
from proxy.engine.links.relay import Relay
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.splicing import masked, terms
from proxy.engine.links.tests.test_relay_policy import ScriptedLeg

CONTROL = '{"type":"gateway.refresh"}'
ANSWER = "answered"


class Script(Policy):
    """Does with a message what that says: the same either way."""

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self.from_service(payload, is_text=is_text)

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        match payload.split():
            case [b"drop"]:
                return DROP
            case [b"say", *_]:
                return Verdict(forward=True, payload=payload[4:])
            case [b"ask"]:
                return Verdict(forward=False, reply=ANSWER)
            case [b"close"]:
                return Verdict(forward=True, close=closes.INVALID_DATA)
            case [b"raise"]:
                raise Forbidden("script")
        return FORWARD


def spliced(sent: Sequence[str], said: Sequence[str], gate: MessageGate | None) -> LinkCounters:
    with Dialogue(policy=Script(), control=True, gate=gate, answer=lambda _: ANSWER) as link:
        link.client.says(b"".join(masked(TEXT, text.encode()) for text in sent))
        link.turns()
        link.service.says(b"".join(map(text_frame, said)))
        link.wait()
        link.ends(closes.KICKED, ClosedBy.STAFF)
    return link.counters


class AnsweringLife:
    """A life that has one answer to every control message."""

    def control(self, text: str) -> str:
        return ANSWER

    def joined(self, stream: object) -> None: ...
    def failed(self, error: object) -> None: ...
    def ended(self, close: object, by: object) -> None: ...


def relayed(sent: Sequence[str], said: Sequence[str], gate: MessageGate | None) -> LinkCounters:
    counters = LinkCounters()

    class Service(ScriptedLeg):
        """Says its messages once the client's have come, and closes; with none to say, the client does."""

        async def receive(self) -> str | bytes:
            await heard.wait()
            return await super().receive()

    class Client(ScriptedLeg):
        async def receive(self) -> str | bytes:
            if not self._messages:
                heard.set()
            return await super().receive()

    async def play() -> None:
        client = Client(*sent, close=None if said else closes.NORMAL, by=ClosedBy.CLIENT)
        service = Service(*said, close=closes.NORMAL if said else None, by=ClosedBy.UPSTREAM)
        asked = terms(policy=Script(), control=True, gate=gate, counters=counters, life=AnsweringLife())
        async with asyncio.timeout(30):
            await Relay(client, service, asked).run()

    heard = asyncio.Event()
    asyncio.run(play())
    return counters


def size(*texts: str) -> int:
    return sum(len(text.encode()) for text in texts)


WAYS = pytest.mark.parametrize("way", [spliced, relayed])
SENT, SAID = ["a", "drop", CONTROL, "say grüezi", "ask"], ["hello", "drop", "say grüezi", "ask", "say "]


@WAYS
def test_in_is_what_the_client_sends_and_out_is_what_it_is_sent(way) -> None:  # type: ignore[no-untyped-def]
    counters = asdict(way(SENT, SAID, None))
    assert counters.pop("last_activity") > 0
    assert counters == {
        "messages_in": 4,
        "bytes_in": size("a", "drop", "say grüezi", "ask"),
        "messages_out": 5,
        "bytes_out": size(ANSWER, ANSWER, "hello", "grüezi", ""),
        "messages_dropped": 0,
    }


@WAYS
@pytest.mark.parametrize("last", ["close", "raise"])
def test_what_ends_the_link_is_not_sent(way, last: str) -> None:  # type: ignore[no-untyped-def]
    counters = way([], ["hello", last], None)
    assert (counters.messages_out, counters.bytes_out) == (1, size("hello"))


@WAYS
@pytest.mark.parametrize("last", ["close", "raise"])
def test_what_came_behind_it_at_once_is_not_counted_either(way, last: str) -> None:  # type: ignore[no-untyped-def]
    texts = ["a", "bc", "def", last, "never", "read"]
    counters = way(texts, [], None)
    assert (counters.messages_in, counters.bytes_in) == (4, size(*texts[:4]))
    assert (counters.messages_out, counters.bytes_out) == (0, 0)
    counters = way([], texts, None)
    assert (counters.messages_in, counters.bytes_in) == (0, 0)
    assert (counters.messages_out, counters.bytes_out) == (3, size(*texts[:3]))


@WAYS
def test_what_is_over_the_rate_is_counted_in_and_dropped_and_its_answer_out(way) -> None:  # type: ignore[no-untyped-def]
    limits = MessageLimits(messages_per_connection=Rate(1, 3600), over=OverRate.DROP)
    counters = way(["a", "b", CONTROL], [], MessageGates(limits).open("7"))
    assert (counters.messages_in, counters.bytes_in, counters.messages_dropped) == (2, 2, 1)
    assert counters.messages_out == 2


def test_a_service_that_is_only_kept_back_does_not_leave_the_link_idle() -> None:
    with Dialogue(
        policy=Script(), limits=LinkLimits(idle_timeout_seconds=30, ping_interval_seconds=200)
    ) as link:
        for _ in range(6):
            link.wait(10)
            link.service.says(text_frame("drop"))
        assert link.splice.ended is None
        link.wait(40)
        assert link.splice.ended == (closes.IDLE, ClosedBy.GATEWAY)


def test_nothing_is_counted_twice_on_other_sockets() -> None:
    with Dialogue(policy=Script()) as link:
        link.client.says(masked(TEXT, b"ask"))
        link.service.says(text_frame("drop") + text_frame("say more"))
        assert link.hands_over()
        link.service.says(text_frame("hello"))
        link.wait()
    assert link.counters.messages_out == 3
    assert link.counters.bytes_out == size(ANSWER, "more", "hello")

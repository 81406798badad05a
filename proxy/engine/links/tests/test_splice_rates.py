"""What a client sends beyond its rate, where that does not wait: it is dropped and told, or ends the link."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.limits import DROPPED_RATE, MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGates
from proxy.core.wire.framing import close_frame, ping_frame, text_frame
from proxy.core.wire.headers import BINARY, CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.gated_leg import InspectedLeg
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.policies import Forwarding
from proxy.engine.links.tests.splicing import answer_to

KEY = b"\x01\x02\x03\x04"
HELLO = encode_frame(TEXT, b"hello", mask=KEY)
PING = ping_frame(b"?", mask=KEY)
REFRESH = b'{"type":"gateway.refresh"}'
FIVE = {"messages_per_connection": Rate(5, 1)}
KINDS = pytest.mark.parametrize("options", [{}, {"policy": Forwarding()}], ids=["counted", "inspected"])


def limited(over: OverRate = OverRate.DROP, *, rates: Any = None, **options: Any) -> Dialogue:
    limits = MessageLimits(**(rates or FIVE), over=over)
    return Dialogue(gate=MessageGates(limits).open("7"), **options)


def told(link: Dialogue) -> list[dict[str, Any]]:
    """What the client has heard of its rate."""
    return [json.loads(frame[4 if frame[1] == 126 else 2 :]) for frame in link.client.frames()]


@KINDS
def test_messages_beyond_the_rate_are_dropped_and_the_client_is_told(options: Any) -> None:
    with limited(**options) as link:
        link.client.says(HELLO * 12)
        link.wait()
        link.service.hears(*[HELLO] * 5)
        assert not link.client.reading, "nothing is read before the next may come"
        assert [(each["code"], each["bound"]) for each in told(link)] == [
            ("rate_limited", "messages_per_connection")
        ]
        assert 0 < told(link)[0]["retry_after_ms"] <= 201
        assert link.turns() < 0.3
        link.client.says(HELLO)
        link.wait()
        link.service.hears(HELLO)
        assert link.counters.messages_dropped == 7
    assert (link.counters.messages_in, link.counters.bytes_in) == (13, 65)


@KINDS
def test_a_message_beyond_the_rate_ends_the_link_where_that_is_so(options: Any) -> None:
    with limited(OverRate.CLOSE, **options) as link:
        link.client.says(HELLO * 6)
        link.wait()
        link.service.hears(*[HELLO] * 5, close_frame(1008, closes.MESSAGE_RATE.reason))
        assert link.splice.ended == (closes.MESSAGE_RATE, ClosedBy.GATEWAY)
        assert link.counters.messages_dropped == 1


def test_a_rate_alone_does_not_look_into_messages() -> None:
    with limited() as link:
        assert not isinstance(link.splice.down, InspectedLeg)
        begun = encode_frame(BINARY, bytes(1000), mask=KEY)
        link.client.says(begun[:500])
        link.wait()
        assert link.service.written == begun[:500]


def test_a_message_that_was_let_in_is_let_in_whole_and_one_that_was_not_is_dropped_to_its_end() -> None:
    pieces = [encode_frame(TEXT, b"a", mask=KEY, fin=False), PING, encode_frame(CONT, b"b", mask=KEY)]
    with limited(rates={"messages_per_connection": Rate(1, 1)}) as link:
        link.client.says(*pieces, *pieces)
        link.turns()
        link.service.hears(*pieces, PING)
        assert link.counters.messages_dropped == 1
        assert len(told(link)) == 1


def test_an_end_does_not_wait_for_the_rest_of_what_is_dropped() -> None:
    with limited(rates={"messages_per_connection": Rate(1, 60)}) as link:
        link.client.says(HELLO + encode_frame(BINARY, bytes(900), mask=KEY)[:100])
        link.turns()
        link.ends(closes.KICKED, ClosedBy.STAFF)
        link.wait()
        link.service.hears(HELLO, close_frame(closes.KICKED.code, closes.KICKED.reason))


@pytest.mark.parametrize("over", [OverRate.DROP, OverRate.CLOSE])
@KINDS
def test_a_control_message_is_answered_however_far_beyond_its_rate_the_client_is(
    over: OverRate, options: Any
) -> None:
    refresh = encode_frame(TEXT, REFRESH, mask=KEY)
    with limited(over, control=True, **options) as link:
        link.client.says(HELLO * 5 + refresh)
        link.turns()
        link.service.hears(*[HELLO] * 5)
        link.client.hears(text_frame(answer_to(REFRESH.decode())))
        assert link.splice.ended is None


def test_bytes_are_owed_once_they_have_come() -> None:
    with limited(rates={"bytes_per_connection": Rate(1000, 1)}) as link:
        big, small = encode_frame(BINARY, bytes(2500), mask=KEY), encode_frame(BINARY, b"", mask=KEY)
        link.client.says(big, small)
        link.wait()
        link.service.hears(big)
        assert told(link)[0]["retry_after_ms"] == pytest.approx(1501, abs=2)
        link.wait(1.6)
        link.client.says(small)
        link.wait()
        link.service.hears(small)


def test_what_a_link_has_sent_is_charged_to_its_user_even_if_it_sends_nothing_more() -> None:
    gates = MessageGates(MessageLimits(bytes_per_user=Rate(1000, 60)))
    for _ in range(2):
        with Dialogue(gate=gates.open("7")) as link:
            link.client.says(encode_frame(BINARY, bytes(900), mask=KEY))
            link.wait()
    with Dialogue(gate=gates.open("7")) as link:
        link.client.says(HELLO)
        link.wait()
        assert link.counters.messages_dropped == 1


def test_what_is_dropped_is_dropped_of_a_client_that_is_gone_too() -> None:
    with limited(rates={"messages_per_connection": Rate(1, 60)}) as link:
        link.client.says(HELLO * 5000)
        link.client.resets()
        assert link.turns() < 1
        assert link.service.frames()[0] == HELLO
        assert len(link.service.frames()) == 2
        assert link.service.is_closed
        assert link.counters.messages_dropped == 4999


@KINDS
def test_what_is_dropped_is_read_at_a_bounded_pace(options: Any) -> None:
    with limited(rates={"messages_per_user": Rate(1000, 1)}, **options) as link:
        link.client.says(HELLO * 5000)
        seconds = link.turns()
        assert seconds >= (link.counters.messages_dropped - DROPPED_RATE.count) / DROPPED_RATE.per_second
        assert link.counters.messages_dropped > 2000


@KINDS
def test_a_route_that_cannot_phrase_the_refusal_ends_the_link(options: Any) -> None:
    def broken(text: str) -> str:
        raise RuntimeError(text)

    gate = MessageGates(MessageLimits(messages_per_connection=Rate(1, 1)), phrase=broken).open("7")
    with Dialogue(gate=gate, **options) as link:
        link.client.says(HELLO * 2)
        link.turns()
        link.client.hears(close_frame(1011, "internal error"))
    assert [error.hook for error in link.failures] == ["phrase"]

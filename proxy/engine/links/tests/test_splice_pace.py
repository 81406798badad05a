"""A client is read no faster than its route lets it send, and loses nothing by that."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core import closes
from proxy.core.limits import MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGates
from proxy.core.policies import Policy, Verdict
from proxy.core.wire.framing import close_frame, encode_frame, ping_frame
from proxy.core.wire.headers import TEXT
from proxy.engine.links import spliced_leg
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.policies import Forwarding

pytestmark = pytest.mark.timing

KEY = b"\x01\x02\x03\x04"
BYE = close_frame(4000, "bye", mask=KEY)
HELLO = encode_frame(TEXT, b"hello", mask=KEY)


class DropAndPause(Policy):
    def __init__(self, seconds: float) -> None:
        self._verdict = Verdict(forward=False, pause_seconds=seconds)

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self._verdict


def gated(rate: Rate, **options: Any) -> Dialogue:
    limits = MessageLimits(messages_per_connection=rate, over=OverRate.WAIT)
    return Dialogue(gate=MessageGates(limits).open("7"), **options)


@pytest.mark.parametrize(
    "options", [{}, {"policy": Forwarding()}, {"control": True}], ids=["transparent", "inspected", "control"]
)
def test_messages_beyond_the_rate_come_later_in_order_and_all_of_them(options: dict[str, Any]) -> None:
    sent = [encode_frame(TEXT, str(number).encode(), mask=KEY) for number in range(100)]
    with gated(Rate(50, 5), **options) as link:
        link.client.says(*sent)
        assert len(link.service.frames()) <= 50
        assert not link.client.reading
        assert 4.5 <= link.turns() <= 5.5
        link.service.hears(*sent)
        assert link.client.reading


def test_a_client_within_its_rate_never_waits() -> None:
    with gated(Rate(1000, 1)) as link:
        for _ in range(60):
            link.client.says(HELLO)
            link.wait()
        link.service.hears(*[HELLO] * 60)


def test_a_close_behind_messages_that_wait_comes_after_them() -> None:
    with gated(Rate(10, 2)) as link:
        link.client.says(HELLO * 30 + BYE)
        link.turns()
        link.service.hears(*[HELLO] * 30, close_frame(4000, "bye"))


def test_an_end_does_not_wait_for_the_rate() -> None:
    with gated(Rate(1, 60)) as link:
        link.client.says(HELLO * 5)
        link.wait()
        link.ends(closes.GOING_AWAY)
        link.wait()
        link.service.hears(HELLO, close_frame(1001, closes.GOING_AWAY.reason))
        assert link.client.reading, "its own close is waited for"


def test_who_pings_too_much_is_read_later_and_its_pings_all_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spliced_leg, "CONTROL_FRAME_RATE", Rate(20, 2))
    ping = ping_frame(b"?", mask=KEY)
    with Dialogue() as link:
        link.client.says(ping * 40)
        assert not link.client.reading
        assert 1.5 <= link.turns() <= 2.5
        link.service.hears(*[ping] * 40)
        assert link.client.reading


def test_control_messages_are_answered_no_faster_than_they_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spliced_leg, "CONTROL_MESSAGE_RATE", Rate(10, 2))
    texts = [f'{{"type":"gateway.{number}"}}'.encode() for number in range(30)]
    with Dialogue(control=True, answer=str) as link:
        link.client.says(b"".join(encode_frame(TEXT, text, mask=KEY) for text in texts) + HELLO)
        assert link.turns() >= 3
        link.client.hears(*(encode_frame(TEXT, text) for text in texts))
        link.service.hears(HELLO)


def test_a_sender_whose_message_was_dropped_is_not_read_for_as_long_as_its_policy_says() -> None:
    with Dialogue(policy=DropAndPause(1)) as link:
        link.client.says(HELLO * 500)
        assert link.turns() >= 3.5, "four turns, and a pause after each"


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, ping_frame(b"?", mask=KEY) * 4_000),
        ({"policy": DropAndPause(60)}, HELLO * 500),
    ],
    ids=["control frames", "policy"],
)
def test_who_is_gone_pays_for_no_more_of_what_it_sent(options: dict[str, Any], sent: bytes) -> None:
    with Dialogue(**options) as link:
        link.client.says(sent)
        assert link.splice.down.turn is not None, "it has to wait"
        link.client.resets()
        assert link.turns() < 1
        assert link.splice.down.gone
        assert link.service.is_closed


def test_a_leg_whose_read_filled_the_loops_buffer_gives_others_a_turn_whatever_its_kind() -> None:
    for policy in (None, Forwarding()):
        with Dialogue(policy=policy) as link:
            link.client.says(encode_frame(TEXT, bytes(250_000), mask=KEY))
            assert not link.client.reading
            link.wait()
            assert link.client.reading


def test_a_link_that_sends_nothing_takes_nothing_from_its_users_rate() -> None:
    gates = MessageGates(MessageLimits(messages_per_user=Rate(100, 60), over=OverRate.WAIT))
    for _ in range(200):
        with Dialogue(gate=gates.open("7")):
            pass
    with Dialogue(gate=gates.open("7")) as link:
        link.client.says(HELLO * 50)
        link.wait(0.1)
        assert len(link.service.frames()) > 20

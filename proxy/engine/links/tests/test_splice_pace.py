"""A client is read no faster than its route lets it send, and loses nothing by that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.core.closes import Close, ClosedBy
from proxy.core.limits import MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGates
from proxy.core.verdicts import FORWARD, Direction, Verdict
from proxy.core.wire.framing import close_frame, encode_frame, ping_frame
from proxy.core.wire.headers import CLOSE, TEXT
from proxy.engine.links import spliced_leg
from proxy.engine.links.tests.dialogue import Dialogue

KEY = b"\x01\x02\x03\x04"
HELLO = encode_frame(TEXT, b"hello", mask=KEY)


def gated(rate: Rate, **options: Any) -> Dialogue:
    limits = MessageLimits(messages_per_connection=rate, over=OverRate.WAIT)
    return Dialogue(gate=MessageGates(limits).open("7"), **options)


def forward(direction: Direction, opcode: int, payload: bytes) -> Verdict:
    return FORWARD


@pytest.mark.parametrize(
    "options", [{}, {"inspect": forward}, {"control": True}], ids=["transparent", "inspected", "control"]
)
async def test_messages_beyond_the_rate_come_later_in_order_and_all_of_them(options: dict[str, Any]) -> None:
    link, sent = gated(Rate(50, 0.5), **options), b""
    began = link.splice.loop.time()
    for number in range(100):
        message = encode_frame(TEXT, str(number).encode(), mask=KEY)
        sent += message
        link.client(message)
    assert len(link.up.frames()) <= 50
    assert not link.down.reading
    await link.turns()
    assert link.splice.loop.time() - began >= 0.45
    assert bytes(link.up.written) == sent
    assert link.down.reading
    link.hang_up()


async def test_a_client_within_its_rate_never_waits() -> None:
    link = gated(Rate(1000, 1))
    for _ in range(60):
        link.client(HELLO)
        await link.turns()
    assert bytes(link.up.written) == HELLO * 60
    link.hang_up()


async def test_a_close_behind_messages_that_wait_comes_after_them() -> None:
    link = gated(Rate(10, 0.2))
    link.client(HELLO * 30 + close_frame(4000, "bye", mask=KEY))
    await link.turns()
    *messages, last = link.up.frames()
    assert (messages, last[0]) == ([HELLO] * 30, 0x80 | CLOSE)
    link.hang_up()


async def test_an_end_does_not_wait_for_the_rate() -> None:
    link = gated(Rate(1, 60))
    link.client(HELLO * 5)
    await asyncio.sleep(0)
    link.splice.end(Close(1001, "draining"), ClosedBy.GATEWAY)
    await link.turns()
    *messages, last = link.up.frames()
    assert (messages, last[0]) == ([HELLO], 0x80 | CLOSE)
    assert link.down.reading, "its own close is waited for"
    link.hang_up()


async def test_who_pings_too_much_is_read_later_and_its_pings_all_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spliced_leg, "CONTROL_FRAME_RATE", Rate(20, 0.2))
    link, ping = Dialogue(), ping_frame(b"?", mask=KEY)
    began = link.splice.loop.time()
    link.client(ping * 40)
    assert not link.down.reading
    await link.turns()
    assert link.splice.loop.time() - began >= 0.15
    assert bytes(link.up.written) == ping * 40
    assert link.down.reading
    link.hang_up()


async def test_control_messages_are_answered_no_faster_than_they_may_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Answers:
        def joined(self, stream: object) -> None: ...

        def control(self, text: str) -> str:
            return text

        def ended(self, close: Close, by: ClosedBy) -> None: ...

    monkeypatch.setattr(spliced_leg, "CONTROL_MESSAGE_RATE", Rate(10, 0.2))
    link = Dialogue(control=True, life=Answers())
    texts = [f'{{"type":"gateway.{number}"}}' for number in range(30)]
    began = link.splice.loop.time()
    link.client(b"".join(encode_frame(TEXT, text.encode(), mask=KEY) for text in texts) + HELLO)
    await link.turns()
    assert link.splice.loop.time() - began >= 0.3
    assert link.down.frames() == [encode_frame(TEXT, text.encode()) for text in texts]
    assert link.up.frames() == [HELLO]
    link.hang_up()


async def test_a_sender_whose_message_was_dropped_is_not_read_for_as_long_as_its_policy_says() -> None:
    def drop(direction: Direction, opcode: int, payload: bytes) -> Verdict:
        return Verdict(forward=False, pause_seconds=0.1)

    link = Dialogue(inspect=drop)
    began = link.splice.loop.time()
    link.client(HELLO * 500)
    while link.splice.down.turn is not None:
        await asyncio.sleep(0.001)
    assert link.splice.loop.time() - began >= 0.35, "four turns, and a pause after each"
    link.hang_up()


def drop_and_pause(direction: Direction, opcode: int, payload: bytes) -> Verdict:
    return Verdict(forward=False, pause_seconds=60)


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, ping_frame(b"?", mask=KEY) * 4_000),
        ({"inspect": drop_and_pause}, HELLO * 500),
    ],
    ids=["control frames", "policy"],
)
async def test_who_is_gone_pays_for_no_more_of_what_it_sent(options: dict[str, Any], sent: bytes) -> None:
    link = Dialogue(**options)
    link.client(sent)
    assert link.splice.down.turn is not None, "it has to wait"
    link.reset_client()
    began = link.splice.loop.time()
    await link.turns()
    assert link.splice.loop.time() - began < 5
    assert link.splice.down.gone
    assert link.up.frames()[-1][0] == 0x80 | CLOSE
    link.hang_up()


async def test_a_leg_whose_read_filled_the_loops_buffer_gives_others_a_turn_whatever_its_kind() -> None:
    for link in (Dialogue(), Dialogue(inspect=forward)):
        link.client(encode_frame(TEXT, bytes(250_000), mask=KEY))
        assert not link.down.reading
        await link.turns()
        assert link.down.reading
        link.hang_up()


async def test_a_link_that_sends_nothing_takes_nothing_from_its_users_rate() -> None:
    gates = MessageGates(MessageLimits(messages_per_user=Rate(100, 60), over=OverRate.WAIT))
    for _ in range(200):
        Dialogue(gate=gates.open("7")).hang_up()
    link = Dialogue(gate=gates.open("7"))
    link.client(HELLO * 50)
    await asyncio.sleep(0.1)
    assert len(link.up.frames()) > 20
    link.hang_up()

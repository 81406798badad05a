"""Wherever a stream is cut and wherever the link ends: the other side gets whole frames, then one close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.limits import LinkLimits
from proxy.core.verdicts import FORWARD, Direction, Verdict
from proxy.core.wire.framing import close_frame, ping_frame
from proxy.core.wire.headers import BINARY, CLOSE, CONT, TEXT, xor_mask
from proxy.core.wire.tests.frames import encode_frame, pong_frame
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.unsent import MOST_TIMEOUTS
from proxy.engine.links.wheel import PONG_PREFIX

KEY = b"\x01\x02\x03\x04"
END = Close(1001, "draining")
REFRESH = b'{"type":"gateway.refresh","token":"t"}'


def forward(direction: Direction, opcode: int, payload: bytes) -> Verdict:
    return FORWARD


KINDS: dict[str, dict[str, Any]] = {
    "transparent": {},
    "control": {"control": True},
    "inspected": {"inspect": forward},
    "inspected one way": {"inspect": forward, "inspect_out": False},
    "inspected with control": {"inspect": forward, "control": True},
}
ALL_KINDS = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


def frames(mask: bytes | None) -> list[bytes]:
    """One of every kind of frame, in an order that is lawful."""
    return [
        encode_frame(TEXT, b'{"type":"move"}', mask=mask),
        encode_frame(TEXT, b"", mask=mask),
        encode_frame(BINARY, bytes(130), mask=mask),
        ping_frame(b"?", mask=mask),
        encode_frame(TEXT, b'{"type":"a ', mask=mask, fin=False),
        pong_frame(b"foreign", mask=mask),
        encode_frame(CONT, b'part"}', mask=mask),
        pong_frame(PONG_PREFIX, mask=mask),
        encode_frame(TEXT, REFRESH, mask=mask),
        encode_frame(TEXT, REFRESH[:9], mask=mask, fin=False),
        encode_frame(CONT, REFRESH[9:], mask=mask),
        encode_frame(TEXT, b"last", mask=mask),
    ]


def whole_frames_then_one_close(told: list[bytes], sent: list[bytes], *, injected: bytes = b"") -> None:
    """`told` is some of the frames of `sent`, in their order, with events among them, and END behind.

    Pings and pongs have an order of their own: they may overtake a message that is held back.
    """
    *before, last = told
    payload = last[6:] if last[1] & 0x80 else last[2:]
    if last[1] & 0x80:
        payload = xor_mask(payload, last[2:6])
    assert last[0] == 0x80 | CLOSE
    assert payload == END.code.to_bytes(2, "big") + END.reason.encode()
    rest = {True: iter(sent), False: iter(sent)}
    for frame in before:
        others = rest[frame[0] & 0x08 == 0]
        assert frame == injected or any(frame == other for other in others), frame.hex()


def splits(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    for at in range(len(stream) + 1):
        yield stream[:at], stream[at:]


@ALL_KINDS
async def test_the_service_is_told_whole_frames_then_the_close_whichever_byte_the_end_comes_after(
    options: dict[str, Any],
) -> None:
    sent = frames(KEY)
    for before, after in splits(b"".join(sent)):
        link = Dialogue(**options)
        link.client(before)
        link.splice.end(END, ClosedBy.GATEWAY)
        link.client(after)
        await link.turns()
        whole_frames_then_one_close(link.up.frames(), sent)
        link.hang_up()


@ALL_KINDS
async def test_the_client_is_told_whole_frames_then_the_close_whichever_byte_the_end_comes_after(
    options: dict[str, Any],
) -> None:
    sent, event = frames(None), Event("everyone", '{"type":"event"}')
    for before, after in splits(b"".join(sent)):
        link = Dialogue(**options)
        link.service(before)
        link.splice.inject(event)
        link.splice.end(END, ClosedBy.GATEWAY)
        link.service(after)
        await link.turns()
        assert event.frame is not None
        whole_frames_then_one_close(link.down.frames(), sent, injected=event.frame)
        link.hang_up()


@ALL_KINDS
async def test_an_end_between_two_reads_of_any_size_cuts_no_frame(options: dict[str, Any]) -> None:
    sent = frames(KEY)
    stream = b"".join(sent)
    for first in range(0, len(stream), 3):
        for size in (1, 7, 60):
            link = Dialogue(**options)
            link.client(stream[:first])
            link.splice.end(END, ClosedBy.GATEWAY)
            for start in range(first, len(stream), size):
                link.client(stream[start : start + size])
            await link.turns()
            whole_frames_then_one_close(link.up.frames(), sent)
            link.hang_up()


@pytest.mark.parametrize("bad", [b"close", b"raise"])
async def test_what_a_policy_closes_on_goes_no_further_and_what_came_before_it_does(bad: bytes) -> None:
    def judge(direction: Direction, opcode: int, payload: bytes) -> Verdict:
        if payload == b"raise":
            raise RuntimeError("the policy's own fault")
        return Verdict(forward=False, close=END) if payload == b"close" else FORWARD

    good, evil = encode_frame(TEXT, b"good", mask=KEY), encode_frame(TEXT, bad, mask=KEY)
    stream = good + good + evil + good
    for before, after in splits(stream):
        link = Dialogue(inspect=judge)
        link.client(before)
        link.client(after)
        await link.turns()
        *messages, last = link.up.frames()
        assert messages == [good, good]
        assert last[0] == 0x80 | CLOSE
        link.hang_up()


async def test_a_control_message_that_is_refused_loses_nothing_that_came_with_it() -> None:
    """The tail of a frame, a control message whose answer ends the link, and more, in one read."""

    class EndsIt:
        def joined(self, stream: object) -> None: ...

        def control(self, text: str) -> str:
            link.splice.end(END, ClosedBy.GATEWAY)
            return "{}"

        def ended(self, close: Close, by: ClosedBy) -> None: ...

    hello = encode_frame(TEXT, b"hello", mask=KEY)
    refresh = encode_frame(TEXT, REFRESH, mask=KEY)
    for cut in range(1, len(hello)):
        link = Dialogue(control=True, life=EndsIt())
        link.client(hello[:cut])
        link.client(hello[cut:] + hello + refresh + hello)
        await link.turns()
        told = link.up.frames()
        assert told[:2] == [hello, hello]
        whole_frames_then_one_close(told, [hello] * 3)
        link.hang_up()


@pytest.mark.parametrize("by", [ClosedBy.CLIENT, ClosedBy.UPSTREAM])
async def test_all_that_an_end_sent_before_its_close_or_its_loss_arrives_however_much(by: ClosedBy) -> None:
    mask = KEY if by is ClosedBy.CLIENT else None
    flood = encode_frame(TEXT, b"", mask=mask) * 30_000
    for ending in (close_frame(4000, "bye", mask=mask), b""):
        link = Dialogue()
        says: Callable[[bytes], None] = link.client if by is ClosedBy.CLIENT else link.service
        told = link.up if by is ClosedBy.CLIENT else link.down
        says(flood + ending)
        assert len(told.written) < len(flood), "a turn has an end"
        leg = link.splice.down if by is ClosedBy.CLIENT else link.splice.up
        if not ending:
            leg.connection_lost(None)
        await link.turns()
        assert bytes(told.written[: len(flood)]) == flood
        assert told.frames()[-1][0] == 0x80 | CLOSE
        link.hang_up()


async def test_a_loop_is_shared_while_an_end_floods() -> None:
    link = Dialogue()
    link.client(encode_frame(TEXT, b"", mask=KEY) * 40_000)
    turns = 0
    while link.splice.down.turn is not None:
        assert not link.down.reading
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
    assert link.down.reading
    link.hang_up()


async def test_a_close_waits_as_long_as_what_came_before_it_still_gets_through() -> None:
    limits = LinkLimits(close_timeout_seconds=5)
    link = Dialogue(limits=limits)
    now = link.splice.loop.time()
    link.down.unwritten_bytes = 1_000_000
    link.splice.end(END, ClosedBy.GATEWAY)
    for number in range(1, 10):
        link.down.unwritten_bytes -= 100_000
        link.splice.look(now + 6 * number)
        assert not link.down.ended_by
    link.down.unwritten_bytes -= 100  # a drip is no progress
    link.splice.look(now + 60)
    assert link.down.ended_by == "abort"
    link.hang_up()


async def test_a_close_that_is_not_answered_ends_the_socket_behind_its_frame_without_a_reset() -> None:
    link = Dialogue(limits=LinkLimits(close_timeout_seconds=5))
    link.splice.end(END, ClosedBy.GATEWAY)
    link.splice.look(link.splice.loop.time() + 6)
    assert (link.down.ended_by, link.up.ended_by) == ("close", "close")
    link.hang_up()


async def test_what_was_received_of_a_client_that_is_lost_waits_for_a_service_that_is_stalled() -> None:
    link, flood = Dialogue(), encode_frame(TEXT, b"", mask=KEY) * 30_000
    link.client(flood)
    link.splice.up.pause_writing()
    await link.turns()
    link.reset_client()
    assert not link.splice.down.gone
    link.splice.inject(Event("everyone", "event"))  # on uvloop, to write to a closed socket raises
    link.service(encode_frame(TEXT, b"said"))
    link.splice.up.resume_writing()
    await link.turns()
    assert bytes(link.up.written[: len(flood)]) == flood
    assert link.splice.down.gone
    link.hang_up()


async def test_what_was_received_of_a_service_that_is_lost_waits_for_a_client_that_is_stalled() -> None:
    link, flood = Dialogue(), encode_frame(TEXT, b"") * 30_000
    link.service(flood)
    link.splice.down.pause_writing()
    await link.turns()
    link.splice.inject(Event("everyone", "event"))
    link.reset_service()
    assert not link.splice.up.gone
    link.client(encode_frame(TEXT, b"said", mask=KEY))
    link.splice.down.resume_writing()
    await link.turns()
    assert bytes(link.down.written).count(encode_frame(TEXT, b"")) >= 30_000
    *_, last = link.down.frames()
    assert last == close_frame(1011, "upstream lost")
    assert link.splice.up.gone
    link.hang_up()


async def test_a_close_that_drips_ends_after_so_many_timeouts() -> None:
    link = Dialogue(limits=LinkLimits(close_timeout_seconds=5))
    now = link.splice.loop.time()
    link.down.unwritten_bytes = 10_000_000
    link.splice.end(END, ClosedBy.GATEWAY)
    for number in range(1, MOST_TIMEOUTS + 1):
        assert not link.down.ended_by
        link.down.unwritten_bytes -= 5_000
        link.splice.look(now + 6 * number)
    assert link.down.ended_by == "abort"
    link.hang_up()

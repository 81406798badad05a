"""Wherever a stream is cut and wherever the link ends: the other side gets whole frames, then one close."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.limits import LinkLimits
from proxy.core.policies import FORWARD, Policy, Verdict
from proxy.core.wire.framing import close_frame, ping_frame
from proxy.core.wire.headers import BINARY, CLOSE, CONT, TEXT, xor_mask
from proxy.core.wire.tests.frames import encode_frame, pong_frame
from proxy.engine.links.scanners import PONG_PREFIX
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.policies import Forwarding, OneWay
from proxy.engine.unsent import MOST_TIMEOUTS

KEY = b"\x01\x02\x03\x04"
END = Close(1001, "draining")
LIMITS = LinkLimits(close_timeout_seconds=5)
CLOSE_TIMEOUT = 5.2  # and the look at it
REFRESH = b'{"type":"gateway.refresh","token":"t"}'


KINDS: dict[str, dict[str, Any]] = {
    "transparent": {},
    "control": {"control": True},
    "inspected": {"policy": Forwarding()},
    "inspected one way": {"policy": OneWay()},
    "inspected with control": {"policy": Forwarding(), "control": True},
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
def test_the_service_is_told_whole_frames_then_the_close_whichever_byte_the_end_comes_after(
    options: dict[str, Any],
) -> None:
    sent = frames(KEY)
    for before, after in splits(b"".join(sent)):
        with Dialogue(**options) as link:
            link.client.says(before)
            link.ends(END)
            link.client.says(after)
            link.turns()
            whole_frames_then_one_close(link.service.frames(), sent)


@ALL_KINDS
def test_the_client_is_told_whole_frames_then_the_close_whichever_byte_the_end_comes_after(
    options: dict[str, Any],
) -> None:
    sent, event = frames(None), Event('{"type":"event"}')
    for before, after in splits(b"".join(sent)):
        with Dialogue(**options) as link:
            link.service.says(before)
            link.splice.inject(event)
            link.ends(END)
            link.service.says(after)
            link.turns()
            assert event.frame is not None
            whole_frames_then_one_close(link.client.frames(), sent, injected=event.frame)


@ALL_KINDS
def test_an_end_between_two_reads_of_any_size_cuts_no_frame(options: dict[str, Any]) -> None:
    sent = frames(KEY)
    stream = b"".join(sent)
    for first in range(0, len(stream), 3):
        for size in (1, 7, 60):
            with Dialogue(**options) as link:
                link.client.says(stream[:first])
                link.ends(END)
                for start in range(first, len(stream), size):
                    link.client.says(stream[start : start + size])
                link.turns()
                whole_frames_then_one_close(link.service.frames(), sent)


@pytest.mark.parametrize("bad", [b"close", b"raise"])
def test_what_a_policy_closes_on_goes_no_further_and_what_came_before_it_does(bad: bytes) -> None:
    class Judge(Policy):
        def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
            if payload == b"raise":
                raise RuntimeError("the policy's own fault")
            return Verdict(forward=False, close=END) if payload == b"close" else FORWARD

    good, evil = encode_frame(TEXT, b"good", mask=KEY), encode_frame(TEXT, bad, mask=KEY)
    stream = good + good + evil + good
    for before, after in splits(stream):
        with Dialogue(policy=Judge()) as link:
            link.client.says(before)
            link.client.says(after)
            link.turns()
            *messages, last = link.service.frames()
            assert messages == [good, good]
            assert last[0] == 0x80 | CLOSE


def test_a_control_message_that_is_refused_loses_nothing_that_came_with_it() -> None:
    """The tail of a frame, a control message whose answer ends the link, and more, in one read."""

    def refuse(text: str) -> str:
        link.ends(END)
        return "{}"

    hello = encode_frame(TEXT, b"hello", mask=KEY)
    refresh = encode_frame(TEXT, REFRESH, mask=KEY)
    for cut in range(1, len(hello)):
        with Dialogue(control=True, answer=refuse) as link:
            link.client.says(hello[:cut])
            link.client.says(hello[cut:] + hello + refresh + hello)
            link.turns()
            told = link.service.frames()
            assert told[:2] == [hello, hello]
            whole_frames_then_one_close(told, [hello] * 3)


@pytest.mark.parametrize("by", [ClosedBy.CLIENT, ClosedBy.UPSTREAM])
def test_all_that_an_end_sent_before_its_close_or_its_loss_arrives_however_much(by: ClosedBy) -> None:
    mask = KEY if by is ClosedBy.CLIENT else None
    flood = encode_frame(TEXT, b"", mask=mask) * 30_000
    for ending in (close_frame(4000, "bye", mask=mask), b""):
        with Dialogue() as link:
            says, told = link.client, link.service
            if by is ClosedBy.UPSTREAM:
                says, told = told, says
            says.says(flood + ending)
            assert len(told.written) < len(flood), "a turn has an end"
            if not ending:
                says.resets()
            link.turns()
            assert bytes(told.written[: len(flood)]) == flood
            assert told.is_closed


def test_a_loop_is_shared_while_an_end_floods() -> None:
    with Dialogue() as link:
        link.client.says(encode_frame(TEXT, b"", mask=KEY) * 40_000)
        turns = 0
        while link.splice.down.turn is not None:
            assert not link.client.reading
            turns += 1
            link.clock.turn()
        assert turns > 10
        assert link.client.reading


def test_a_close_waits_as_long_as_what_came_before_it_still_gets_through() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.client.stalls()
        link.service.says(encode_frame(BINARY, bytes(1_000_000)))
        link.ends(END)
        for _ in range(9):
            link.client.reads(100_000)
            link.wait(CLOSE_TIMEOUT)
            assert not link.client.ended_by
        link.client.reads(100)  # a drip is no progress
        link.wait(CLOSE_TIMEOUT)
        assert link.client.ended_by == "abort"


def test_a_close_that_is_not_answered_ends_the_socket_behind_its_frame_without_a_reset() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.ends(END)
        link.wait(CLOSE_TIMEOUT)
        assert (link.client.ended_by, link.service.ended_by) == ("close", "close")


def test_what_was_received_of_a_client_that_is_lost_waits_for_a_service_that_is_stalled() -> None:
    flood = encode_frame(TEXT, b"", mask=KEY) * 30_000
    with Dialogue() as link:
        link.service.stalls()
        link.client.says(flood)
        link.client.resets()
        link.wait()
        assert not link.splice.down.gone
        link.inject("event")  # on uvloop, to write to a closed socket raises
        link.service.says(encode_frame(TEXT, b"said"))
        link.service.reads()
        link.wait()
        assert bytes(link.service.written[: len(flood)]) == flood
        assert link.splice.down.gone


def test_what_was_received_of_a_service_that_is_lost_waits_for_a_client_that_is_stalled() -> None:
    flood = encode_frame(TEXT, b"") * 30_000
    with Dialogue() as link:
        link.client.stalls()
        link.service.says(flood)
        link.inject("event")
        link.service.resets()
        link.wait()
        assert not link.splice.up.gone
        link.client.says(encode_frame(TEXT, b"said", mask=KEY))
        link.client.reads()
        link.wait()
        assert bytes(link.client.written).count(encode_frame(TEXT, b"")) >= 30_000
        assert link.client.frames()[-1] == close_frame(1011, "upstream lost")
        assert link.splice.up.gone


def test_a_close_that_drips_ends_after_so_many_timeouts() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.client.stalls()
        link.service.says(encode_frame(BINARY, bytes(1_000_000)))
        link.ends(END)
        for _ in range(MOST_TIMEOUTS):
            assert not link.client.ended_by
            link.client.reads(5_000)
            link.wait(CLOSE_TIMEOUT)
        assert link.client.ended_by == "abort"

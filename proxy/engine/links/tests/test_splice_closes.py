"""How a splice ends: who is told what, who is waited for, and for how long."""

from __future__ import annotations

import pytest

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.limits import LinkLimits
from proxy.core.wire.framing import close_frame, text_frame
from proxy.core.wire.headers import BINARY, CLOSE, CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.terms import End
from proxy.engine.links.tests.dialogue import Dialogue, unmasked
from proxy.engine.links.tests.splicing import MASK, masked

CODES = [
    (1000, ""),
    (1001, "bye"),
    (1003, ""),
    (1011, "broken"),
    (1012, "restart"),
    (3000, ""),
    (4999, "é" * 60),
]


DONE = close_frame(4000, "done")
KICKED = close_frame(4001, "kicked by staff")


@pytest.mark.parametrize(("code", "reason"), CODES)
def test_the_clients_close_reaches_the_service_and_is_answered_with_code_and_reason(
    code: int, reason: str
) -> None:
    with Dialogue() as link:
        link.client.says(close_frame(code, reason, mask=MASK))
        link.client.hears(close_frame(code, reason))
        link.service.hears(close_frame(code, reason))
        assert (link.client.ended_by, link.service.ended_by) == ("close", "")
    assert link.end == End(Close(code, reason), ClosedBy.CLIENT)


@pytest.mark.parametrize(("code", "reason"), CODES)
def test_the_services_close_reaches_the_client_and_is_answered_with_code_and_reason(
    code: int, reason: str
) -> None:
    with Dialogue() as link:
        link.service.says(close_frame(code, reason))
        link.service.hears(close_frame(code, reason))
        link.client.hears(close_frame(code, reason))
        assert (link.client.ended_by, link.service.ended_by) == ("", "close")
    assert link.end == End(Close(code, reason), ClosedBy.UPSTREAM)


def test_an_empty_close_stays_empty_both_ways() -> None:
    with Dialogue() as link:
        link.client.says(masked(CLOSE, b""))
        link.client.hears(b"\x88\x00")
        link.service.hears(b"\x88\x00")
    assert link.end == End(Close(1005, ""), ClosedBy.CLIENT)


def test_a_link_that_is_in_its_close_handshake_is_ended_by_nobody_else() -> None:
    with Dialogue() as link:
        link.service.says(DONE)
        assert not link.splice.end(closes.KICKED, ClosedBy.STAFF)
    with Dialogue() as link:
        assert [link.splice.end(closes.KICKED, ClosedBy.STAFF) for _ in range(2)] == [True, False]


def test_a_service_that_does_not_answer_the_close_is_ended_at_the_deadline() -> None:
    with Dialogue(limits=LinkLimits(close_timeout_seconds=5)) as link:
        link.client.says(close_frame(4000, "done", mask=MASK))
        link.wait(4.9)
        assert link.end is None
        link.wait(0.3)
        assert link.end == End(Close(4000, "done"), ClosedBy.CLIENT)


def test_a_client_that_does_not_answer_the_close_is_ended_at_the_deadline() -> None:
    with Dialogue(limits=LinkLimits(close_timeout_seconds=5)) as link:
        link.service.says(DONE)
        link.wait(4.9)
        assert link.end is None
        link.wait(0.3)
        assert link.end == End(Close(4000, "done"), ClosedBy.UPSTREAM)


def test_the_gateway_closes_both_ends_with_the_same_code_and_reason() -> None:
    with Dialogue() as link:
        link.ends(closes.KICKED, ClosedBy.STAFF)
        link.ends(closes.IDLE)
        link.client.hears(KICKED)
        link.service.hears(KICKED)
        link.client.says(close_frame(4001, mask=MASK))
        link.service.says(close_frame(4001))
        link.wait()
        assert link.end == End(closes.KICKED, ClosedBy.STAFF)


def test_a_close_waits_for_the_frame_under_way_and_cuts_off_what_follows() -> None:
    frame = encode_frame(BINARY, b"x" * 1000)
    with Dialogue() as link:
        link.service.says(frame[:500])
        link.ends(closes.KICKED, ClosedBy.STAFF)
        link.client.hears(frame[:500])
        link.service.says(frame[500:], text_frame("too late"))
        assert link.client.written == frame + KICKED


def test_events_that_wait_are_delivered_before_the_services_close() -> None:
    one, two = encode_frame(TEXT, b"one", fin=False), encode_frame(CONT, b"two")
    with Dialogue() as link:
        link.service.says(one)
        link.inject("event")
        link.service.says(two + DONE)
        link.client.hears(one, two, text_frame("event"), DONE)


VIOLATIONS = {
    "unmasked": (text_frame("x"), 1002, "incorrect masking"),
    "reserved opcode": (masked(TEXT, b"x").replace(b"\x81", b"\x83", 1), 1002, "reserved opcode"),
    "reserved bits": (b"\x91" + masked(TEXT, b"x")[1:], 1002, "reserved bits are set"),
    "compressed, not negotiated": (b"\xc1" + masked(TEXT, b"x")[1:], 1002, "reserved bits are set"),
    "fragmented ping": (b"\x09\x80" + MASK, 1002, "fragmented control frame"),
    "long ping": (b"\x89\xfe" + (126).to_bytes(2, "big") + MASK, 1002, "control frame too long"),
    "lone continuation": (masked(CONT, b"x"), 1002, "unexpected continuation frame"),
    "close code 1005": (masked(CLOSE, b"\x03\xed"), 1002, "invalid close code"),
    "close reason not UTF-8": (masked(CLOSE, b"\x03\xe8\xff"), 1007, "close reason is not UTF-8"),
    "too big": (
        b"\x82\xff" + (1 << 20 | 1).to_bytes(8, "big") + MASK,
        1009,
        "client's message over 1048576 bytes",
    ),
}


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_a_clients_violation_closes_both_ends_with_its_code_and_its_name(kind: str) -> None:
    frame, code, name = VIOLATIONS[kind]
    with Dialogue() as link:
        link.client.says(frame)
        assert link.splice.ended is not None
        close = link.splice.ended.close
        link.client.hears(close_frame(close.code, close.reason))
        link.service.hears(close_frame(close.code, close.reason))
        assert link.client.ended_by == "write_eof"  # it may be in the middle of sending
    assert link.end == End(close, ClosedBy.GATEWAY)
    assert (close.code, close.reason) == (code, name)


def test_a_message_that_begins_in_the_middle_of_another_is_called_so() -> None:
    with Dialogue() as link:
        link.client.says(masked(TEXT, b"x", fin=False) * 2)
        assert link.splice.ended is not None
        assert link.splice.ended.close == Close(1002, "expected a continuation frame")


UPSTREAM_VIOLATIONS = {
    "masked": (masked(TEXT, b"x"), 1002, 1011),
    "reserved bits": (b"\xf1\x00", 1002, 1011),
    "too big": (b"\x82\x7f" + (1 << 20 | 1).to_bytes(8, "big"), 1009, 1009),
}


@pytest.mark.parametrize("kind", UPSTREAM_VIOLATIONS)
def test_a_services_violation_is_not_blamed_on_the_client(kind: str) -> None:
    frame, upstream_code, client_code = UPSTREAM_VIOLATIONS[kind]
    with Dialogue() as link:
        link.service.says(frame)
        (to_client,), (to_service,) = link.client.frames(), link.service.frames()
        assert int.from_bytes(to_client[2:4], "big") == client_code
        assert int.from_bytes(unmasked(to_service)[2:4], "big") == upstream_code
    assert link.end is not None
    assert link.end.by is ClosedBy.GATEWAY
    if client_code == 1009:
        assert link.end.close.reason == to_client[4:].decode() == "upstream's message over 1048576 bytes"


def test_a_message_too_big_is_refused_before_its_payload_comes() -> None:
    begun = masked(BINARY, b"x" * 600, fin=False)
    told = close_frame(1009, "client's message over 1000 bytes")
    with Dialogue(limits=LinkLimits(max_message_bytes=1000)) as link:
        link.client.says(begun, b"\x80\xfe" + (401).to_bytes(2, "big") + MASK)
        link.client.hears(told)
        link.service.hears(begun, told)


def test_an_idle_link_is_closed_with_4008() -> None:
    with Dialogue(limits=LinkLimits(idle_timeout_seconds=10)) as link:
        link.wait(9)
        link.client.says(masked(TEXT, b"still here"))
        link.wait(9)
        assert link.splice.ended is None
        link.wait(4)
        assert link.splice.ended == End(closes.IDLE, ClosedBy.GATEWAY)
        link.client.hears(close_frame(4008, "idle"))

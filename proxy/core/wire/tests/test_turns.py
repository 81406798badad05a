"""However much comes at once, a scanner looks at so much of it in one go, and loses none of the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.core.closes import Close
from proxy.core.wire import frames
from proxy.core.wire.control_messages import is_control
from proxy.core.wire.frames import Scanner
from proxy.core.wire.framing import close_frame, ping_frame
from proxy.core.wire.headers import CONT, SPARE_PARTS, STEP_COST, TEXT, TURN_COST, Violation
from proxy.core.wire.messages import TURN_FRAMES, MessageScanner
from proxy.core.wire.tests.frames import encode_frame

MASK = b"\x11\x22\x33\x44"
EMPTY = encode_frame(TEXT, b"", mask=MASK)
PING = ping_frame(mask=MASK)
FIRST = encode_frame(TEXT, b"x", mask=MASK, fin=False)
PART = encode_frame(CONT, b"x", mask=MASK, fin=False)
NOTHING = encode_frame(CONT, b"", mask=MASK, fin=False)

Kind = Callable[[], Scanner | MessageScanner]
FLOODS = pytest.mark.parametrize(
    ("flood", "most"), [(EMPTY, TURN_COST), (PING, TURN_COST // STEP_COST)], ids=["texts", "pings"]
)


def transparent(*, diverts: bool = False) -> Scanner:
    return Scanner(masked=True, max_message_bytes=1 << 20, diverts=diverts)


def whole() -> MessageScanner:
    return MessageScanner(masked=True, max_message_bytes=1 << 20)


@pytest.mark.parametrize("diverts", [False, True])
@FLOODS
def test_a_turn_ends_after_so_many_frames(flood: bytes, most: int, diverts: bool) -> None:
    scanner, stream = transparent(diverts=diverts), flood * 20_000
    passed = [scanner.feed(stream)]
    assert scanner.feed(flood) == b""  # comes out of turn, and is not lost
    while scanner.unread:
        passed.append(scanner.resume())
    assert max(map(len, passed)) <= (most + 1) * len(flood)
    assert b"".join(passed) == stream + flood
    assert scanner.feed(EMPTY) is EMPTY


@FLOODS
def test_a_turn_over_whole_messages_ends_too(flood: bytes, most: int) -> None:
    scanner = whole()
    counts = [len(scanner.feed(flood * 5000))]
    while scanner.unread:
        counts.append(len(scanner.resume()))
    assert (max(counts), sum(counts)) == (TURN_FRAMES, 5000)


@pytest.mark.parametrize("kind", [transparent, whole])
def test_no_message_begins_beyond_the_quota_and_one_under_way_goes_on(
    kind: Kind,
) -> None:
    scanner = kind()
    scanner.quota = 2
    hello, half = encode_frame(TEXT, b"hello", mask=MASK), FIRST + NOTHING
    for piece in (hello, half, encode_frame(CONT, b"", mask=MASK)):
        scanner.feed(piece)
        assert not scanner.unread
    assert (scanner.messages, scanner.awaits_quota) == (2, False)
    scanner.feed(hello)
    assert (scanner.messages, scanner.unread, scanner.awaits_quota) == (2, hello, True)
    scanner.quota = 3
    scanner.resume()
    assert (scanner.messages, scanner.unread) == (3, b"")


@pytest.mark.parametrize("kind", [transparent, whole])
@pytest.mark.parametrize("inside", [NOTHING, PART, PING])
def test_a_message_may_not_come_in_any_number_of_frames(kind: Kind, inside: bytes) -> None:
    scanner = kind()
    scanner.feed(FIRST + inside * SPARE_PARTS)
    while scanner.unread:
        scanner.resume()
    assert scanner.ended is None
    scanner.feed(inside * (SPARE_PARTS // 10))
    while scanner.unread:
        scanner.resume()
    assert scanner.ended == Violation(1009, "message in too many fragments")


@pytest.mark.parametrize("kind", [transparent, whole])
def test_a_large_message_may_come_in_many_fragments(kind: Kind) -> None:
    scanner = kind()
    part = encode_frame(CONT, bytes(32), mask=MASK, fin=False)
    scanner.feed(FIRST)
    for _ in range(20_000):
        scanner.feed(part)
    assert scanner.ended is None


@pytest.mark.parametrize("kind", [transparent, whole])
def test_a_close_or_a_ping_does_not_wait_for_a_larger_quota(kind: Kind) -> None:
    scanner = kind()
    scanner.quota = 0
    assert scanner.feed(PING)
    scanner.feed(close_frame(4000, mask=MASK))
    assert scanner.ended == Close(4000)


def test_texts_that_have_to_be_parsed_cost_a_turn_by_their_size() -> None:
    scanner = transparent(diverts=True)
    large = encode_frame(TEXT, b'{"\\u0061":[' + b"[]," * 5000 + b"[]]}", mask=MASK)
    passed = [scanner.feed(large * 8)]
    while scanner.unread:
        passed.append(scanner.resume())
    assert [len(each) // len(large) for each in passed] == [2] * 4
    assert b"".join(passed) == large * 8


def test_a_control_message_in_one_frame_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = list[bytes]()

    def count(payload: bytes) -> bool:
        parsed.append(payload)
        return is_control(payload)

    monkeypatch.setattr(frames, "is_control", count)
    scanner, text = transparent(diverts=True), b'{"type":"gateway.refresh"}'
    assert scanner.feed(encode_frame(TEXT, text, mask=MASK) + PING) == PING
    assert scanner.controls == parsed == [text]


def test_whole_messages_cost_a_turn_by_their_size() -> None:
    scanner, large = whole(), encode_frame(TEXT, bytes(16_000), mask=MASK)
    counts = [len(scanner.feed(large * 8))]
    while scanner.unread:
        counts.append(len(scanner.resume()))
    assert counts == [1] * 8

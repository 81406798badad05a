"""The scanner of inspected routes as a dialogue."""

from __future__ import annotations

import pytest

from proxy.core.closes import Close
from proxy.core.wire.framing import close_frame, ping_frame, text_frame
from proxy.core.wire.headers import Violation
from proxy.core.wire.messages import Message, MessageScanner
from proxy.core.wire.tests.frames import encode_frame, pong_frame

KEY = b"\x11\x22\x33\x44"
OTHER_KEY = b"\x99\x88\x77\x66"
HELLO = text_frame("hello", mask=KEY)
FIRST = encode_frame(1, b"one ", mask=KEY, fin=False)
LAST = encode_frame(0, b"two", mask=OTHER_KEY)
PING = ping_frame(b"?", mask=KEY)


@pytest.fixture
def scanner() -> MessageScanner:
    return MessageScanner(masked=True, max_message_bytes=1000, pong_prefix=b"gw:")


def test_a_message_comes_unmasked_and_with_its_original_frame(scanner: MessageScanner) -> None:
    (message,) = scanner.feed(HELLO)
    assert isinstance(message, Message)
    assert message == (1, b"hello", HELLO)
    assert message.wire is HELLO


def test_a_fragmented_message_comes_whole_or_not_at_all(scanner: MessageScanner) -> None:
    assert scanner.feed(FIRST) == []
    assert scanner.feed(LAST[:-1]) == []
    assert scanner.feed(LAST[-1:] + HELLO) == [
        Message(1, b"one two", FIRST + LAST),
        Message(1, b"hello", HELLO),
    ]
    assert (scanner.messages, scanner.payload_bytes) == (2, 12)


def test_a_ping_between_fragments_comes_before_their_message(scanner: MessageScanner) -> None:
    assert scanner.feed(FIRST + PING + LAST) == [PING, Message(1, b"one two", FIRST + LAST)]


def test_our_own_pongs_are_kept_and_foreign_ones_come_out(scanner: MessageScanner) -> None:
    foreign = pong_frame(b"x", mask=KEY)
    assert scanner.feed(pong_frame(b"gw:1", mask=KEY) + foreign) == [foreign]
    assert scanner.control_frames == 2


def test_a_close_drops_the_message_it_interrupts(scanner: MessageScanner) -> None:
    assert scanner.feed(HELLO + FIRST + close_frame(4000, "bye", mask=KEY) + LAST) == [
        Message(1, b"hello", HELLO)
    ]
    assert scanner.ended == Close(4000, "bye")
    assert scanner.feed(HELLO) == []


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (bytes([HELLO[0] | 0x40]) + HELLO[1:], 1002),
        (bytes([FIRST[0] | 0x40]) + FIRST[1:] + LAST, 1002),
        (FIRST + HELLO, 1002),
        (text_frame("hello"), 1002),
        (encode_frame(2, bytes(1001), mask=KEY)[:8], 1009),
        (FIRST + encode_frame(0, bytes(997), mask=KEY)[:8], 1009),
        (encode_frame(8, b"\x03\xe8\xff", mask=KEY), 1007),
    ],
    ids=[
        "compressed",
        "compressed in fragments",
        "interleaved",
        "unmasked",
        "too big",
        "too big in all",
        "bad reason",
    ],
)
def test_no_way_round_the_policy(scanner: MessageScanner, broken: bytes, code: int) -> None:
    assert scanner.feed(HELLO + broken) == [Message(1, b"hello", HELLO)]
    assert isinstance(scanner.ended, Violation)
    assert scanner.ended.code == code


def test_a_message_in_endless_empty_fragments_is_refused(scanner: MessageScanner) -> None:
    scanner.feed(encode_frame(1, b"", mask=KEY, fin=False))
    for _ in range(10_000):
        assert scanner.feed(encode_frame(0, b"", mask=KEY, fin=False)) == []
        if scanner.ended is not None:
            break
    assert scanner.ended == Violation(1009, "message in too many fragments")


def test_a_big_message_in_small_chunks_is_looked_at_only_when_it_may_be_whole() -> None:
    looks: list[int] = []

    class Watched(MessageScanner):
        def _only(self, chunk: bytes) -> Message | None:
            looks.append(len(chunk))
            return super()._only(chunk)

    scanner = Watched(masked=True, max_message_bytes=10_000)
    wire = encode_frame(2, bytes(10_000), mask=KEY)
    whole = [item for at in range(0, len(wire), 100) for item in scanner.feed(wire[at : at + 100])]
    assert whole == [Message(2, bytes(10_000), wire)]
    assert looks == [100, len(wire)]


def test_from_the_upstream_payloads_come_as_they_are() -> None:
    scanner = MessageScanner(masked=False, max_message_bytes=1000)
    assert scanner.feed(text_frame("hello")) == [Message(1, b"hello", text_frame("hello"))]

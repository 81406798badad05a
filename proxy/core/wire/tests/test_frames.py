"""The scanner as a dialogue: these bytes in, those bytes out."""

from __future__ import annotations

import sys

import pytest

from proxy.core.closes import Close
from proxy.core.wire.frames import Scanner
from proxy.core.wire.framing import close_frame, ping_frame, text_frame
from proxy.core.wire.headers import Violation
from proxy.core.wire.tests.frames import encode_frame, pong_frame

KEY = b"\x11\x22\x33\x44"
HELLO = text_frame("hello", mask=KEY)
FIRST = encode_frame(1, b"one", mask=KEY, fin=False)
MORE = encode_frame(0, b"two", mask=KEY, fin=False)
LAST = encode_frame(0, b"three", mask=KEY)
PING = ping_frame(b"are you there", mask=KEY)
OUR_PONG = pong_frame(b"gw:7", mask=KEY)
FOREIGN_PONG = pong_frame(b"7", mask=KEY)


@pytest.fixture
def scanner() -> Scanner:
    return Scanner(masked=True, max_message_bytes=1000, pong_prefix=b"gw:")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 200, 1000])
def test_a_chunk_that_is_one_whole_message_goes_on_as_the_same_object(scanner: Scanner, size: int) -> None:
    chunk = encode_frame(2, bytes(size), mask=KEY)
    assert scanner.feed(chunk) is chunk
    assert (scanner.messages, scanner.payload_bytes, scanner.boundary) == (1, size, len(chunk))
    assert scanner.between_messages


def test_a_chunk_of_many_whole_frames_goes_on_as_the_same_object(scanner: Scanner) -> None:
    chunk = HELLO * 100 + FIRST + PING + MORE + LAST + HELLO
    assert scanner.feed(chunk) is chunk
    assert (scanner.messages, scanner.boundary) == (102, len(chunk))


def test_payload_goes_on_as_it_arrives(scanner: Scanner) -> None:
    assert scanner.feed(HELLO[:8]) == HELLO[:8]
    assert (scanner.between_frames, scanner.between_messages, scanner.boundary) == (False, False, 0)
    assert scanner.feed(HELLO[8:10]) == HELLO[8:10]
    assert (scanner.boundary, scanner.messages) == (-1, 0)
    assert scanner.feed(HELLO[10:]) == HELLO[10:]
    assert (scanner.between_messages, scanner.boundary, scanner.messages) == (True, 1, 1)


@pytest.mark.parametrize("frame", [HELLO, encode_frame(2, bytes(300), mask=KEY)])
def test_a_header_is_held_back_until_it_is_whole(scanner: Scanner, frame: bytes) -> None:
    header_bytes = len(frame) - (5 if frame is HELLO else 300)
    for byte in frame[: header_bytes - 1]:
        assert scanner.feed(bytes([byte])) == b""
        assert scanner.between_messages
    assert scanner.feed(frame[header_bytes - 1 :]) == frame


def test_an_event_may_follow_the_last_whole_message_of_a_chunk(scanner: Scanner) -> None:
    assert scanner.feed(HELLO + HELLO + FIRST) == HELLO + HELLO + FIRST
    assert scanner.boundary == 2 * len(HELLO)
    assert (scanner.between_frames, scanner.between_messages) == (True, False)
    scanner.feed(MORE)
    assert scanner.boundary == -1
    scanner.feed(LAST + HELLO + HELLO[:-1])
    assert scanner.boundary == len(LAST + HELLO)


def test_our_own_pongs_are_cut_out_and_counted(scanner: Scanner) -> None:
    assert scanner.feed(HELLO + OUR_PONG + HELLO + OUR_PONG + FIRST) == HELLO + HELLO + FIRST
    assert scanner.control_frames == 2
    assert scanner.boundary == 2 * len(HELLO)


def test_our_own_pong_inside_a_message_leaves_the_message_whole(scanner: Scanner) -> None:
    assert scanner.feed(FIRST + OUR_PONG + LAST) == FIRST + LAST
    assert (scanner.messages, scanner.payload_bytes) == (1, 8)


@pytest.mark.parametrize("frame", [PING, FOREIGN_PONG, pong_frame(mask=KEY)])
def test_pings_and_foreign_pongs_go_on_once_whole(scanner: Scanner, frame: bytes) -> None:
    assert scanner.feed(frame[:-1]) == b""
    assert scanner.feed(frame[-1:]) == frame
    assert (scanner.messages, scanner.between_messages) == (0, True)


def test_without_a_prefix_every_pong_goes_on() -> None:
    scanner = Scanner(masked=True, max_message_bytes=1000)
    assert scanner.feed(OUR_PONG) == OUR_PONG


def test_a_close_is_read_and_neither_it_nor_what_follows_goes_on(scanner: Scanner) -> None:
    close = close_frame(4321, "room closed — à bientôt", mask=KEY)
    assert scanner.feed(HELLO + close + HELLO) == HELLO
    assert scanner.ended == Close(4321, "room closed — à bientôt")
    assert not isinstance(scanner.ended, Violation)
    assert scanner.feed(HELLO) == b""
    assert scanner.messages == 1


def test_an_empty_close_is_1005(scanner: Scanner) -> None:
    scanner.feed(encode_frame(8, b"", mask=KEY))
    assert scanner.ended == Close(1005, "")


def test_a_close_inside_a_message_is_a_close_as_the_rfc_has_it(scanner: Scanner) -> None:
    assert scanner.feed(FIRST + close_frame(1001, mask=KEY)) == FIRST
    assert scanner.ended == Close(1001)
    assert not scanner.between_messages


BROKEN = [
    ("reserved opcode", b"\x83\x80" + KEY, 1002),
    ("reserved control opcode", b"\x8b\x80" + KEY, 1002),
    ("rsv1 not negotiated", b"\xc1\x80" + KEY, 1002),
    ("rsv2", b"\xa1\x80" + KEY, 1002),
    ("rsv3", b"\x91\x80" + KEY, 1002),
    ("not masked", text_frame("hello"), 1002),
    ("fragmented ping", b"\x09\x80" + KEY, 1002),
    ("long ping", b"\x89\xfe\x00\x7e" + KEY, 1002),
    ("continuation of nothing", LAST, 1002),
    ("16-bit length for 125", b"\x82\xfe\x00\x7d" + KEY + bytes(125), 1002),
    ("64-bit length for 65535", b"\x82\xff" + (65_535).to_bytes(8, "big") + KEY, 1002),
    ("64-bit length with its top bit", b"\x82\xff" + (1 << 63).to_bytes(8, "big") + KEY, 1002),
    ("close of one byte", encode_frame(8, b"\x03", mask=KEY), 1002),
    ("close with 1005", encode_frame(8, b"\x03\xed", mask=KEY), 1002),
    ("close with 999", encode_frame(8, b"\x03\xe7", mask=KEY), 1002),
    ("close with 5000", encode_frame(8, b"\x13\x88", mask=KEY), 1002),
    ("close reason not UTF-8", encode_frame(8, b"\x03\xe8\xff", mask=KEY), 1007),
    ("message of 1001 bytes", encode_frame(2, bytes(1001), mask=KEY), 1009),
]


@pytest.mark.parametrize(("broken", "code"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_what_breaks_the_protocol_goes_no_further(scanner: Scanner, broken: bytes, code: int) -> None:
    alone = Scanner(masked=True, max_message_bytes=1000)
    assert scanner.feed(HELLO + broken + HELLO) == HELLO
    assert alone.feed(broken) == b""
    for each in (scanner, alone):
        assert isinstance(each.ended, Violation)
        assert each.ended.code == code
        assert each.feed(HELLO) == b""


@pytest.mark.parametrize("broken", [HELLO, b"\x40\x80" + KEY, b"\x81\x80" + KEY])
def test_inside_a_message_only_its_continuation_may_follow(broken: bytes) -> None:
    scanner = Scanner(masked=True, max_message_bytes=1000, allow_rsv1=True)
    assert scanner.feed(FIRST + broken) == FIRST
    assert isinstance(scanner.ended, Violation)
    assert scanner.ended.code == 1002


def test_a_frame_too_big_is_refused_from_its_header_alone(scanner: Scanner) -> None:
    header = encode_frame(2, bytes(70_000), mask=KEY)[:14]
    assert scanner.feed(header) == b""
    assert scanner.ended == Violation(1009, "message over 1000 bytes")


def test_a_message_is_as_big_as_all_its_fragments(scanner: Scanner) -> None:
    half = encode_frame(2, bytes(500), mask=KEY, fin=False)
    rest = encode_frame(0, bytes(501), mask=KEY)
    assert scanner.feed(half + rest) == half
    assert scanner.ended is not None
    assert scanner.ended.code == 1009


def test_from_the_upstream_frames_must_not_be_masked() -> None:
    scanner = Scanner(masked=False, max_message_bytes=1000)
    assert scanner.feed(text_frame("hello") + HELLO) == text_frame("hello")
    assert scanner.ended == Violation(1002, "incorrect masking")


def test_compressed_messages_pass_where_they_were_negotiated() -> None:
    scanner = Scanner(masked=True, max_message_bytes=1000, allow_rsv1=True)
    compressed = bytes([FIRST[0] | 0x40]) + FIRST[1:] + LAST + bytes([HELLO[0] | 0x40]) + HELLO[1:]
    assert scanner.feed(compressed) is compressed
    assert scanner.messages == 2


@pytest.mark.parametrize("before", [b"", FIRST], ids=["between messages", "inside a message"])
def test_a_compressed_message_that_was_not_negotiated_has_reserved_bits_set(
    scanner: Scanner, before: bytes
) -> None:
    scanner.feed(before + bytes([HELLO[0] | 0x40]) + HELLO[1:])
    assert scanner.ended == Violation(1002, "reserved bits are set")


def test_an_empty_chunk_changes_nothing(scanner: Scanner) -> None:
    for chunk in (HELLO[:1], HELLO[1:9], HELLO[9:], FIRST, LAST):
        before = (scanner.between_messages, scanner.messages)
        assert scanner.feed(b"") == b""
        assert (scanner.between_messages, scanner.messages) == before
        scanner.feed(chunk)
    assert scanner.messages == 2


def test_an_idle_scanner_is_small(scanner: Scanner) -> None:
    assert not hasattr(scanner, "__dict__")
    assert sys.getsizeof(scanner) < 250

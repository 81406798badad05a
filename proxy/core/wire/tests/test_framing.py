"""Frames that we build are those of the `websockets` library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from proxy.core.wire.framing import close_frame, encode_frame, ping_frame, text_frame
from proxy.core.wire.headers import parse_close, xor_mask
from proxy.core.wire.tests.reference import Rules, judge, serialize

KEY = b"\xa1\x00\xff\x07"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("key", [None, KEY])
def test_a_frame_is_encoded_as_the_library_would(size: int, key: bytes | None) -> None:
    payload = bytes(range(256)) * 257
    expected = serialize(Frame(Opcode.BINARY, payload[:size]), key)
    assert encode_frame(2, payload[:size], mask=key) == expected


@given(st.text(max_size=200), st.binary(min_size=4, max_size=4))
def test_text_is_read_back_by_the_library(text: str, key: bytes) -> None:
    (frame,) = judge(text_frame(text, mask=key), Rules(masked=True)).frames
    assert (frame.opcode, bytes(frame.data).decode()) == (Opcode.TEXT, text)


def test_a_ping_carries_its_payload() -> None:
    (frame,) = judge(ping_frame(b"gw:1"), Rules(masked=False)).frames
    assert (frame.opcode, bytes(frame.data)) == (Opcode.PING, b"gw:1")


@given(st.sampled_from([1000, 1001, 1014, 3000, 4999]), st.text(max_size=200))
def test_a_close_is_read_back_with_its_reason_clipped_to_whole_characters(code: int, reason: str) -> None:
    ended = judge(close_frame(code, reason, mask=KEY), Rules(masked=True)).ended
    assert ended is not None
    assert ended.code == code
    assert reason.startswith(ended.reason)
    assert min(len(reason.encode()), 120) <= len(ended.reason.encode()) <= 123


def test_a_close_without_a_code_stays_empty() -> None:
    assert close_frame(1005, "not sent") == b"\x88\x00"


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
def test_a_code_that_may_not_be_sent_never_reaches_the_wire(code: int) -> None:
    assert parse_close(close_frame(code, "x")[2:]).code == 1011


def test_a_control_frame_that_is_too_long_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="control frame"):
        ping_frame(bytes(126))


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_twice_gives_the_payload_back(payload: bytes, key: bytes) -> None:
    assert xor_mask(xor_mask(payload, key), key) == payload

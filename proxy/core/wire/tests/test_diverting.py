"""Control messages are taken out of a client's stream wherever the network and the client cut it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.wire.control_messages import MAX_CONTROL_MESSAGE_BYTES, is_control
from proxy.core.wire.frames import MOST_CONTROLS, Scanner
from proxy.core.wire.headers import BINARY, CONT, PING, TEXT
from proxy.core.wire.messages import Message, MessageScanner
from proxy.core.wire.tests.frames import encode_frame

MASK = b"\x11\x22\x33\x44"
REFRESH = b'{"type":"gateway.refresh","token":"t"}'
PING_FRAME = encode_frame(PING, b"ping", mask=MASK)
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.integers(0, len(REFRESH)).map(lambda size: REFRESH[:size]),
    st.sampled_from(
        [
            b'{"token":"t", "type": "gateway.refresh"}',
            b' {"type":"gateway.x"}',
            b'{"type":"\\u0067ateway.x"}',
            b'{"type":"chat","text":"gateway. \\u0061"}',
            b'{"type":"gateway.x","p":"' + b"x" * 200 + b'"}',
            b'{"type":"move","p":"' + b"x" * 200 + b'"}',
            b'{"type":"gateway.x","p":"' + b"x" * MAX_CONTROL_MESSAGE_BYTES + b'"}',
        ]
    ),
)


def scanner() -> Scanner:
    return Scanner(masked=True, max_message_bytes=1 << 16, diverts=True)


def fed(follower: Scanner, chunk: bytes, diverted: list[bytes]) -> bytes:
    """All that goes on of a chunk, over as many turns as it takes."""
    passed = [follower.feed(chunk)]
    while True:
        diverted += follower.controls
        follower.controls = ()
        if not follower.unread:
            return b"".join(passed)
        passed.append(follower.resume())


@st.composite
def messages(draw: st.DrawFn) -> tuple[int, bytes, bytes]:
    """Opcode, payload, and the frames of one message: fragmented anywhere, with pings in between."""
    opcode, payload = draw(st.sampled_from((TEXT, TEXT, BINARY))), draw(PAYLOADS)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    pieces = [payload[start:end] for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    wire = b""
    for number, piece in enumerate(pieces):
        fin = number == len(pieces) - 1
        wire += encode_frame(opcode if number == 0 else CONT, piece, mask=MASK, fin=fin)
        if draw(st.booleans()):
            wire += PING_FRAME
    return opcode, payload, wire


@given(stream=st.lists(messages(), max_size=6), cuts=st.lists(st.integers(0, 1500), max_size=12))
def test_control_messages_are_taken_out_and_all_else_is_passed_on(
    stream: list[tuple[int, bytes, bytes]], cuts: list[int]
) -> None:
    diverted: list[bytes] = []
    follower = scanner()
    wire = b"".join(frames for _, _, frames in stream)
    edges = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    passed = b"".join(fed(follower, wire[a:b], diverted) for a, b in itertools.pairwise(edges) if b > a)

    for_us = [op == TEXT and is_control(payload) for op, payload, _ in stream]
    reader = MessageScanner(masked=True, max_message_bytes=1 << 16)
    items = reader.feed(passed)
    while reader.unread:
        items += reader.resume()
    kept = [(item.opcode, item.payload) for item in items if isinstance(item, Message)]
    expected = [(op, payload) for (op, payload, _), ours in zip(stream, for_us, strict=True) if not ours]
    assert follower.ended is None
    assert diverted == [payload for (_, payload, _), ours in zip(stream, for_us, strict=True) if ours]
    assert kept == expected
    assert sum(not isinstance(item, Message) for item in items) == wire.count(PING_FRAME)
    assert (follower.messages, follower.payload_bytes) == (
        len(kept),
        sum(len(payload) for _, payload in kept),
    )


def test_a_whole_message_of_the_streams_own_passes_as_the_very_same_chunk() -> None:
    follower = scanner()
    for payload in (b"{}", b'{"type":"move"}' + b"x" * 20, b"y" * 300, b'{"text":"gateway."}'):
        chunk = encode_frame(TEXT, payload, mask=MASK)
        assert follower.feed(chunk * 3) == chunk * 3
        assert follower.feed(chunk) == chunk
    chunk = encode_frame(TEXT, b'{"type":"move"}', mask=MASK)
    assert follower.feed(chunk) is chunk


@pytest.mark.parametrize(
    "begun",
    [
        encode_frame(TEXT, b"y" * 200, mask=MASK)[:20],
        encode_frame(BINARY, REFRESH, mask=MASK)[:20],
        encode_frame(TEXT, b"{" + b"y" * MAX_CONTROL_MESSAGE_BYTES, mask=MASK)[:9],
    ],
)
def test_what_shows_that_it_is_not_for_us_is_not_held_back(begun: bytes) -> None:
    follower = scanner()
    assert follower.feed(begun) == begun
    assert not follower.between_frames


def test_while_a_text_is_held_back_the_service_is_between_messages() -> None:
    follower = scanner()
    first = encode_frame(TEXT, REFRESH[:9], mask=MASK, fin=False)
    last = encode_frame(CONT, REFRESH[9:], mask=MASK)
    for piece in (first, last[:-1]):
        assert follower.feed(piece) == b""
        assert (follower.between_frames, follower.between_messages, follower.boundary) == (True, True, 0)
    assert follower.feed(last[-1:]) == b""
    assert follower.controls == [REFRESH]


def test_so_many_control_messages_are_found_in_one_turn() -> None:
    follower = scanner()
    follower.feed(encode_frame(TEXT, REFRESH, mask=MASK) * (2 * MOST_CONTROLS + 1))
    found = [len(follower.controls)]
    while follower.unread:
        follower.controls = ()
        follower.resume()
        found.append(len(follower.controls))
    assert found == [MOST_CONTROLS, MOST_CONTROLS, 1]

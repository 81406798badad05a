"""Control messages are taken out of a client's stream wherever the network and the client cut it."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.control import PREFIX_BYTES
from proxy.core.diverting import ControlScanner
from proxy.core.framing import encode_frame
from proxy.core.headers import BINARY, CONT, PING, TEXT
from proxy.core.messages import Message, MessageScanner

MASK = b"\x11\x22\x33\x44"
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.integers(0, len(PREFIX_BYTES)).map(lambda size: PREFIX_BYTES[:size]),
    st.binary(max_size=200).map(lambda rest: PREFIX_BYTES + rest),
    st.binary(max_size=200).map(lambda rest: b'{"type":"game' + rest),
)


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
            wire += encode_frame(PING, b"ping", mask=MASK)
    return opcode, payload, wire


@given(stream=st.lists(messages(), max_size=6), cuts=st.lists(st.integers(0, 1500), max_size=12))
def test_control_messages_are_taken_out_and_all_else_is_passed_on(
    stream: list[tuple[int, bytes, bytes]], cuts: list[int]
) -> None:
    diverted: list[bytes] = []
    scanner = ControlScanner(max_message_bytes=1 << 16, on_control=diverted.append)
    wire = b"".join(frames for _, _, frames in stream)
    edges = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    passed = b"".join(scanner.feed(wire[a:b]) for a, b in itertools.pairwise(edges) if b > a)

    for_us = [(op == TEXT and payload.startswith(PREFIX_BYTES)) for op, payload, _ in stream]
    reader = MessageScanner(masked=True, max_message_bytes=1 << 16)
    items = reader.feed(passed)
    kept = [(item.opcode, item.payload) for item in items if isinstance(item, Message)]
    pings = sum(not isinstance(item, Message) for item in items)
    assert scanner.ended is None
    assert diverted == [payload for (_, payload, _), ours in zip(stream, for_us, strict=True) if ours]
    assert kept == [(op, payload) for (op, payload, _), ours in zip(stream, for_us, strict=True) if not ours]
    assert pings == wire.count(encode_frame(PING, b"ping", mask=MASK))
    assert scanner.messages == len(kept)


def test_a_whole_message_of_the_streams_own_passes_as_the_very_same_chunk() -> None:
    scanner = ControlScanner(max_message_bytes=1 << 16, on_control=lambda _: None)
    for payload in (b'{"type":"move"}' + b"x" * 20, b"y" * 300):
        chunk = encode_frame(TEXT, payload, mask=MASK)
        assert scanner.feed(chunk) is chunk

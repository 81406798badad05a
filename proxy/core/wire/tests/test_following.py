"""Whoever looks on from anywhere sees each message that begins afterwards, as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.wire.following import Follower, Seen
from proxy.core.wire.headers import BINARY, CONT, PING, TEXT
from proxy.core.wire.tests.frames import encode_frame

MASKS = st.none() | st.binary(min_size=4, max_size=4)
SIZES = st.sampled_from([0, 1, 5, 125, 126, 200, 65_535, 65_536])


@st.composite
def messages(draw: st.DrawFn) -> tuple[Seen, bytes]:
    """One message, in a few frames with pings in between, as it is to be seen and as it is sent."""
    parts = draw(st.lists(SIZES, min_size=1, max_size=3))
    payloads = [bytes(at % 251 for at in range(size)) for size in parts]
    opcode, wire = draw(st.sampled_from([TEXT, BINARY])), b""
    for place, payload in enumerate(payloads):
        fin = place == len(payloads) - 1
        wire += encode_frame(CONT if place else opcode, payload, mask=draw(MASKS), fin=fin)
    whole = b"".join(payloads)
    return Seen(opcode, whole[:1000], len(whole)), wire


def seen_by(follower: Follower, wire: bytes, cuts: list[int]) -> list[Seen]:
    chunks, start = [], 0
    for cut in [*sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]:
        chunks.append(wire[start:cut])
        start = cut
    return [seen for chunk in chunks for seen in follower.feed(chunk) if seen is not None]


@given(st.lists(messages(), max_size=4), st.lists(st.integers(0, 300_000), max_size=6))
def test_messages_are_seen_however_they_are_cut(sent: list[tuple[Seen, bytes]], cuts: list[int]) -> None:
    wire = b"".join(each for _, each in sent)
    assert seen_by(Follower(kept_bytes=(1000, 1000)), wire, cuts) == [seen for seen, _ in sent]


@given(messages(), messages(), st.integers(0, 200_000), st.lists(st.integers(0, 300_000), max_size=3))
def test_a_late_comer_sees_what_begins_after_the_frame_under_way(
    missed: tuple[Seen, bytes], later: tuple[Seen, bytes], left: int, cuts: list[int]
) -> None:
    frame = encode_frame(TEXT, bytes(200_000), fin=False)
    rest = encode_frame(CONT, b"the end")
    wire = frame[len(frame) - left :] + encode_frame(PING, b"x") + rest + missed[1] + later[1]
    found = seen_by(Follower(skip=left, kept_bytes=(1000, 1000)), wire, cuts)
    assert found == [Seen(PING, b"x", 1), missed[0], later[0]]


def test_of_a_compressed_message_more_is_kept_and_its_ping_is_its_own() -> None:
    wire = b"\x41\x03abc" + b"\x89\x02hi" + b"\x80\x04defg" + b"\x82\x05vwxyz"
    seen = seen_by(Follower(kept_bytes=(2, 6)), wire, [])
    assert seen == [Seen(PING, b"hi", 2), Seen(TEXT, b"abcdef", 7, True), Seen(BINARY, b"vw", 5)]
    assert [each.is_whole for each in seen] == [True, False, False]

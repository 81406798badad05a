"""Both scanners against the `websockets` library, at every split of the byte stream."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from proxy.core.wire import frames as frames_module
from proxy.core.wire import messages as messages_module
from proxy.core.wire.frames import Scanner
from proxy.core.wire.tests.comparing import compare, compare_whole, cut_at
from proxy.core.wire.tests.fuzz_frames import mutated, try_case
from proxy.core.wire.tests.reference import Rules, judge, serialize, spans

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

small = st.one_of(st.binary(max_size=8), st.sampled_from([0, 1, 125, 126, 127]).map(bytes))
control = st.builds(
    Frame,
    st.sampled_from([Opcode.PING, Opcode.PONG]),
    st.one_of(st.binary(max_size=6), st.just(b"gw:1"), st.just(bytes(125))),
)


@st.composite
def messages(draw: st.DrawFn) -> list[Frame]:
    """One message in one or more fragments, control frames between them."""
    opcode, frames = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY])), []
    payloads = draw(st.lists(small, min_size=1, max_size=3))
    for index, payload in enumerate(payloads):
        frames.append(Frame(Opcode.CONT if index else opcode, payload, fin=index == len(payloads) - 1))
        frames += draw(st.lists(control, max_size=1))
    return frames


frame_lists = st.lists(messages(), max_size=4).map(lambda parts: [frame for part in parts for frame in part])
closes = st.sampled_from([None, b"", b"\x03\xe8bye", b"\x10\xe1\xc3\xa9", b"\x03\xed", b"\x03\xe8\xff", b"x"])
keys = st.one_of(st.none(), st.binary(min_size=4, max_size=4))


@quick
@given(frames=frame_lists, close=closes, key=keys, limit=st.sampled_from([10, 126, 1000]))
def test_at_every_split_the_same_frames_come_out(
    frames: list[Frame], close: bytes | None, key: bytes | None, limit: int
) -> None:
    rules = Rules(masked=key is not None, max_message_bytes=limit)
    ending = [] if close is None else [Frame(Opcode.CLOSE, close)]
    stream = b"".join(serialize(frame, key) for frame in [*frames, *ending])
    verdict = judge(stream, rules)
    for offsets in ([], range(1, len(stream)), *([at] for at in range(1, len(stream)))):
        compare(stream, cut_at(stream, offsets), verdict, rules)
        compare_whole(stream, cut_at(stream, offsets), verdict, rules)


@quick
@given(
    frames=frame_lists, key=keys, seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(0, 400), max_size=6)
)
def test_a_mutated_stream_ends_with_the_same_code_after_the_same_frames(
    frames: list[Frame], key: bytes | None, seed: int, cuts: list[int]
) -> None:
    rules = Rules(masked=key is not None, max_message_bytes=300)
    stream = mutated(random.Random(seed), b"".join(serialize(frame, key) for frame in frames))
    verdict = judge(stream, rules)
    for offsets in ([], cuts, range(1, len(stream))):
        chunks = cut_at(stream, [min(at, len(stream)) for at in offsets])
        compare(stream, chunks, verdict, rules)
        compare_whole(stream, chunks, verdict, rules)


def test_frames_of_every_length_encoding_pass_at_splits_around_their_headers() -> None:
    rules = Rules(masked=True)
    sizes = (0, 125, 126, 65_535, 65_536, 70_000)
    stream = b"".join(serialize(Frame(Opcode.BINARY, bytes(size)), b"\x01\x02\x03\x04") for size in sizes)
    verdict = judge(stream, rules)
    for start, _, _ in spans(stream):
        for at in range(max(start - 2, 1), start + 16):
            compare(stream, cut_at(stream, [at]), verdict, rules)
            compare_whole(stream, cut_at(stream, [at]), verdict, rules)


def test_random_mutations_agree() -> None:
    for seed in range(1000):
        try_case(seed)


def test_they_agree_however_short_a_turn_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for turn in (1, 9, 17):
        monkeypatch.setattr(frames_module, "TURN_COST", turn)
        monkeypatch.setattr(messages_module, "TURN_FRAMES", turn)
        for seed in range(200):
            try_case(turn * 1000 + seed)


def test_truly_compressed_messages_pass_end_to_end() -> None:
    packer, unpacker = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
    texts = [f"hello {number} ".encode() * number for number in range(1, 50)]
    packed = [packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) for text in texts]
    stream = b"".join(serialize(Frame(Opcode.TEXT, part[:-4], rsv1=True), None) for part in packed)
    scanner = Scanner(masked=False, max_message_bytes=1 << 20, allow_rsv1=True)
    forwarded = b"".join(scanner.feed(chunk) for chunk in cut_at(stream, range(7, len(stream), 7)))
    frames = judge(forwarded, Rules(masked=False, allow_rsv1=True)).frames
    assert [unpacker.decompress(bytes(frame.data) + b"\x00\x00\xff\xff") for frame in frames] == texts

"""Messages beyond a quota are cut out whole, however they come, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.closes import Close
from proxy.core.wire.dropping import DroppingScanner
from proxy.core.wire.framing import close_frame, ping_frame
from proxy.core.wire.headers import BINARY, CONT, TEXT, Violation
from proxy.core.wire.tests.frames import encode_frame
from proxy.core.wire.tests.reference import spans

KEY = b"\x01\x02\x03\x04"
PING = ping_frame(b"?", mask=KEY)
REFRESH = encode_frame(TEXT, b'{"type":"gateway.refresh"}', mask=KEY)


def scanner(*, quota: int = 0, diverts: bool = False) -> DroppingScanner:
    made = DroppingScanner(masked=True, max_message_bytes=1 << 20, diverts=diverts)
    made.quota = quota
    return made


def text(payload: bytes, *, parts: int = 1, opcode: int = BINARY) -> list[bytes]:
    """The frames of a message, with a ping behind each but the last."""
    step = len(payload) // parts + 1
    pieces = [payload[at : at + step] for at in range(0, max(len(payload), 1), step)]
    frames = []
    for at, piece in enumerate(pieces):
        is_last = at == len(pieces) - 1
        frames.append(encode_frame(CONT if at else opcode, piece, mask=KEY, fin=is_last))
        frames += [] if is_last else [PING]
    return frames


def payload_bytes(frames: list[bytes]) -> int:
    """What the data frames among these carry."""
    return sum(end - start for frame in frames if frame != PING for _, start, end in spans(frame))


def fed(reader: DroppingScanner, chunk: bytes, decisions: Iterator[int]) -> bytes:
    """All that goes on of a chunk, where whoever is asked grants so many messages, or drops."""
    passed = [reader.feed(chunk)]
    check_place(reader)
    while reader.unread:
        if reader.awaits_quota:
            granted = next(decisions)
            reader.quota = reader.messages + granted
            reader.drops = not granted
        passed.append(reader.resume())
        check_place(reader)
    return b"".join(passed)


def check_place(reader: DroppingScanner) -> None:
    assert reader.between_frames or not reader.between_messages
    assert not reader.between_messages or reader.boundary >= 0 or reader.unread


SIZES = st.tuples(st.sampled_from((0, 1, 100, 130, 70_000)), st.integers(1, 4))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_each_message_goes_on_whole_or_not_at_all_and_every_ping_does(data: st.DataObject) -> None:
    drawn = enumerate(data.draw(st.lists(SIZES)))
    messages = [text(b"%d:" % at + b"x" * size, parts=parts) for at, (size, parts) in drawn]
    stream = b"".join(b"".join(frames) for frames in messages)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20))), len(stream)]
    asked = iter(data.draw(st.lists(st.integers(0, 2), min_size=1)) * 1000)
    reader = scanner(diverts=data.draw(st.booleans()))
    passed = b"".join(fed(reader, stream[start:end], asked) for start, end in pairwise(cuts))
    dropped_bytes = dropped = all_bytes = 0
    for frames in messages:
        whole, size_bytes = b"".join(frames), payload_bytes(frames)
        all_bytes += size_bytes
        if not passed.startswith(whole):
            dropped, dropped_bytes = dropped + 1, dropped_bytes + size_bytes
            whole = PING * frames.count(PING)
        assert passed.startswith(whole)
        passed = passed[len(whole) :]
    assert not passed
    assert (reader.messages, reader.dropped) == (len(messages), dropped)
    assert (reader.payload_bytes, reader.dropped_bytes) == (all_bytes, dropped_bytes)
    assert reader.between_messages


def test_what_is_dropped_is_asked_about_again_in_the_next_turn() -> None:
    hello, reader = encode_frame(TEXT, b"hello", mask=KEY), scanner()
    assert (reader.feed(hello), reader.unread, reader.awaits_quota) == (b"", hello, True)
    reader.drops = True
    assert (reader.resume(), reader.dropped, reader.noted) == (b"", 1, True)
    assert (reader.feed(hello), reader.unread) == (b"", hello)
    reader.quota = reader.messages + 1
    assert (reader.resume(), reader.dropped) == (hello, 1)


def test_the_rest_of_a_frame_that_is_dropped_is_thrown_away_as_it_comes() -> None:
    reader, whole = scanner(), encode_frame(BINARY, bytes(70_000), mask=KEY)
    reader.feed(whole[:1000])
    reader.drops = True
    assert (reader.resume(), reader.dropped_bytes, reader.between_messages) == (b"", 70_000, True)
    reader.quota = 10  # what was begun is dropped to its end
    heard = reader.heard
    assert (reader.feed(whole[1000:50_000]), reader.between_frames) == (b"", True)
    assert reader.heard != heard, "who sends a long message is alive"
    hello = encode_frame(TEXT, b"hello", mask=KEY)
    assert reader.feed(whole[50_000:] + hello) == hello
    assert (reader.boundary, reader.messages, reader.dropped) == (len(hello), 2, 1)
    assert reader.feed(hello) is hello


def test_control_messages_are_found_beyond_the_quota_and_never_dropped() -> None:
    spoken = encode_frame(TEXT, b'{"type":"game"}', mask=KEY)
    pieces = text(b'{"type":"gateway.refresh"}', parts=3, opcode=TEXT)
    others = text(b'{"type":"gatewalk"}', parts=3, opcode=TEXT)
    for chunk in (REFRESH + spoken + REFRESH, b"".join((*pieces, *others, *pieces))):
        reader = scanner(diverts=True)
        passed = fed(reader, chunk, iter([0] * 20))
        assert passed.replace(PING, b"") == b""
        assert [bytes(control) for control in reader.controls] == [b'{"type":"gateway.refresh"}'] * 2
        assert (reader.messages, reader.dropped) == (1, 1)


def test_a_close_and_a_violation_behind_what_is_dropped_end_the_stream() -> None:
    hello = encode_frame(TEXT, b"hello", mask=KEY)
    for end, ended in (
        (close_frame(4000, "bye", mask=KEY), Close(4000, "bye")),
        (b"\x83\x80", Violation(1002, "reserved opcode")),
        (encode_frame(TEXT, b"x", mask=KEY, fin=False) + hello, None),
    ):
        reader = scanner()
        assert fed(reader, hello * 3 + end, iter([0] * 20)) == b""
        assert reader.ended == ended or (ended is None and isinstance(reader.ended, Violation))


def test_what_is_too_big_is_too_big_beyond_the_quota_too() -> None:
    reader = scanner()
    parts = (
        encode_frame(BINARY, bytes(600_000), mask=KEY, fin=False),
        encode_frame(CONT, bytes(600_000), mask=KEY),
    )
    assert fed(reader, b"".join(parts), iter([0] * 20)) == b""
    assert isinstance(reader.ended, Violation)
    assert reader.ended.code == 1009


def test_a_turn_of_what_is_dropped_ends_too() -> None:
    hello, reader = encode_frame(TEXT, b"hello", mask=KEY), scanner()
    reader.feed(hello * 5000)
    reader.drops = True
    reader.resume()
    assert 0 < reader.dropped < 300
    assert len(reader.unread) == (5000 - reader.dropped) * len(hello)

"""What a late-comer inflates is what was said, or is known not to be known; and it heals."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.inflating import Inflated, Inflater

WORDS = st.sampled_from([b'{"type":"move","x":', b"token", b"\xff\x00", b"hello ", b"1234567890", b"\n"])
MESSAGES = st.lists(
    st.one_of(st.binary(max_size=300), st.lists(WORDS, max_size=40).map(b"".join)), max_size=12
)


class Sender:
    """Deflates as a client or a service does; `takes_over` its window from message to message, or not."""

    def __init__(self, *, takes_over: bool = True, level: int = 6) -> None:
        self._takes_over, self._level = takes_over, level
        self._begin()

    def _begin(self) -> None:
        self._deflating = zlib.compressobj(self._level, zlib.DEFLATED, -15)

    def send(self, message: bytes) -> bytes:
        wire = self._deflating.compress(message) + self._deflating.flush(zlib.Z_SYNC_FLUSH)
        assert wire.endswith(b"\x00\x00\xff\xff")
        if not self._takes_over:
            self._begin()
        return wire[:-4]


def known(said: Inflated) -> list[int | None]:
    """Each byte, None where it is not known."""
    pairs = zip(said.payload, said.unknown, strict=True)
    return [None if unknown else byte for byte, unknown in pairs]


@given(before=MESSAGES, seen=MESSAGES, takes_over=st.booleans(), level=st.integers(0, 9))
def test_each_byte_that_is_told_is_the_one_that_was_sent(
    before: list[bytes], seen: list[bytes], takes_over: bool, level: int
) -> None:
    sender, inflater = Sender(takes_over=takes_over, level=level), Inflater(most_bytes=1 << 20)
    for message in before:
        sender.send(message)
    for message in seen:
        said = inflater.inflate(sender.send(message))
        assert said.is_whole
        assert len(said.payload) == len(message)
        assert all(byte in (None, there) for byte, there in zip(known(said), message, strict=True))
        if not takes_over or not before:
            assert None not in known(said)


def test_what_was_said_before_is_not_known_until_it_is_seen() -> None:
    sender, inflater = Sender(), Inflater(most_bytes=1 << 20)
    first, again = b'{"position":[120,377],"name":"ada"}', b'{"position":[121,378],"name":"ada"}'
    sender.send(first)
    late = known(inflater.inflate(sender.send(again)))
    assert None in late
    assert any(byte is not None for byte in late)
    sender.send(b"x" * 40_000)  # nobody saw it; its window has nothing of what came before
    inflater.forget()
    healed = [known(inflater.inflate(sender.send(bytes([number]) + again))) for number in range(3)]
    assert None not in healed[1] + healed[2]


@pytest.mark.parametrize("size", [100, 10_000_000])
def test_a_message_that_inflates_to_much_is_told_in_part(size: int) -> None:
    sender, inflater = Sender(), Inflater(most_bytes=64)
    said = inflater.inflate(sender.send(b"a" * size))
    assert (said.payload, said.is_whole) == (b"a" * 64, False)
    after = inflater.inflate(sender.send(b"short one"))
    assert after.is_whole
    assert len(after.payload) == 9


def test_what_was_not_kept_whole_is_told_in_part_and_what_is_broken_not_at_all() -> None:
    sender, inflater = Sender(level=0), Inflater(most_bytes=1 << 20)
    cut = inflater.inflate(sender.send(b"abcdef" * 100)[:40], is_whole=False)
    assert not cut.is_whole
    assert (b"abcdef" * 100).startswith(cut.payload)
    assert cut.payload
    broken = inflater.inflate(b"\xff\xff\xff")
    assert (broken.payload, broken.is_whole) == (b"", False)
    assert inflater.inflate(Sender().send(b"anew")).payload == b"anew"

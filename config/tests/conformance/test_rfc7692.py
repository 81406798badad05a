"""Autobahn's chapters 12 and 13: permessage-deflate, as far as the gateway lets it through.

A transparent splice passes the offer, the answer and what is compressed on as they are. All other ways have
to read messages, and decline the offer.
"""

from __future__ import annotations

import asyncio
import random
import zlib

import pytest

from config.tests.conformance.conftest import COMPRESSED, Subject, Way
from config.tests.conformance.test_rfc6455 import CASE_SECONDS
from config.tests.conformance.wire import (
    BINARY,
    CONT,
    PING,
    TEXT,
    End,
    Heard,
    Wire,
    close_frame,
    frame,
    opened,
)

# Chapter 13's parameters; chapter 12 has the first.
OFFERS = {
    "13.1": "permessage-deflate",
    "13.2": "permessage-deflate; server_no_context_takeover",
    "13.3": "permessage-deflate; server_max_window_bits=9",
    "13.4": "permessage-deflate; server_max_window_bits=15",
    "13.5": "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
    "13.6": "permessage-deflate; client_max_window_bits; client_no_context_takeover",
    "13.7": "permessage-deflate; server_max_window_bits=9; client_max_window_bits, permessage-deflate",
}
SIZES = (16, 64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10)
MESSAGES = 8


class Deflater:
    """The client's compression, as the server's answer has it."""

    def __init__(self, answer: str) -> None:
        parameters = dict(part.strip().partition("=")[::2] for part in answer.split(";"))
        self._bits = -int(parameters.get("client_max_window_bits") or zlib.MAX_WBITS)
        self._takes_over = "client_no_context_takeover" not in parameters
        self._deflate = zlib.compressobj(wbits=self._bits)

    def __call__(self, payload: bytes) -> bytes:
        if not self._takes_over:
            self._deflate = zlib.compressobj(wbits=self._bits)
        deflated = self._deflate.compress(payload) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return deflated.removesuffix(b"\x00\x00\xff\xff")


def payloads(size: int) -> list[bytes]:
    """Texts that are alike, as JSON of one kind is, and not the same."""
    words = [b'{"type":"position"', b'"x":', b'"player":"ada"', b"true", b"[1,2,3]", "é".encode()]
    chance = random.Random(size)
    texts = [b"".join(chance.choice(words) for _ in range(size // 4 + 1))[:size] for _ in range(MESSAGES)]
    return [text.decode(errors="ignore").encode() for text in texts]


async def converse(wire: Wire, frames: list[bytes], count: int) -> list[Heard | End]:
    """What is heard while `frames` are sent, `count` of it."""

    async def send() -> None:
        for some in frames:
            await wire.send(some)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send(), name="send")
        return [await wire.hear() for _ in range(count)]


transparent = pytest.mark.parametrize("subject", COMPRESSED, ids=str, indirect=True)
declining = pytest.mark.parametrize(
    "subject", [way for way in Way if way not in COMPRESSED], ids=str, indirect=True
)
every_offer = pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)


@transparent
@every_offer
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
async def test_messages_cross_compressed(
    subject: Subject, offer: str, opcode: int, size: int, name: str
) -> None:
    sent = payloads(size)
    async with asyncio.timeout(CASE_SECONDS), opened(subject.url(name), offer=offer) as wire:
        deflate = Deflater(wire.extensions)
        frames = [frame(opcode, deflate(payload), rsv=4) for payload in sent]
        assert await converse(wire, frames, MESSAGES) == [Heard(opcode, payload) for payload in sent]
        await wire.send(close_frame())
        assert await wire.hear() == End(1000)


@declining
@every_offer
async def test_an_offer_is_declined_where_messages_are_read(subject: Subject, offer: str, name: str) -> None:
    async with asyncio.timeout(CASE_SECONDS), opened(subject.url(name), offer=offer) as wire:
        assert not wire.extensions
        await wire.send(frame(TEXT, "plain"))
        assert await wire.hear() == Heard(TEXT, b"plain")


@transparent
async def test_fragments_pings_and_plain_messages_mix_with_compressed_ones(
    subject: Subject, name: str
) -> None:
    offer = OFFERS["13.1"]
    text = b"compressed, and in fragments, " * 100
    async with asyncio.timeout(CASE_SECONDS), opened(subject.url(name), offer=offer) as wire:
        deflate = Deflater(wire.extensions)
        deflated = deflate(text)
        frames = [
            frame(TEXT, deflated[:7], fin=False, rsv=4),
            frame(PING, "between"),
            frame(CONT, deflated[7:20], fin=False),
            frame(CONT, deflated[20:]),
            frame(TEXT, "plain"),
            frame(TEXT, deflate(text), rsv=4),
            frame(TEXT, deflate(b""), rsv=4),
        ]
        heard = await converse(wire, frames, 5)
    messages = [said.payload for said in heard if isinstance(said, Heard) and said.opcode == TEXT]
    assert messages == [text, b"plain", text, b""]
    assert Heard(0xA, b"between") in heard


@transparent
@pytest.mark.parametrize(
    ("frames", "code", "service_judges"),
    [
        ([frame(TEXT, b"\x00", fin=False, rsv=4), frame(CONT, b"\x00", rsv=4)], 1002, False),
        ([frame(PING, b"\x00", rsv=4)], 1002, False),
        ([frame(TEXT, b"\xff\xff\xff\xff not deflate", rsv=4)], 1002, True),
        ([frame(BINARY, Deflater("")(bytes(8 << 20)), rsv=4)], 1009, True),
        ([frame(TEXT, Deflater("")(b"\xed\xa0\x80"), rsv=4)], 1007, True),
    ],
    ids=["marked continuation", "marked ping", "no deflate", "bomb", "no UTF-8 inside"],
)
async def test_what_is_no_compressed_message_fails_the_connection(
    subject: Subject, frames: list[bytes], code: int, service_judges: bool, name: str
) -> None:
    async with asyncio.timeout(CASE_SECONDS), opened(subject.url(name), offer=OFFERS["13.1"]) as wire:
        (end,) = await converse(wire, frames, 1)
        await wire.send(close_frame())
        assert await wire.eof()
    assert isinstance(end, End)
    assert end.code == code
    assert await subject.service.has_failed(name) is service_judges

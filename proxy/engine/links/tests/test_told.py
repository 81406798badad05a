"""A link that is told and made anew, on other sockets of the same connections, goes on at that very byte."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
import ssl
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.events import Event
from proxy.core.limits import LinkLimits, MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGates
from proxy.core.records import ConnectionRecord
from proxy.core.wire.framing import close_frame, ping_frame, text_frame
from proxy.core.wire.headers import BINARY, CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame, pong_frame
from proxy.engine.links import spliced_leg
from proxy.engine.links.gated_leg import GatedLeg, InspectedLeg
from proxy.engine.links.link import Link
from proxy.engine.links.scanners import PONG_PREFIX
from proxy.engine.links.splice import Splice
from proxy.engine.links.spliced_leg import SplicedLeg
from proxy.engine.links.terms import End
from proxy.engine.links.tests.dialogue import PAUSE_SECONDS, Dialogue
from proxy.engine.links.tests.splicing import (
    MASK,
    RawEnd,
    TestGateway,
    gateway_to,
    masked,
    on_both_loops,
    raw_client,
    raw_upstream,
    until,
)
from proxy.engine.links.tests.test_splice_ends import ALL_KINDS, KINDS, frames
from proxy.engine.links.told import ToldLink
from proxy.engine.pools import dial
from proxy.engine.pools.rawdial import RawUpstream

LIMITS = LinkLimits(ping_interval_seconds=20, ping_timeout_seconds=20)


def played(options: dict[str, Any], at: int, *, hands_over: bool) -> tuple[bytes, bytes, dict[str, Any], int]:
    """What both ends hear, and the counts: they speak, and an event comes after so many bytes."""
    to_service, to_client = b"".join(frames(MASK)), b"".join(frames(None))
    with Dialogue(**options) as link:
        link.client.says(to_service[:at])
        link.service.says(to_client[:at])
        link.inject("event")
        if hands_over:
            assert link.hands_over()
        link.client.says(to_service[at:])
        link.service.says(to_client[at:])
        link.inject("after")
        link.wait()
        link.splice.look(link.clock.time())
        counters = asdict(link.counters)
        return bytes(link.service.written), bytes(link.client.written), counters, link.splice.buffered_bytes


@ALL_KINDS
def test_at_whichever_byte_nothing_is_lost_or_doubled(options: dict[str, Any]) -> None:
    for at in range(len(b"".join(frames(MASK))) + 1):
        assert played(options, at, hands_over=True) == played(options, at, hands_over=False)


def test_what_is_told_is_plain() -> None:
    with Dialogue(control=True) as link:
        link.client.says(masked(TEXT, b'{"type":', fin=False) + masked(CONT, b"1}")[:4])
        link.service.says(encode_frame(BINARY, bytes(500))[:300])
        link.inject("event")
        link.splice.pause(PAUSE_SECONDS)
        told = link.splice.tell()
        assert told is not None
        assert told.down.outbox == (("event", "layer"),)
        plain = {int, float, str, bytes, bool, type(None), tuple, dict}
        assert {type(each) for each in all_in(asdict(told))} <= plain
        assert pickle.loads(pickle.dumps(told)) == told


def all_in(value: Any) -> Iterator[Any]:
    yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ():
        yield from all_in(each)


def test_a_ping_that_is_not_answered_before_or_after_is_as_late_as_it_would_have_been() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.wait(24)
        link.service.says(pong_frame(PONG_PREFIX))
        link.client.hears(ping_frame(PONG_PREFIX))
        assert link.hands_over()
        link.wait(14)
        assert link.splice.ended is None
        link.wait(10)
        assert link.splice.ended == (closes.LOST, ClosedBy.CLIENT)


def test_the_pong_of_a_ping_from_before_is_swallowed() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.wait(24)
        assert link.hands_over()
        link.client.says(pong_frame(PONG_PREFIX, mask=MASK))
        link.service.says(pong_frame(PONG_PREFIX))
        link.wait(14)
        link.service.hears(ping_frame(PONG_PREFIX))
        assert link.splice.ended is None


def test_an_idle_link_is_closed_when_it_would_have_been() -> None:
    with Dialogue(limits=LinkLimits(idle_timeout_seconds=60, ping_interval_seconds=200)) as link:
        link.wait(50)
        assert link.hands_over()
        link.wait(14)
        assert link.splice.ended == (closes.IDLE, ClosedBy.GATEWAY)


def test_a_client_over_its_rate_is_read_no_faster() -> None:
    sent = [masked(TEXT, b"%d" % number) for number in range(30)]
    gate = MessageGates(MessageLimits(messages_per_connection=Rate(10, 10), over=OverRate.WAIT)).open("7")
    with Dialogue(gate=gate) as link:
        link.client.says(b"".join(sent))
        assert link.hands_over()
        assert link.turns() >= 15
        link.service.hears(*sent)


def test_what_was_paid_for_is_not_paid_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spliced_leg, "CONTROL_FRAME_RATE", Rate(20, 2))
    limits = MessageLimits(bytes_per_connection=Rate(1000, 1), over=OverRate.WAIT)
    with Dialogue(gate=MessageGates(limits).open("7")) as link:
        for _ in range(4):
            link.client.says(ping_frame(b"?", mask=MASK) * 10 + masked(BINARY, bytes(800)))
            link.wait(3)
        assert link.hands_over()
        for _ in range(2):
            link.client.says(ping_frame(b"?", mask=MASK) + masked(BINARY, b"at once"))
            link.wait(0.1)
            assert link.service.frames()[-1] == masked(BINARY, b"at once")
            assert link.client.reading


def test_an_end_that_was_silent_before_is_pinged_when_it_would_have_been() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.wait(15)
        assert link.hands_over()
        link.wait(9)
        link.client.hears(ping_frame(PONG_PREFIX))


def test_a_pause_ends_by_itself_if_nobody_takes_the_sockets() -> None:
    with Dialogue() as link:
        link.splice.pause(PAUSE_SECONDS)
        link.client.says(masked(TEXT, b"hello"))
        link.wait(PAUSE_SECONDS / 2)
        link.service.hears()
        link.wait(PAUSE_SECONDS)
        link.service.hears(masked(TEXT, b"hello"))


def test_a_link_that_ends_or_has_something_to_write_is_not_told() -> None:
    with Dialogue() as link:
        link.client.stalls()
        link.service.says(text_frame("hello"))
        assert not link.hands_over()
        link.client.reads()
        assert link.hands_over()
        link.ends(closes.KICKED, ClosedBy.STAFF)
        assert link.splice.tell() is None
        link.client.hears(text_frame("hello"), close_frame(4001, "kicked by staff"))
        link.service.hears(close_frame(4001, "kicked by staff"))


OF_AN_END = {"_is_closed", "_lingers", "close_due", "gone", "last_words", "over", "shut"}
OF_WHAT_IS_WRITTEN = {"_stalled_bytes", "stalled_at"}
MADE_ANEW = {
    "_let_through",
    "_unjudged",
    "by",
    "gate",
    "other",
    "outbox",
    "scanner",
    "splice",
    "transport",
    "turn",
    "watched",
}


@pytest.mark.parametrize("kind", [SplicedLeg, GatedLeg, InspectedLeg])
def test_whoever_adds_to_what_a_leg_knows_says_whether_it_is_told(kind: type[SplicedLeg]) -> None:
    slots = {name for each in kind.__mro__ for name in getattr(each, "__slots__", ())}
    told = {*kind.STATE, *kind.MOMENTS}
    assert told <= slots
    assert slots - told <= MADE_ANEW | OF_AN_END | OF_WHAT_IS_WRITTEN


async def test_a_link_goes_on_with_its_record_its_counts_and_its_expiry() -> None:
    now = asyncio.get_running_loop().time()
    record = ConnectionRecord(
        id="7", route="experience", opened_at=datetime.now(UTC), user_id="42", upstream="kb"
    )
    link = Link(record, topics=("user:42",))
    link.counters.messages_in, link.counters.last_activity = 3, now - 5
    link.counted.messages_in = 2
    link.expire_in(0.2)
    told = ToldLink(**json.loads(json.dumps(asdict(ToldLink.of(link)))))
    link.ended()
    other = told.link()
    assert (other.record, other.counted, other.counters.messages_in) == (record, link.counted, 3)
    assert other.counters.last_activity == pytest.approx(now - 5, abs=1)
    assert list(other.topics) == ["user:42"]
    splice = Ended()
    other.begin(splice)
    async with asyncio.timeout(30):
        assert await splice.end_of == (closes.TOKEN_EXPIRED, ClosedBy.GATEWAY)


class Ended:
    """A stream that only knows how it was ended."""

    buffered_bytes, gathers = 0, False

    def __init__(self) -> None:
        self.end_of: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def inject(self, *events: Event) -> None: ...

    def end(self, close: closes.Close, by: ClosedBy) -> bool:
        self.end_of.set_result(End(close, by))
        return True

    def abort(self) -> None: ...


# --- On real sockets -----


class Taken(asyncio.Protocol):
    """A socket that was handed over. uvloop reads of it before it can be told not to: that is kept."""

    def __init__(self) -> None:
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.pause_reading()  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.early += data


async def taken(fd: int) -> tuple[asyncio.Transport, Taken]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_accepted_socket(Taken, socket.socket(fileno=fd))
    transport.pause_reading()
    return transport, protocol


async def hand_over(gateway: TestGateway, splice: Splice) -> Splice:
    """Pause, wait until all is written, tell, and go on in another splice on duplicates of both sockets."""
    splice.pause(10)
    await until(lambda: splice.tell() is not None)
    told = pickle.loads(pickle.dumps(splice.tell()))
    fds = [os.dup(leg.transport.get_extra_info("socket").fileno()) for leg in (splice.down, splice.up)]
    splice.leave()
    (down, client), (up, service) = await taken(fds[0]), await taken(fds[1])
    upstream = RawUpstream()
    upstream.transport, upstream.early = up, service.early
    life = gateway.lives.pop(splice)
    other = Splice(down, gateway.request(upstream, life), early=client.early, told=told)
    gateway.lives[other] = life
    return other


def message(number: int, mask: bytes | None) -> bytes:
    """A message in three fragments, of which the first begins with its number."""
    filling = b"x" * (number * 37 % 3000)
    return (
        encode_frame(BINARY, b"%d:" % number, mask=mask, fin=False)
        + encode_frame(CONT, filling, mask=mask, fin=False)
        + encode_frame(CONT, b"end", mask=mask)
    )


async def stream(end: RawEnd, mask: bytes | None, enough: asyncio.Event) -> int:
    """Send messages, in pieces that end anywhere, until there are enough; how many it were."""
    sent, left = 0, b""
    while not enough.is_set():
        while len(left) < 1000:
            left, sent = left + message(sent, mask), sent + 1
        await end.send(left[:1000])
        left = left[1000:]
        await asyncio.sleep(0)
    await end.send(left)
    return sent


async def messages_until_close(end: RawEnd) -> list[bytes]:
    """What an end hears, message by message, up to its close."""
    messages, partial = list[bytes](), b""
    while True:
        first, payload = await end.frame()
        if first == 0x88:
            return messages
        partial += payload
        if first & 0x80:
            messages.append(partial)
            partial = b""


@pytest.mark.parametrize("kind", KINDS)
@on_both_loops
async def test_a_busy_link_changes_hands_again_and_again_and_nobody_notices(kind: str) -> None:
    """Both ends stream messages in fragments, with events among them, and it is handed over ten times."""
    enough, served = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def service(end: RawEnd) -> None:
        hearing = asyncio.ensure_future(messages_until_close(end))
        sent = await stream(end, None, enough)
        served.set_result((sent, await hearing))
        await end.send(close_frame(4000, "done"))
        await end.ended()

    async with raw_upstream(service) as url, gateway_to(url, **KINDS[kind]) as gateway:
        async with raw_client(gateway) as client:
            splice = await gateway.joined.get()
            hearing = asyncio.ensure_future(messages_until_close(client))
            streaming = asyncio.ensure_future(stream(client, MASK, enough))
            for number in range(10):
                await both_send(splice)
                splice.inject(Event(f"event {number}"))
                splice = await hand_over(gateway, splice)
            enough.set()
            sent = await streaming
            await client.send(close_frame(4000, "done", mask=MASK))
            sent_back, heard = await served
            heard_back = await hearing
            assert await gateway.end_of(splice) == End(closes.Close(4000, "done"), ClosedBy.CLIENT)
    assert numbers(heard) == list(range(sent))
    assert numbers(heard_back) == list(range(len(numbers(heard_back))))
    assert [each for each in heard_back if each.startswith(b"event")] == [b"event %d" % n for n in range(10)]
    assert gateway.counters.messages_in == sent
    assert gateway.counters.messages_out == len(heard_back) <= sent_back + 10


@on_both_loops
async def test_a_leg_that_speaks_tls_is_not_told(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusting, served = ssl.create_default_context(cafile=certificate), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    monkeypatch.setattr(dial, "default_ssl_context", lambda: trusting)
    async with serve(ServerConnection.wait_closed, "127.0.0.1", 0, ssl=served, compression=None) as service:
        url = f"wss://127.0.0.1:{service.sockets[0].getsockname()[1]}"
        async with gateway_to(url) as gateway, raw_client(gateway):
            splice = await gateway.joined.get()
            with pytest.raises(ValueError, match="the upstream's leg speaks TLS"):
                splice.tell()
            assert splice.ended is None


async def both_send(splice: Splice) -> None:
    """Wait until something has come from both ends."""
    seen = splice.down.scanner.messages, splice.up.scanner.messages
    await until(lambda: splice.down.scanner.messages > seen[0] and splice.up.scanner.messages > seen[1])


def numbers(messages: list[bytes]) -> list[int]:
    return [int(each.split(b":")[0]) for each in messages if not each.startswith(b"event")]

"""Looking on at a link: what goes over it is seen, and goes over it as if nobody looked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.events import Event
from proxy.core.limits import MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGates
from proxy.core.records import ConnectionRecord
from proxy.core.secrets_in_text import Secrets
from proxy.core.tapping import MESSAGES_AT_ONCE, Direction, TapEnd
from proxy.core.wire.headers import CONT, PING, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links import tap as tap_module
from proxy.engine.links import tapping
from proxy.engine.links.link import Link, Stream
from proxy.engine.links.pushing import PushingRelay
from proxy.engine.links.relay import Relay
from proxy.engine.links.splice import Splice
from proxy.engine.links.tap import LinkTap
from proxy.engine.links.tests.policies import Forwarding
from proxy.engine.links.tests.splicing import (
    RawEnd,
    client_of,
    echo,
    gateway_to,
    masked,
    on_both_loops,
    raw_client,
    raw_upstream,
    terms,
    until,
)
from proxy.engine.links.tests.test_relay_policy import ScriptedLeg

SECRET = '{"token":"hunter2"}'
BIG = 100_000


def tapped(stream: Stream) -> LinkTap:
    link = Link(ConnectionRecord(id="l", route="r", opened_at=datetime.now(UTC)), topics=())
    if isinstance(stream, Splice | Relay):
        link.counters = stream.terms.counters if isinstance(stream, Splice) else stream._counters
    link.begin(stream)
    return LinkTap("t", link, Secrets(["token"]), by="ada")


class Seen:
    """All that a tap has told, until it has told so many lines."""

    def __init__(self, tap: LinkTap) -> None:
        self._tap, self.lines = tap, list[dict[str, Any]]()

    async def lines_of(self, count: int) -> list[tuple[str, str, str]]:
        def are_there() -> bool:
            self.lines += self._tap.take_lines()
            return len(self.lines) >= count

        await until(are_there)
        return [(line["way"], line["kind"], line["text"]) for line in self.lines]


def ends_of(stream: Any) -> list[object]:
    """What a stream calls for each byte, or each message, that it passes on."""
    if isinstance(stream, Relay):
        judges = [stream._judge_in, stream._judge_out]
        return [stream._downstream, stream._upstream, getattr(stream, "_writer", None), *judges]
    writes = [leg.transport.write for leg in (stream.down, stream.up)]
    return [stream.down.transport, stream.up.transport, stream.terms, *(each.__qualname__ for each in writes)]


WAYS: dict[str, dict[str, Any]] = {
    "spliced": {},
    "diverting": {"control": True},
    "inspected": {"policy": Forwarding()},
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@on_both_loops
async def test_both_ways_are_seen_without_secrets_and_nothing_else_is_called_before_and_after(
    options: dict[str, Any],
) -> None:
    async with gateway_to(echo, **options) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        before = ends_of(splice)
        tap = tapped(splice)
        assert ends_of(splice) != before
        seen = Seen(tap)
        await client.send(SECRET)
        assert await client.recv() == SECRET
        await client.send(b"\x00\xff")
        assert await client.recv() == b"\x00\xff"
        clean = '{"token":"[redacted]"}'
        assert sorted(await seen.lines_of(4)) == [
            ("in", "binary", "00 ff"),
            ("in", "text", clean),
            ("out", "binary", "00 ff"),
            ("out", "text", clean),
        ]
        tap.end(TapEnd.STOPPED)
        assert ends_of(splice) == before
        await client.send("nobody looks")
        assert await client.recv() == "nobody looks"
        assert tap.take_lines() == []


@pytest.mark.parametrize("context", ["", "client_no_context_takeover; server_no_context_takeover"])
@on_both_loops
async def test_compressed_messages_are_inflated_from_where_somebody_came_in(context: str) -> None:
    async with serve(echo, "127.0.0.1", 0, compression="deflate") as server:
        port = next(iter(server.sockets)).getsockname()[1]
        offered = ClientPerMessageDeflateFactory(
            client_no_context_takeover=bool(context), server_no_context_takeover=bool(context)
        )
        async with gateway_to(f"ws://127.0.0.1:{port}/") as gateway:
            async with client_of(gateway, extensions=[offered]) as client:
                splice = await gateway.joined.get()
                said = [
                    f'{{"n":{number},"word":"{number * 77}","token":"hunter{number}"}}' for number in range(6)
                ]
                assert await sent_and_back(client, said[:3]) == said[:3]
                seen = Seen(tapped(splice))
                assert await sent_and_back(client, said[3:]) == said[3:]
                lines = await seen.lines_of(6)
    assert "hunter" not in str(lines)
    assert all(line["wire"] and line["size"] == len(said[3]) for line in seen.lines)
    whole = [text for _, _, text in lines if "hidden" not in text and "·" not in text]
    clean = [text.partition(',"token"')[0] + ',"token":"[redacted]"}' for text in said]
    assert set(whole) <= set(clean)
    assert not context or sorted(whole) == sorted(clean[3:] * 2)


async def sent_and_back(client: Any, said: list[str]) -> list[Any]:
    back = []
    for text in said:
        await client.send(text)
        back.append(await client.recv())
    return back


@on_both_loops
async def test_bytes_are_the_same_while_taps_begin_and_end_in_the_middle_of_frames() -> None:
    """Frames in pieces, both ways at once; a tap for each piece, and none."""
    up, down, sent = bytearray(), bytearray(), bytearray()
    frames = b"".join(
        encode_frame(TEXT, b"a" * 300, mask=b"\1\2\3\4", fin=False)
        + encode_frame(CONT, b"b" * 70_000, mask=b"\5\6\7\x08")
        for _ in range(3)
    )
    backwards = b"".join(encode_frame(TEXT, b"c" * 50_000) for _ in range(4))

    async def service(end: RawEnd) -> None:
        while len(up) < len(frames):
            up.extend(await end.reader.read(1000))
            piece = backwards[len(sent) : len(sent) + 997]
            sent.extend(piece)
            await end.send(piece)
        await end.send(backwards[len(sent) :])
        await end.reader.read(1)

    async with raw_upstream(service) as url, gateway_to(url) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        taps: list[LinkTap] = []

        async def read() -> None:
            while len(down) < len(backwards):
                down.extend(await client.reader.read(1000))

        reading = asyncio.create_task(read())
        for start in range(0, len(frames), 1371):
            if taps and taps[-1].ended is None:
                taps[-1].end(TapEnd.STOPPED)
            else:
                taps.append(tapped(splice))
            await client.send(frames[start : start + 1371])
        await reading
        assert bytes(up) == frames
        assert bytes(down) == backwards
        assert len(taps) > 50


@on_both_loops
async def test_a_tap_that_begins_within_a_frame_sees_the_next_message() -> None:
    async def service(end: RawEnd) -> None:
        await end.send(encode_frame(TEXT, b"z" * BIG)[:-10])
        await end.reader.readexactly(len(masked(TEXT, b"y" * BIG)) - 10)
        await end.reader.read(1 << 20)
        await end.send(b"z" * 10 + encode_frame(TEXT, b"next out"))
        await end.reader.read(1)

    async with raw_upstream(service) as url, gateway_to(url) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        wire = masked(TEXT, b"y" * BIG)
        await client.send(wire[:-10])
        await client.reader.readexactly(len(encode_frame(TEXT, b"z" * BIG)) - 10)
        await until(lambda: splice.down.scanner.payload_left == splice.up.scanner.payload_left == 10)
        seen = Seen(tapped(splice))
        await client.send(wire[-10:] + masked(TEXT, b"next in"))
        assert sorted(await seen.lines_of(2)) == [("in", "text", "next in"), ("out", "text", "next out")]


@on_both_loops
async def test_too_much_is_left_out_and_counted_and_the_link_goes_on() -> None:
    count = int(MESSAGES_AT_ONCE) * 4
    async with gateway_to(echo) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        tap = tapped(splice)
        for number in range(count):
            await client.send(str(number))
        assert [await client.recv() for _ in range(count)] == [str(number) for number in range(count)]
        await until(lambda: tap.shown + tap.left_out == 2 * count)
        assert tap.shown >= MESSAGES_AT_ONCE
        assert tap.left_out > 0


@on_both_loops
async def test_a_burst_that_cannot_be_waited_for_is_left_out_and_what_follows_is_seen() -> None:
    async with gateway_to(echo) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        tap = tapped(splice)
        eye = tap._eyes[Direction.IN]
        for _ in range(3):  # more than waits, in one turn of the loop
            eye.frames(bytes(tapping.MOST_WAITING_BYTES))
        await client.send("during")
        assert await client.recv() == "during"
        await until(lambda: not eye._is_lost)
        await client.send("after")
        assert await client.recv() == "after"
        seen = Seen(tap)
        while ("in", "text", "after") not in await seen.lines_of(len(seen.lines) + 1):
            pass
        texts = [line["text"] for line in seen.lines if line["way"] == "in"]
        assert tap.left_out == 2 - len(texts)


async def test_a_close_and_what_comes_right_before_it_are_seen() -> None:
    async def service(connection: Any) -> None:
        await connection.recv()
        await connection.send("farewell")
        await connection.close(4321, "token=hunter2")

    async with asyncio.timeout(30), gateway_to(service) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        tap = tapped(splice)
        await client.send("hello")
        await client.wait_closed()
        await gateway.end_of(splice)
        tap.end(TapEnd.LINK_CLOSED)
        said = await Seen(tap).lines_of(3)
        assert ("out", "text", "farewell") in said
        assert ("out", "close", "4321 token=[redacted]") in said


async def relayed(relay: Relay, client: ScriptedLeg, service: ScriptedLeg) -> None:
    before = ends_of(relay)
    running = asyncio.create_task(relay.run())
    tap = tapped(relay)
    seen = Seen(tap)
    async with asyncio.timeout(30):
        relay.inject(Event(SECRET))
        said = await seen.lines_of(1)
        tap.end(TapEnd.STOPPED)
        assert ends_of(relay) == before
        relay.end(closes.NORMAL, ClosedBy.GATEWAY)
        await running
    assert ("out", "text", '{"token":"[redacted]"}') in said
    assert SECRET in client.heard


@pytest.mark.parametrize("kind", [Relay, PushingRelay])
async def test_relays_are_seen_likewise(kind: type[Relay]) -> None:
    client = ScriptedLeg(close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
    if kind is PushingRelay:
        service.joined = lambda _: None  # type: ignore[attr-defined]
    await relayed(kind(client, service, terms()), client, service)


async def test_a_tap_ends_when_its_time_is_over_nobody_looks_or_enough_was_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, service = (
        ScriptedLeg(close=None, by=ClosedBy.CLIENT),
        ScriptedLeg(close=None, by=ClosedBy.UPSTREAM),
    )
    relay = Relay(client, service, terms())
    assert tapped(relay).due_end() is None
    for name, value, why in (
        ("TAP_SECONDS", 0.0, TapEnd.TIME),
        ("VIEWER_SECONDS", 0.0, TapEnd.NOBODY_LOOKS),
        ("MOST_TOLD_CHARS", 0, TapEnd.FULL),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(tap_module, name, value)
            assert tapped(relay).due_end() is why


async def test_what_is_wrong_with_looking_is_nothing_to_the_link(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> bool:
        raise RuntimeError("a fault of ours")

    shown: list[object] = []
    eye = tapping.Eye(fail, missed=lambda: None)
    eye.message("one")
    await asyncio.sleep(0.01)
    assert "looking on at a link failed" in caplog.text
    eye._show = lambda seen: bool(shown.insert(0, seen))  # type: ignore[func-returns-value]
    eye.message("two")
    await until(lambda: len(shown) == 1)


@on_both_loops
async def test_what_is_dropped_for_the_rate_is_not_seen_and_what_goes_on_is() -> None:
    """Its scanner leaves messages out, and the tap begins in the middle of such a one."""
    limits = MessageLimits(messages_per_connection=Rate(1, 3600), over=OverRate.DROP)
    gate = MessageGates(limits).open("7")
    async with gateway_to(echo, gate=gate) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        dropped = masked(TEXT, b"dropped" * 100)
        await client.send(masked(TEXT, b"first") + dropped[:300])
        await until(lambda: splice.terms.counters.messages_dropped == 1)
        tap = tapped(splice)
        seen = Seen(tap)
        await client.send(dropped[300:] + masked(PING, b"marker"))
        kinds: list[tuple[str, str]] = []
        while ("in", "ping") not in kinds:
            await asyncio.sleep(0)
            kinds = [(way, kind) for way, kind, _ in await seen.lines_of(0)]
        assert "dropped" not in str([line["text"] for line in seen.lines if line["way"] == "in"])
        assert tap.dropped == 0, "it was before somebody looked"
        await client.send(masked(TEXT, b"late"))
        await until(lambda: tap.dropped == 1)
        tap._eyes[Direction.IN].frames(bytes(tapping.MOST_WAITING_BYTES + 1))
        await until(lambda: not tap._eyes[Direction.IN]._is_lost)
        assert tap.left_out == 0, "nor is it taken for one that was too much"

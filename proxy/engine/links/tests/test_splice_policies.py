"""Routes that look into messages: control messages are taken out, policies are asked, nothing slips past."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from proxy.core.closes import Close, ClosedBy
from proxy.core.verdicts import DROP, FORWARD, Direction, Verdict
from proxy.core.wire.framing import text_frame
from proxy.core.wire.headers import BINARY, CONT, PING, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.tests.splicing import (
    RawEnd,
    answer_to,
    client_of,
    close_of,
    echo,
    gateway_to,
    masked,
    on_both_loops,
    raw_client,
    raw_upstream,
)

REFRESH = '{"type":"gateway.refresh","token":"abc"}'


@on_both_loops
async def test_control_messages_are_answered_and_never_forwarded() -> None:
    async with gateway_to(echo, control=True) as gateway, client_of(gateway) as client:
        for message in ("before", REFRESH, '{"type":"gate"}', b'{"type":"gateway.binary"}', "", "after"):
            await client.send(message)
        heard = [await client.recv() for _ in range(6)]
        assert heard.count(answer_to(REFRESH)) == 1
        heard.remove(answer_to(REFRESH))
        assert heard == ["before", '{"type":"gate"}', b'{"type":"gateway.binary"}', "", "after"]


@on_both_loops
async def test_a_control_message_is_found_however_it_is_fragmented() -> None:
    raw, answered = REFRESH.encode(), answer_to(REFRESH).encode()
    async with gateway_to(echo, control=True) as gateway, raw_client(gateway) as client:
        for cut in (0, 1, 9, 16, 17, 18, len(raw)):
            pieces = masked(TEXT, raw[:cut], fin=False) + masked(PING, b"x") + masked(CONT, raw[cut:])
            await client.send(pieces)
            assert sorted([await client.frame(), await client.frame()]) == [(0x81, answered), (0x8A, b"x")]
        for byte in masked(TEXT, raw) + masked(TEXT, b"next"):
            await client.send(bytes([byte]))
        assert sorted([await client.frame(), await client.frame()]) == [(0x81, answered), (0x81, b"next")]


@on_both_loops
async def test_messages_that_only_begin_like_control_messages_are_forwarded() -> None:
    async with gateway_to(echo, control=True) as gateway, raw_client(gateway) as client:
        for payload in (b'{"type":"gateway', b'{"type":"game"}', b'{"type":"gateway-' + b"x" * 300):
            await client.send(masked(TEXT, payload[:5], fin=False) + masked(CONT, payload[5:]))
            assert await client.frame() == (0x81, payload)
            await client.send(masked(TEXT, payload))
            assert await client.frame() == (0x81, payload)


@on_both_loops
async def test_a_text_over_16_kib_is_no_control_message_whatever_it_says() -> None:
    long = REFRESH + " " * 16 * 1024
    async with gateway_to(echo, control=True) as gateway, client_of(gateway) as client:
        for message in (long, [long[:20], long[20:]]):
            await client.send(message)
            assert await client.recv() == long


def polite(direction: Direction, opcode: int, payload: bytes) -> Verdict:
    """A policy: drops `drop`, answers `ask`, closes on `close`, forwards the rest."""
    text = payload.decode("utf-8", "replace")
    if text.startswith("drop"):
        return DROP
    if text.startswith("ask"):
        return Verdict(forward=False, reply=f"{direction}:{opcode}")
    if text.startswith("close"):
        return Verdict(forward=False, close=Close(1008, "invalid data"))
    return FORWARD


@on_both_loops
async def test_a_policy_forwards_drops_and_answers() -> None:
    async with gateway_to(echo, inspect=polite) as gateway, client_of(gateway) as client:
        for message in ("one", "drop me", "ask", b"ask", "", b"two"):
            await client.send(message)
        received = [await client.recv() for _ in range(5)]
        replies = [text for text in received if text in ("in:1", "in:2")]
        assert replies == ["in:1", "in:2"]
        assert [text for text in received if text not in replies] == ["one", "", b"two"]


@on_both_loops
async def test_a_policy_is_asked_about_the_services_messages_and_answers_it() -> None:
    heard = asyncio.Queue[str | bytes]()

    async def upstream(connection: Any) -> None:
        for message in ("drop me", "ask", "fine"):
            await connection.send(message)
        heard.put_nowait(await connection.recv())
        await connection.wait_closed()

    async with gateway_to(upstream, inspect=polite) as gateway, client_of(gateway) as client:
        assert await client.recv() == "fine"
        assert await heard.get() == "out:1"


@on_both_loops
async def test_a_policy_closes_both_ends() -> None:
    async with gateway_to(echo, inspect=polite) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        await client.send("close now")
        await client.send("too late")
        assert await close_of(client) == (1008, "invalid data")
        assert (await gateway.end_of(splice)).by is ClosedBy.GATEWAY


@on_both_loops
async def test_a_policy_that_fails_closes_with_1011() -> None:
    def broken(direction: Direction, opcode: int, payload: bytes) -> Verdict:
        return Verdict(forward=bool(json.loads(payload)))

    async with gateway_to(echo, inspect=broken) as gateway, client_of(gateway) as client:
        await client.send("not JSON")
        assert await close_of(client) == (1011, "internal error")


@on_both_loops
async def test_no_message_gets_past_a_policy_in_pieces() -> None:
    seen: list[bytes] = []

    def note(direction: Direction, opcode: int, payload: bytes) -> Verdict:
        seen.append(payload)
        return polite(direction, opcode, payload)

    async with gateway_to(echo, inspect=note) as gateway, raw_client(gateway) as client:
        await client.send(
            masked(TEXT, b"dr", fin=False)
            + masked(PING, b"between")
            + masked(CONT, b"op", fin=False)
            + masked(CONT, b" me")
            + masked(TEXT, b"", fin=False)
            + masked(CONT, b"kept")
        )
        frames = [await client.frame(), await client.frame()]
        assert sorted(frames) == [(0x81, b"kept"), (0x8A, b"between")]
        assert seen == [b"drop me", b"kept", b"kept"]


@on_both_loops
async def test_what_a_policy_forwards_is_the_original_frames() -> None:
    wire = encode_frame(TEXT, b"a", fin=False) + encode_frame(CONT, b"") + encode_frame(BINARY, b"b" * 70_000)

    async def upstream(end: RawEnd) -> None:
        await end.send(wire[:40_000])
        await end.send(wire[40_000:] + text_frame("end"))
        await end.ended()

    async with (
        raw_upstream(upstream) as url,
        gateway_to(url, inspect=polite) as gateway,
        raw_client(gateway) as client,
    ):
        assert await client.reader.readexactly(len(wire)) == wire
        assert await client.frame() == (0x81, b"end")


@on_both_loops
async def test_control_messages_are_taken_out_of_an_inspected_route_too() -> None:
    async with gateway_to(echo, inspect=polite, control=True) as gateway, client_of(gateway) as client:
        await client.send(REFRESH)
        assert await client.recv() == answer_to(REFRESH)
        await client.send("next")
        assert await client.recv() == "next"

"""What crosses a splice: content, order, size; events between messages; nothing is lost on the way in."""

from __future__ import annotations

import asyncio

from proxy.core.wire.framing import text_frame
from proxy.core.wire.headers import CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.splicing import (
    client_of,
    echo,
    gateway_to,
    masked,
    on_both_loops,
    raw_client,
    raw_upstream,
)

MESSAGES: list[str | bytes] = [
    "hello",
    "",
    b"",
    b"\x00\xff" * 100,
    "é" * 70,
    "x" * 125,
    "x" * 126,
    "y" * 65535,
    b"z" * 65536,
]


@on_both_loops
async def test_messages_come_back_whole_and_in_order() -> None:
    async with gateway_to(echo) as gateway, client_of(gateway) as client:
        for message in MESSAGES:
            await client.send(message)
        assert [await client.recv() for _ in MESSAGES] == MESSAGES


@on_both_loops
async def test_a_message_of_a_megabyte_crosses_both_ways() -> None:
    message = bytes(range(256)) * 4096
    async with gateway_to(echo) as gateway, client_of(gateway) as client:
        await client.send(message)
        assert await client.recv() == message


@on_both_loops
async def test_bursts_keep_their_order_in_both_directions() -> None:
    async with gateway_to(echo) as gateway, client_of(gateway) as client:

        async def send_all() -> None:
            for number in range(3000):
                await client.send(str(number))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_all())
            for number in range(3000):
                assert await client.recv() == str(number)


@on_both_loops
async def test_a_greeting_in_the_segment_of_the_handshake_answer_is_not_lost() -> None:
    async with (
        raw_upstream(lambda end: end.ended(), greeting=text_frame("welcome") + text_frame("again")) as url,
        gateway_to(url) as gateway,
        client_of(gateway) as client,
    ):
        assert await client.recv() == "welcome"
        assert await client.recv() == "again"


@on_both_loops
async def test_what_the_client_sent_behind_its_request_is_not_lost() -> None:
    async with gateway_to(echo) as gateway, raw_client(gateway, then=masked(TEXT, b"early")) as client:
        assert await client.frame() == (0x81, b"early")


@on_both_loops
async def test_deflate_is_negotiated_end_to_end_and_crosses_compressed() -> None:
    from websockets.asyncio.server import serve

    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with (
            gateway_to(f"ws://127.0.0.1:{port}") as gateway,
            client_of(gateway, compression="deflate") as client,
        ):
            assert client.protocol.extensions
            await client.send("x" * 10_000)
            assert await client.recv() == "x" * 10_000
            (await gateway.joined.get()).look(0.0)
            assert gateway.counters.bytes_in < 1000


def test_what_either_end_sends_arrives_as_it_is_fragments_included() -> None:
    said = masked(TEXT, b"one", fin=False) + masked(CONT, b"", fin=False) + masked(CONT, b"two")
    answered = encode_frame(TEXT, b"a", fin=False) + encode_frame(CONT, b"bc")
    with Dialogue() as link:
        link.client.says(said)
        link.service.says(answered)
        assert link.service.written == said
        assert link.client.written == answered


def test_frames_cut_anywhere_by_the_network_arrive_as_they_were() -> None:
    stream = masked(TEXT, b"one") + masked(TEXT, b"two" * 50, fin=False) + masked(CONT, b"end")
    with Dialogue() as link:
        link.client.says(*(bytes([byte]) for byte in stream))
        link.wait()
        assert link.service.written == stream


def test_counters_count_messages_and_payload_bytes_and_events() -> None:
    with Dialogue() as link:
        link.client.says(masked(TEXT, b"hello"))
        link.service.says(text_frame("hello"))
        link.inject("event")
    counters = link.counters
    assert (counters.messages_in, counters.bytes_in) == (1, 5)
    assert (counters.messages_out, counters.bytes_out) == (2, 10)
    assert counters.last_activity > 0


def test_events_that_come_together_share_a_write() -> None:
    with Dialogue() as link:
        link.inject("one", "two", "three")
        link.client.hears(text_frame("one"), text_frame("two"), text_frame("three"))
        assert link.client.writes == 1
    assert (link.counters.messages_out, link.counters.bytes_out) == (3, len("onetwothree"))


def test_an_event_waits_for_the_end_of_the_message_under_way() -> None:
    one, two, three = (
        encode_frame(TEXT, b"1", fin=False),
        encode_frame(CONT, b"2", fin=False),
        encode_frame(CONT, b"3"),
    )
    with Dialogue() as link:
        link.service.says(one)
        link.inject("event")
        link.inject("second")
        link.service.says(two)
        link.client.says(masked(TEXT, b"go on"))
        link.client.hears(one, two)
        assert link.splice.buffered_bytes == len("event" + "second")
        link.service.says(three + text_frame("next"), one)
        link.client.hears(three, text_frame("next"), text_frame("event"), text_frame("second"), one)


def test_an_event_comes_at_once_between_two_messages_and_before_the_rest_of_what_is_read() -> None:
    begun = encode_frame(TEXT, b"begun", fin=False)
    with Dialogue() as link:
        link.inject("first")
        link.client.hears(text_frame("first"))
        link.service.says(begun)
        link.inject("second")
        link.service.says(encode_frame(CONT, b"end") + begun)
        link.client.hears(begun, encode_frame(CONT, b"end"), text_frame("second"), begun)

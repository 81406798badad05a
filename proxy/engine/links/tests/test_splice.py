"""What crosses a splice: content, order, size; events between messages; nothing is lost on the way in."""

from __future__ import annotations

import asyncio

from proxy.core.events import Event
from proxy.core.wire.framing import text_frame
from proxy.core.wire.headers import CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
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
async def test_fragments_arrive_as_fragments() -> None:
    received = asyncio.Queue[list[str]]()

    async def upstream(connection) -> None:  # type: ignore[no-untyped-def]
        received.put_nowait([part async for part in connection.recv_streaming()])
        await connection.send(["a", "", "bc"])
        await connection.wait_closed()

    async with gateway_to(upstream) as gateway, client_of(gateway) as client:
        await client.send(["one", "", "two"])
        assert "".join(await received.get()) == "onetwo"
        assert [part async for part in client.recv_streaming()] == ["a", "", "bc", ""]


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
async def test_frames_cut_anywhere_by_the_network_arrive_whole() -> None:
    stream = masked(TEXT, b"one") + masked(TEXT, b"two" * 50, fin=False) + masked(CONT, b"end")
    async with gateway_to(echo) as gateway, raw_client(gateway) as client:
        for byte in stream:
            await client.send(bytes([byte]))
        assert await client.frame() == (0x81, b"one")
        assert await client.frame() == (0x81, b"two" * 50 + b"end")


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


@on_both_loops
async def test_counters_count_messages_and_payload_bytes_and_events() -> None:
    async with gateway_to(echo) as gateway:
        async with client_of(gateway) as client:
            splice = await gateway.joined.get()
            await client.send("hello")
            await client.recv()
            splice.inject(Event("everyone", "event"))
            await client.recv()
        await gateway.end_of(splice)
    counters = gateway.counters
    assert (counters.messages_in, counters.bytes_in) == (1, 5)
    assert (counters.messages_out, counters.bytes_out) == (2, 10)
    assert counters.last_activity > 0


@on_both_loops
async def test_an_event_waits_for_the_end_of_the_message_under_way() -> None:
    proceed = asyncio.Event()

    async def upstream(end) -> None:  # type: ignore[no-untyped-def]
        await end.send(encode_frame(TEXT, b"one", fin=False))
        await proceed.wait()
        await end.send(encode_frame(CONT, b"two", fin=False))
        await end.frame()
        await end.send(encode_frame(CONT, b"three"))
        await end.ended()

    async with raw_upstream(upstream) as url, gateway_to(url) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        assert await client.frame() == (0x01, b"one")
        splice.inject(Event("everyone", "event"))
        splice.inject(Event("everyone", "second"))
        proceed.set()
        assert await client.frame() == (0x00, b"two")
        await client.send(masked(TEXT, b"go on"))
        frames = [await client.frame() for _ in range(3)]
        assert frames == [(0x80, b"three"), (0x81, b"event"), (0x81, b"second")]


@on_both_loops
async def test_events_never_cut_a_message_under_a_storm_of_fragments() -> None:
    messages, events = 200, 200

    async def upstream(connection) -> None:  # type: ignore[no-untyped-def]
        for number in range(messages):
            await connection.send([f"{number}:", "a" * 1000, "b" * (number * 7), ""])
        await connection.wait_closed()

    async with gateway_to(upstream) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()

        async def inject_all() -> None:
            for number in range(events):
                splice.inject(Event("everyone", f"event {number}"))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(inject_all())
            received = [str(await client.recv()) for _ in range(messages + events)]
    assert [text for text in received if text.startswith("event")] == [f"event {n}" for n in range(events)]
    rest = [text for text in received if not text.startswith("event")]
    assert rest == [f"{n}:" + "a" * 1000 + "b" * (n * 7) for n in range(messages)]

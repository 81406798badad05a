"""What a spliced client is told before its link ends for good: after all that came, in no message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.farewells import Farewell, last_words
from proxy.core.limits import LinkLimits
from proxy.core.wire.framing import close_frame, text_frame
from proxy.core.wire.headers import CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.splice import Splice
from proxy.engine.links.tests.splicing import (
    RawEnd,
    gateway_to,
    on_both_loops,
    raw_client,
    raw_upstream,
    until,
)


def farewell(close: Close) -> Iterable[str]:
    return f"ended with {close.code}", "bye"


WORDS = [(0x81, b"ended with 4001"), (0x81, b"bye")]
KICK = (0x88, b"\x0f\xa1kicked by staff")
REST = encode_frame(CONT, b"and the rest")


@asynccontextmanager
async def linked(*sent: bytes) -> AsyncIterator[tuple[Splice, RawEnd, RawEnd]]:
    """A link, its service and its client; the client has read the frames that the service has `sent`."""
    services: asyncio.Queue[RawEnd] = asyncio.Queue()

    async def conversation(service: RawEnd) -> None:
        services.put_nowait(service)
        await service.ended()

    quick = LinkLimits(close_timeout_seconds=0.5)
    async with (
        raw_upstream(conversation) as url,
        gateway_to(url, limits=quick, farewell=farewell) as gateway,
        raw_client(gateway) as client,
    ):
        service = await services.get()
        for frame in sent:
            await service.send(frame)
            assert (await client.frame())[1] == frame[2:]
        yield await gateway.joined.get(), service, client


@on_both_loops
async def test_they_follow_all_that_came_and_go_before_the_close() -> None:
    async with linked(text_frame("hello")) as (splice, _, client):
        splice.inject(Event("user:1", "an event"))
        splice.end(closes.KICKED, ClosedBy.STAFF)
        assert [await client.frame() for _ in range(4)] == [(0x81, b"an event"), *WORDS, KICK]


@on_both_loops
async def test_they_follow_the_frame_under_way_where_a_message_ends_with_it() -> None:
    async with linked(text_frame("hello"), encode_frame(TEXT, b"one", fin=False)) as (
        splice,
        service,
        client,
    ):
        await service.send(REST[:5])
        await until(lambda: not splice.up.scanner.between_frames)
        splice.end(closes.KICKED, ClosedBy.STAFF)
        assert splice.up.shut  # the service is told now
        await service.send(
            REST[5:] + close_frame(4001)
        )  # as a library answers a close: no more than it had begun
        assert [await client.frame() for _ in range(4)] == [(0x80, b"and the rest"), *WORDS, KICK]


@on_both_loops
async def test_between_the_frames_of_a_message_there_are_none() -> None:
    """It is not waited for: a service that is told of the close leaves it unfinished."""
    async with linked(text_frame("hello"), encode_frame(TEXT, b"one", fin=False)) as (splice, _, client):
        splice.end(closes.KICKED, ClosedBy.STAFF)
        assert await client.frame() == KICK


@on_both_loops
async def test_there_are_none_before_the_service_has_spoken() -> None:
    async with linked() as (splice, _, client):
        splice.inject(Event("user:1", "an event"))
        splice.end(closes.KICKED, ClosedBy.STAFF)
        assert [await client.frame() for _ in range(2)] == [(0x81, b"an event"), KICK]


@on_both_loops
async def test_a_client_that_breaks_the_rules_hears_them_too() -> None:
    async with linked(text_frame("hello")) as (_, _, client):
        await client.send(encode_frame(TEXT, b"not masked"))
        assert [await client.frame() for _ in range(2)] == [(0x81, b"ended with 1002"), (0x81, b"bye")]
        assert (await client.frame())[1][:2] == b"\x03\xea"


@pytest.mark.parametrize("code", [1001, 1011, 4008, 4010, 4013])
def test_who_may_come_back_hears_none(code: int) -> None:
    assert last_words(farewell, Close(code), ClosedBy.GATEWAY) == ()


def test_what_a_service_closes_with_is_its_own() -> None:
    assert last_words(farewell, closes.KICKED, ClosedBy.UPSTREAM) == ()


def broken(_: Close) -> Iterable[str]:
    yield "one"
    raise RuntimeError


def of_bytes(_: Close) -> Iterable[str]:
    yield b"one"  # type: ignore[misc]


def of_no_text(_: Close) -> Iterable[str]:
    yield "\ud800"


@pytest.mark.parametrize("hook", [broken, of_bytes, of_no_text])
def test_a_farewell_that_fails_or_cannot_be_sent_holds_no_close_up(
    hook: Farewell, caplog: pytest.LogCaptureFixture
) -> None:
    assert last_words(hook, closes.KICKED, ClosedBy.STAFF) == ()
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == ["farewell"]

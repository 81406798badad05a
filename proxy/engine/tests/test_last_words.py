"""What a spliced client is told before its link ends for good: after all that came, in no message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.farewells import last_words
from proxy.core.framing import close_frame, encode_frame, text_frame
from proxy.core.headers import BINARY, CONT, TEXT
from proxy.core.limits import LinkLimits
from proxy.engine.splice import Splice
from proxy.engine.tests.splicing import RawEnd, gateway_to, on_both_loops, raw_client, raw_upstream


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
async def test_they_wait_for_the_end_of_a_message_in_fragments() -> None:
    async with linked(text_frame("hello"), encode_frame(TEXT, b"one", fin=False)) as (
        splice,
        service,
        client,
    ):
        splice.end(closes.KICKED, ClosedBy.STAFF)
        await service.send(encode_frame(CONT, b"two", fin=False))
        assert await client.frame() == (0x00, b"two")
        await service.send(REST[:3])
        await service.send(REST[3:])
        assert [await client.frame() for _ in range(4)] == [(0x80, b"and the rest"), *WORDS, KICK]


@pytest.mark.parametrize("loss", ["close", "loss", "silence"])
@on_both_loops
async def test_a_message_that_will_not_be_whole_is_followed_by_the_bare_close(loss: str) -> None:
    async with linked(text_frame("hello"), encode_frame(BINARY, b"one", fin=False)) as (
        splice,
        service,
        client,
    ):
        splice.end(closes.KICKED, ClosedBy.STAFF)
        if loss == "close":
            await service.send(close_frame(1000))
        elif loss == "loss":
            service.close()
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


def test_a_farewell_that_raises_holds_no_close_up(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Close) -> Iterable[str]:
        yield "one"
        raise RuntimeError

    assert last_words(broken, closes.KICKED, ClosedBy.STAFF) == ()
    assert [record.hook for record in caplog.records if hasattr(record, "hook")] == ["farewell"]

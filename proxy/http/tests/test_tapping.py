"""The stream of a tap: for whoever began it, as long as the session may, to the end that was told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone

from proxy.cluster.questions import LayerAway
from proxy.cluster.scrolls import BEGINNING
from proxy.cluster.tap_readers import MOST_STREAMS, MOST_TAPS_READ
from proxy.cluster.taps import end_row, scroll_of
from proxy.http import tapping
from proxy.http.event_answers import HELLO, LOGGED_OUT
from proxy.http.tapping import AWAY, BEAT
from proxy.http.tests.test_live import ENDS, log_in
from proxy.models import Tap
from proxy.node import GatewayNode
from proxy.tables.staff import WatchedTap, watched_tap

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def node() -> AsyncIterator[GatewayNode]:
    """One that was never started: nobody hears that somebody looks on."""
    node = GatewayNode()
    yield node
    await node.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapping, "GO_ON_SECONDS", 0.05)
    monkeypatch.setattr(tapping, "AWAY_SECONDS", 0.01)


def made(*, seconds: float = 60) -> tuple[str, str]:
    """The session of who has begun a tap, and that tap."""
    session_key, ada = log_in(), User.objects.get()
    ada.user_permissions.add(Permission.objects.get(codename="tap_connection"))
    until = timezone.now() + timedelta(seconds=seconds)
    return session_key, str(Tap.objects.create(connection_id="a", by=ada, until=until).pk)


async def stream(node: GatewayNode, session_key: str, tap_id: str, **at: str) -> AsyncIterator[bytes]:
    tap = await node.database.run(watched_tap, session_key, tap_id)
    assert tap is not None
    async for told in tapping._events(node, session_key, tap_id, tap, at.get("position", BEGINNING)):
        yield told


async def tell(tap_id: str, **values: Any) -> None:
    text = json.dumps({"lines": [], "left_out": 0, "ended": None, **values})
    await get_channel_layer().store.append(scroll_of(tap_id), text, most=10, seconds=60)


async def test_it_tells_what_comes_up_to_the_end_and_again_from_where_a_page_was(node: GatewayNode) -> None:
    session_key, tap_id = await node.database.run(made)
    told = stream(node, session_key, tap_id)
    async with asyncio.timeout(20):
        assert [await anext(told), await anext(told)] == [HELLO, BEAT]
        await tell(tap_id, left_out=1)
        await tell(tap_id, left_out=2)
        await tell(tap_id, ended="it was stopped")
        events = [each async for each in told if each != BEAT]
        assert [json.loads(each.split(b"data: ")[1])["left_out"] for each in events] == [1, 2, 0]
        position = events[0].decode().splitlines()[0].removeprefix("id: ")
        again = [each async for each in stream(node, session_key, tap_id, position=position)]
    assert again == [HELLO, *events[1:]]


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_it_ends_soon_after_its_session(node: GatewayNode, end: Any) -> None:
    session_key, tap_id = await node.database.run(made)
    told = stream(node, session_key, tap_id)
    async with asyncio.timeout(20):
        assert await anext(told) == HELLO
        await node.database.run(lambda: end() and None)
        rest = [each async for each in told]
    assert rest[-1] == LOGGED_OUT


async def test_what_another_has_begun_is_nobody_elses(node: GatewayNode) -> None:
    session_key, tap_id = await node.database.run(made)

    def give_away() -> None:
        Tap.objects.update(by=User.objects.create_user("bob"))

    assert await node.database.run(watched_tap, session_key, tap_id) is not None
    assert await node.database.run(watched_tap, session_key, "none") is None
    await node.database.run(give_away)
    assert await node.database.run(watched_tap, session_key, tap_id) is None


async def test_a_tap_whose_node_is_gone_is_over_once_its_time_is(node: GatewayNode) -> None:
    session_key, tap_id = await node.database.run(lambda: made(seconds=-60))
    async with asyncio.timeout(20):
        told = [each async for each in stream(node, session_key, tap_id)]
    assert b'"ended": "its time is over"' in told[-1]


async def test_a_tap_that_was_stopped_and_has_not_heard_of_it_is_seen_no_more(
    node: GatewayNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tapping, "LATE_SECONDS", 0.0)
    goes_on: list[str] = []

    async def go_on(tap_id: str, _: str) -> None:
        goes_on.append(tap_id)

    monkeypatch.setattr(tapping, "go_on", go_on)
    session_key, tap_id = await node.database.run(made)

    async def talk() -> None:
        while True:
            await tell(tap_id, left_out=1)
            await asyncio.sleep(0)

    async with asyncio.timeout(20):
        talking = asyncio.create_task(talk())
        told = stream(node, session_key, tap_id)
        assert b'"left_out": 1' in [await anext(told) for _ in range(9)][-1]
        await node.database.run(end_row, tap_id)
        rest = [each async for each in told]
        talking.cancel()
    assert b'"ended": "its time is over"' in rest[-1]
    before = len(goes_on)
    again = [each async for each in stream(node, session_key, tap_id)]
    assert b'"ended": "its time is over"' in again[-1]
    assert len(goes_on) == before


async def test_how_a_tap_ended_is_told_afterwards_too(node: GatewayNode) -> None:
    session_key, tap_id = await node.database.run(lambda: made(seconds=-60))
    await tell(tap_id, ended="it was stopped by bob")
    async with asyncio.timeout(20):
        told = [each async for each in stream(node, session_key, tap_id)]
    assert b'"ended": "it was stopped by bob"' in told[-1]


@pytest.mark.parametrize("others", [[""] * MOST_STREAMS, [f"t{number}" for number in range(MOST_TAPS_READ)]])
async def test_pages_wait_out_an_outage_and_too_many_are_turned_away(
    node: GatewayNode, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise LayerAway("Redis is away")

    session_key, tap_id = await node.database.run(made)
    await tell(tap_id, ended="it was stopped")
    async with asyncio.timeout(20):
        with ExitStack() as reading:
            for other in others:
                reading.enter_context(node.taps.readers.reading(other or tap_id))
            assert [each async for each in stream(node, session_key, tap_id)] == [HELLO]
            monkeypatch.setattr(tapping, "running_node", lambda: asyncio.sleep(0, node))
            refused = await tapping.events(_asked(session_key), tap_id)
        assert (refused.status_code, refused["Retry-After"]) == (503, "5")
        told = stream(node, session_key, tap_id)
        with monkeypatch.context() as patched:
            patched.setattr(tapping, "go_on", away)
            assert [await anext(told), await anext(told), await anext(told)] == [HELLO, AWAY, AWAY]
        rest = [each async for each in told]
    assert b"it was stopped" in rest[-1]


def _asked(session_key: str) -> HttpRequest:
    request = RequestFactory().get("/")
    request.COOKIES["sessionid"] = session_key
    return request


async def test_while_the_database_is_away_nobody_can_log_out(
    node: GatewayNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise TimeoutError

    tap = WatchedTap("a", timezone.now())
    monkeypatch.setattr(node.database, "run", away)
    assert await tapping._looked_up(node, "s", "t", tap) == tap


async def test_no_page_holds_up_the_end_of_the_node_that_serves_it(
    node: GatewayNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tapping, "GO_ON_SECONDS", 60.0)
    session_key, tap_id = await node.database.run(made)
    told = stream(node, session_key, tap_id)
    async with asyncio.timeout(20):
        assert await anext(told) == HELLO
        await tell(tap_id, left_out=1)
        assert b"seen" in await anext(told)
        rest = asyncio.create_task(anext(told, None))
        while not node.taps.readers._waits:
            await asyncio.sleep(0)
        node.drains()
        assert await rest is None
        assert [each async for each in stream(node, session_key, tap_id)] == [HELLO], "none begins any more"


@pytest.mark.parametrize("where", ["go_on", "_looked_up"])
async def test_neither_an_outage_does(node: GatewayNode, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(*_: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    began = asyncio.Event()
    session_key, tap_id = await node.database.run(made)
    monkeypatch.setattr(tapping, where, hangs)
    told = stream(node, session_key, tap_id)
    reading = asyncio.create_task(_all_of(told))
    async with asyncio.timeout(20):
        await began.wait()
        node.taps.readers.end()
        assert (await reading)[0] == HELLO


async def test_a_page_hears_a_beat_however_seldom_its_session_is_looked_at(
    node: GatewayNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tapping, "GO_ON_SECONDS", 60.0)
    monkeypatch.setattr(tapping, "BEAT_SECONDS", 0.05)
    session_key, tap_id = await node.database.run(made)
    told = stream(node, session_key, tap_id)
    async with asyncio.timeout(20):
        assert [await anext(told) for _ in range(3)] == [HELLO, BEAT, BEAT]
    assert BEAT.startswith(b"event: "), "scripts see no comments"


async def _all_of(told: AsyncIterator[bytes]) -> list[bytes]:
    return [each async for each in told]

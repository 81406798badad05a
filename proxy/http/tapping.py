"""What goes over one link, for the page of whoever has tapped it: as Server-Sent Events while it happens.

As long as a page hears them, the node is told that somebody looks on.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from channels.layers import get_channel_layer
from django.db import Error
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from proxy.cluster.questions import LayerAway
from proxy.cluster.scrolls import BEGINNING, Entry
from proxy.cluster.store import Store
from proxy.cluster.tap_readers import NotReadHere, TapReaders
from proxy.cluster.tapping import go_on
from proxy.cluster.taps import scroll_of
from proxy.core.tapping import TapEnd
from proxy.http.event_answers import (
    HELLO,
    LOGGED_OUT,
    STREAM_HEADERS,
    answer,
    away,
    session_key_of,
)
from proxy.node import GatewayNode, running_node
from proxy.tables.staff import WatchedTap, watched_tap

# So often the node is told, and the session looked at.
GO_ON_SECONDS = 5.0
# A page that hears nothing for two of these says so: scripts see no comments, so it is an event.
BEAT_SECONDS = 2.0
BEAT = b'event: beat\ndata: {"lines":[],"left_out":null,"ended":null}\n\n'
# What a link's node tells cannot be heard: the page says that, and not that nothing crosses the link.
AWAY = b"event: away\ndata: {}\n\n"
AWAY_SECONDS = 1.0
# So long after its time, what a tap tells is heard no more, and its node is not told that anybody looks.
LATE_SECONDS = 5.0
_POSITION = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)


@require_GET
async def events(request: HttpRequest, tap_id: str) -> HttpResponseBase:
    """What the tap tells: from `after` or `Last-Event-ID` on, or from its beginning.

    403 for all but who has begun it; 503 where too many pages read already.
    """
    node, session_key = await running_node(), session_key_of(request)
    try:
        tap = await node.database.run(watched_tap, session_key, tap_id)
    except (Error, TimeoutError):
        return away("the database is away")
    if tap is None:
        return answer(403, "not_permitted", "A tap is for whoever has begun it, and may still.")
    if not node.taps.readers.has_room(tap_id):
        return away("too many pages read here, or this node stops")
    told = _events(node, session_key, tap_id, tap, _position_of(request))
    return StreamingHttpResponse(told, content_type="text/event-stream", headers=STREAM_HEADERS)


async def _events(
    node: GatewayNode, session_key: str, tap_id: str, tap: WatchedTap | None, position: str
) -> AsyncIterator[bytes]:
    readers = node.taps.readers
    yield HELLO
    try:
        with readers.reading(tap_id):
            while tap is not None:
                try:
                    async with aclosing(_round(readers, tap_id, tap, position)) as entries:
                        async for entry in entries:
                            position = entry.position if entry is not None else position
                            yield BEAT if entry is None else _event_of(entry)
                            if entry is not None and has_ended(entry.text):
                                return
                except LayerAway:
                    yield AWAY
                    await readers.wait(asyncio.sleep(AWAY_SECONDS))
                tap = await readers.wait(_looked_up(node, session_key, tap_id, tap))
            yield LOGGED_OUT
    except NotReadHere:
        return


async def _round(
    readers: TapReaders, tap_id: str, tap: WatchedTap, position: str
) -> AsyncGenerator[Entry | None]:
    """What comes in some seconds; None where nothing does. Raises NotReadHere and LayerAway."""
    store: Store = get_channel_layer().store
    if (timezone.now() - tap.until).total_seconds() > LATE_SECONDS:
        for entry in await readers.wait(store.read(scroll_of(tap_id), position, wait_seconds=0.05)):
            yield entry
        yield Entry(position, gone_text())  # it may have been stopped, and not have heard of it
        return
    clock = asyncio.get_running_loop().time
    until, is_first = clock() + GO_ON_SECONDS, True
    await readers.wait(go_on(tap_id, tap.connection_id))
    while is_first or clock() < until:
        is_first = False
        wait_seconds = max(0.05, min(BEAT_SECONDS, until - clock()))
        entries = await readers.wait(store.read(scroll_of(tap_id), position, wait_seconds=wait_seconds))
        for entry in entries:
            position = entry.position
            yield entry
        if not entries:
            yield None


def gone_text() -> str:
    """What is told in place of a tap that cannot tell any more: it was not seen how it ended."""
    return json.dumps({"lines": [], "left_out": None, "ended": TapEnd.TIME.value})


def has_ended(text: str) -> bool:
    """Whether that is the last that a tap has told."""
    return json.loads(text)["ended"] is not None


async def _looked_up(node: GatewayNode, session_key: str, tap_id: str, tap: WatchedTap) -> WatchedTap | None:
    """While the database is away, nobody can log out."""
    try:
        return await node.database.run(watched_tap, session_key, tap_id)
    except (Error, TimeoutError):
        return tap


def _event_of(entry: Entry) -> bytes:
    return f"id: {entry.position}\nevent: seen\ndata: {entry.text}\n\n".encode()


def _position_of(request: HttpRequest) -> str:
    said = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
    return said if _POSITION.fullmatch(said) else BEGINNING

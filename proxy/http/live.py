"""What all nodes do, for staff's pages: as Server-Sent Events while it happens, and as series for charts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from django.db import Error
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_GET

from proxy.cluster.live import Full, Listener
from proxy.core.series import SPANS
from proxy.http.event_answers import (
    HEARTBEAT,
    HELLO,
    LOGGED_OUT,
    STREAM_HEADERS,
    answer,
    away,
    session_key_of,
)
from proxy.node import GatewayNode, running_node
from proxy.tables.staff import may_see_connections, note_seen_by, seen_by_session

HEARTBEAT_SECONDS = 10.0
# Who has logged out, or may see this no more, hears nothing from then on, so much later at most.
CHECK_SECONDS = 30.0
_NOT_PERMITTED = (403, "not_permitted", "Log in as staff that may see connections.")


@require_GET
async def events(request: HttpRequest) -> HttpResponseBase:
    """Each second as it is told. A page that was cut off is first told what came behind the last that it
    heard of (`Last-Event-ID`, or `after` in the query), of a quarter of an hour at most.

    503 where too many listen already: they ask for series now and then.
    """
    node, session_key = await running_node(), session_key_of(request)
    if (refusal := await _refusal(node, session_key)) is not None:
        return refusal
    await node.figures.live.caught_up()
    if node.figures.live.is_full:
        return away("too many pages listen here, or this node stops")
    told = _events(node, session_key, _last_at(request))
    return StreamingHttpResponse(told, content_type="text/event-stream", headers=STREAM_HEADERS)


@require_GET
async def series(request: HttpRequest) -> HttpResponseBase:
    """The series of a span: `?span=15m`, `1h`, `24h` or `7d`."""
    node, span = await running_node(), request.GET.get("span", "15m")
    try:
        seen = await node.database.run(seen_by_session, session_key_of(request))
    except (Error, TimeoutError):
        return away("the database is away")
    if not seen[0]:
        return answer(*_NOT_PERMITTED)
    note_seen_by(request, seen)
    if span not in SPANS:
        return answer(400, "bad_request", f"span is one of {', '.join(SPANS)}")
    try:
        return JsonResponse(await node.figures.charts.series(span), headers={"Cache-Control": "no-store"})
    except (Error, TimeoutError):
        return away("the database is away")


async def _events(node: GatewayNode, session_key: str, last_at: int | None) -> AsyncIterator[bytes]:
    yield HELLO
    try:
        with node.figures.live.listening(last_at) as listener:
            async for told in _heard(listener):
                if told is None:
                    if not await _may_go_on(node, session_key):
                        yield LOGGED_OUT
                        return
                else:
                    yield told
    except Full:
        return


async def _heard(listener: Listener) -> AsyncIterator[bytes | None]:
    """What it hears, a heartbeat where there is nothing; None whenever the session is to be looked at."""
    clock = asyncio.get_running_loop().time
    check_at = clock() + CHECK_SECONDS
    while not listener.is_left_behind:
        patience = max(0.0, min(HEARTBEAT_SECONDS, check_at - clock()))
        yield await listener.events(within_seconds=patience) or HEARTBEAT
        if clock() >= check_at:
            yield None
            check_at = clock() + CHECK_SECONDS


async def _refusal(node: GatewayNode, session_key: str) -> JsonResponse | None:
    """Why who has that session is told nothing."""
    try:
        if await node.database.run(may_see_connections, session_key):
            return None
    except (Error, TimeoutError):
        return away("the database is away")
    return answer(*_NOT_PERMITTED)


async def _may_go_on(node: GatewayNode, session_key: str) -> bool:
    """While the database is away, nobody can log out."""
    try:
        return await node.database.run(may_see_connections, session_key)
    except (Error, TimeoutError):
        return True


def _last_at(request: HttpRequest) -> int | None:
    told = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 12 else None

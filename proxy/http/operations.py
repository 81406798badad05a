"""What operators, their probes and scrapers ask over HTTP, answered in front of Django.

A kubelet and a scraper ask by address, and Django would refuse their Host. And an answer that is needed most
when something fails should not depend on each of its middlewares.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST

from proxy.core.errors import READ_ONLY, AuthenticationFailed, BadRequest
from proxy.http.exposition import Exposition
from proxy.http.readiness import Readiness
from proxy.node import running_node
from proxy.socket.middleware import Application, Receive, Scope, Send, header_values

_UNHEALTHY_LAG_SECONDS = 5.0
_exposition = Exposition()
_readiness_of = lru_cache(Readiness)


class Answer(NamedTuple):
    """A whole HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"


def _told(status: int, **parts: object) -> Answer:
    return Answer(status, json.dumps(parts).encode())


async def health(_: Scope) -> Answer:
    """Is the process alive, and how late is its event loop? 503 when the loop is seconds late."""
    node = await running_node()
    lag_seconds = node.lag.seconds
    alive = lag_seconds < _UNHEALTHY_LAG_SECONDS
    lag_ms = round(lag_seconds * 1000, 1)
    return _told(200 if alive else 503, alive=alive, node=node.node_id, loop_lag_ms=lag_ms)


async def ready(_: Scope) -> Answer:
    """Should clients be sent here? 503 when they should not; the body tells of each part."""
    parts = await _readiness_of(await running_node()).parts()
    return _told(200 if parts["ready"] else 503, **parts)


async def prometheus(scope: Scope) -> Answer:
    """All metrics, of all workers. With METRICS_TOKEN set, only to who sends it as a bearer token."""
    expected = settings.METRICS_TOKEN
    given = next(header_values(scope, b"authorization"), "")
    if expected and not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        message = "METRICS_TOKEN is needed as a bearer token."
        return _told(401, code=AuthenticationFailed.code, message=message)
    return Answer(200, _exposition.text(time.monotonic()), CONTENT_TYPE_LATEST)


PATHS: dict[str, Callable[[Scope], Awaitable[Answer]]] = {
    "/health": health,
    "/ready": ready,
    "/metrics": prometheus,
}


class Operations:
    """Answers the three paths, whatever the Host; every other one is `app`'s."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = PATHS.get(scope["path"])
        if asked is None:
            await self._app(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            await _send(send, _told(405, code=BadRequest.code, message=READ_ONLY))
        else:
            await _send(send, await asked(scope), is_head=scope["method"] == "HEAD")


async def _send(send: Send, answer: Answer, *, is_head: bool = False) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.body})

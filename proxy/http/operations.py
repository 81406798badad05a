"""What operators, their probes and scrapers ask over HTTP, answered in front of Django.

A kubelet and a scraper ask by address, and Django would refuse their Host. And an answer that is needed most
when something fails should not depend on each of its middlewares.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from django.conf import settings

from proxy.core.errors import READ_ONLY, BadRequest
from proxy.http.exposition import CONTENT_TYPE, Exposition
from proxy.http.readiness import Readiness
from proxy.node import GatewayNode, running_node
from proxy.socket.middleware import Application, Receive, Scope, Send, header_values

_UNHEALTHY_LAG_SECONDS = 5.0
_exposition = Exposition()
_readiness: WeakKeyDictionary[GatewayNode, Readiness] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole HTTP response."""

    status: int
    content_type: str
    body: bytes

    @classmethod
    def of_parts(cls, parts: Mapping[str, object], *, status: int) -> Answer:
        return cls(status=status, content_type="application/json", body=json.dumps(parts).encode())


async def health(_: Scope) -> Answer:
    """Is the process alive, and how late is its event loop? 503 when the loop is seconds late."""
    node = await running_node()
    lag_seconds = node.lag.seconds
    alive = lag_seconds < _UNHEALTHY_LAG_SECONDS
    parts = {"alive": alive, "node": node.node_id, "loop_lag_ms": round(lag_seconds * 1000, 1)}
    return Answer.of_parts(parts, status=200 if alive else 503)


async def ready(_: Scope) -> Answer:
    """Should clients be sent here? 503 when they should not; the body tells of each part."""
    node = await running_node()
    if node not in _readiness:
        _readiness[node] = Readiness(node)
    parts = await _readiness[node].parts()
    return Answer.of_parts(parts, status=200 if parts["ready"] else 503)


async def prometheus(scope: Scope) -> Answer:
    """All metrics, of all workers. With METRICS_TOKEN set, only to who sends it as a bearer token."""
    expected = settings.METRICS_TOKEN
    given = next(header_values(scope, b"authorization"), "")
    if expected and not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        told = {"code": "authentication_failed", "message": "METRICS_TOKEN is needed as a bearer token."}
        return Answer.of_parts(told, status=401)
    return Answer(status=200, content_type=CONTENT_TYPE, body=_exposition.text(time.monotonic()))


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
            told = {"code": BadRequest.code, "message": READ_ONLY}
            await _send(send, Answer.of_parts(told, status=405), allow=b"GET, HEAD")
        else:
            await _send(send, await asked(scope), is_head=scope["method"] == "HEAD")


async def _send(send: Send, answer: Answer, *, allow: bytes | None = None, is_head: bool = False) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if allow is not None:
        headers.append((b"allow", allow))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.body})

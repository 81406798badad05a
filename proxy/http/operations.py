"""What operators, their probes and scrapers ask over HTTP, answered in front of Django.

A kubelet and a scraper ask by address, and Django would refuse their Host. And an answer that is needed most
when something fails should not depend on each of its middlewares.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST

from proxy.core.errors import READ_ONLY, AuthenticationFailed, BadRequest
from proxy.http.exposition import Exposition
from proxy.socket.middleware import Application, Receive, Scope, Send, header_values

_exposition = Exposition()


class Answer(NamedTuple):
    """A whole HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"

    @classmethod
    def of(cls, status: int, /, **parts: object) -> Answer:
        """One that says `parts`, as JSON."""
        return cls(status, json.dumps(parts).encode())

    async def send(self, send: Send, *, is_head: bool = False) -> None:
        headers = [
            (b"content-type", self.content_type.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if self.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if is_head else self.body})


Paths = Mapping[str, Callable[[Scope], Awaitable[Answer]]]


async def prometheus(scope: Scope) -> Answer:
    """All metrics of the process, and of all workers of a node. With METRICS_TOKEN set, only to who sends it
    as a bearer token."""
    expected = settings.METRICS_TOKEN
    given = next(header_values(scope, b"authorization"), "")
    if expected and not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        message = "METRICS_TOKEN is needed as a bearer token."
        return Answer.of(401, code=AuthenticationFailed.code, message=message)
    return Answer(200, _exposition.text(time.monotonic()), CONTENT_TYPE_LATEST)


class FixedPaths:
    """Answers `paths`, whatever the Host; every other one is `app`'s."""

    def __init__(self, app: Application, paths: Paths) -> None:
        self._app, self._paths = app, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._paths.get(scope["path"])
        if asked is None:
            await self._app(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            await Answer.of(405, code=BadRequest.code, message=READ_ONLY).send(send)
        else:
            await (await asked(scope)).send(send, is_head=scope["method"] == "HEAD")

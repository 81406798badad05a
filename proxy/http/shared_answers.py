"""One answer, already encoded, for many of staff who ask the same again and again: in front of Django."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.conf import settings
from django.db import Error
from django.http import parse_cookie

from proxy.node import node_here
from proxy.socket.middleware import Application, Receive, Scope, Send, header_values
from proxy.tables.staff import SEEN_BY, Permitted

# What was dear to make is made less often: it is kept for so many times as long as that took.
TIMES_AS_LONG = 40
MOST_SECONDS = 2.5
# Who makes it is waited for so long. Until then the others get what there was, if it was new so lately.
MAKING_SECONDS = 2.0
# Of as many hosts, ranges and permissions. Beyond them all is forgotten, and made again.
MOST_KEPT = 64
MOST_BYTES, MOST_QUERY_BYTES = 1 << 20, 200

# Nothing of it is a secret that whoever asks could have guessed: it may be packed.
PACKING = 5
_OF_ONE_ANSWER = {b"content-length", b"etag", b"x-request-id"}
_NO_WEIGHT = re.compile(r"\s*q=0(\.0*)?\s*")

Headers = list[tuple[bytes, bytes]]
# Host, scheme, path and query; and which of `SEEN_ON_LIVE` who asks may.
_Key = tuple[tuple[str, ...], tuple[bool, ...]]


class Shared(NamedTuple):
    """A path whose answers are alike for all who may see the same: with that header (lower case), if any is
    named, and kept for at least so long."""

    header: bytes = b""
    least_seconds: float = 1.0


@dataclass(slots=True)
class Kept:
    """An answer of 200; `until` it is as new as it need be."""

    headers: Headers
    body: bytes
    packed: bytes
    etag: bytes
    until: float = 0.0

    async def send(self, send: Send, scope: Scope) -> None:
        """All of it, packed for who takes that; or 304 to who has it already."""
        if self.etag in _named(scope, b"if-none-match"):
            await self._send(send, scope, 304, b"")
        elif b"gzip" in _named(scope, b"accept-encoding"):
            await self._send(send, scope, 200, self.packed, (b"content-encoding", b"gzip"))
        else:
            await self._send(send, scope, 200, self.body)

    async def _send(
        self, send: Send, scope: Scope, status: int, body: bytes, *more: tuple[bytes, bytes]
    ) -> None:
        of_one = [(b"etag", self.etag), (b"x-request-id", scope["request_id"].encode())]
        length = [(b"content-length", b"%d" % len(body))] if body else []
        headers = [*self.headers, *of_one, *length, *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Making(NamedTuple):
    """Somebody makes an answer: until then, or until that is done."""

    until: float
    done: asyncio.Future[None]


class SharedAnswers:
    """Answers `paths` for staff's sessions from what `app` answered another; whatever else is `app`'s.

    An answer depends on host, scheme, path, query and permissions, and on nothing else: it is kept for those
    permissions by which `app` says to have made it (`SEEN_BY`), or for nobody. Who is logged out or may not
    see the page, and who asks while the database is away, is `app`'s.
    """

    def __init__(
        self, app: Application, paths: Mapping[str, Shared], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._paths, self._clock = app, paths, clock
        self._kept: dict[_Key, Kept] = {}
        self._making: dict[_Key, _Making] = {}
        self._permitted = Permitted()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shared = self._paths.get(scope["path"])
        if shared is None or not _is_alike(scope, shared):
            return await self._app(scope, receive, send)
        permissions = await self._permissions(scope)
        if permissions is None:
            return await self._app(scope, receive, send)
        key = (_question(scope), permissions)
        kept = await self._new_enough(key)
        if kept is not None:
            return await kept.send(send, scope)
        making = _Making(self._clock() + MAKING_SECONDS, asyncio.get_running_loop().create_future())
        self._making[key] = making
        try:
            answer = await self._make(scope, receive, shared, permissions)
        finally:
            making.done.set_result(None)
            if self._making.get(key) is making:
                del self._making[key]
        return await answer(send, scope)

    async def _new_enough(self, key: _Key) -> Kept | None:
        """What there is, waiting for who makes it; None: nobody does."""
        give_up_at = self._clock() + MAKING_SECONDS
        while True:
            kept, making, now = self._kept.get(key), self._making.get(key), self._clock()
            if kept is not None and now < kept.until + (MAKING_SECONDS if making is not None else 0):
                return kept
            if making is None or now >= min(making.until, give_up_at):
                return None
            await asyncio.wait([making.done], timeout=making.until - now)

    async def _make(
        self, scope: Scope, receive: Receive, shared: Shared, permissions: tuple[bool, ...]
    ) -> Callable[[Send, Scope], Awaitable[None]]:
        """How to tell what `app` answers; kept for whom it may be told."""
        heard, began = _Heard(), self._clock()
        await self._app(scope, receive, heard.hear)
        made, seen_by = heard.kept(), scope.get(SEEN_BY)
        if seen_by != permissions:  # they have changed since they were asked for
            self._permitted.forget(_session_key(scope))
        if made is None or seen_by is None:
            return heard.pass_on
        took_seconds = self._clock() - began
        kept_seconds = max(shared.least_seconds, min(MOST_SECONDS, TIMES_AS_LONG * took_seconds))
        made.until = self._clock() + kept_seconds
        self._keep((_question(scope), seen_by), made)
        return made.send

    async def _permissions(self, scope: Scope) -> tuple[bool, ...] | None:
        node, session_key = node_here(), _session_key(scope)
        if node is None or not session_key:
            return None
        if (known := self._permitted.known(session_key)) is not None:
            return known
        try:
            return await node.database.run(self._permitted.asked, session_key)
        except (Error, TimeoutError):
            return None

    def _keep(self, key: _Key, made: Kept) -> None:
        if len(self._kept) >= MOST_KEPT and key not in self._kept:
            self._kept.clear()
        self._kept[key] = made


@dataclass(slots=True)
class _Heard:
    """What an application answers, as ASGI has it."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    async def hear(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    async def pass_on(self, send: Send, _: Scope) -> None:
        for message in self.messages:
            await send(message)

    def kept(self) -> Kept | None:
        """None of what is another's alone: no 200, or one that sets a cookie; nor of what is very long."""
        if not self.messages or self.messages[0].get("status") != 200:
            return None
        headers: Headers = list(self.messages[0].get("headers", ()))
        body = b"".join(message.get("body", b"") for message in self.messages[1:])
        if len(body) > MOST_BYTES or any(name.lower() == b"set-cookie" for name, _ in headers):
            return None
        # Weak: it stands for what is packed, too.
        etag = b'W/"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
        headers = [(name.lower(), value) for name, value in headers if name.lower() not in _OF_ONE_ANSWER]
        headers.append((b"vary", b"Accept-Encoding"))
        return Kept(headers, body, gzip.compress(body, compresslevel=PACKING, mtime=0), etag)


def _named(scope: Scope, header: bytes) -> set[bytes]:
    """What a header names, one by one, without what it weighs nothing (`gzip;q=0`)."""
    named = [each.partition(";") for each in ",".join(header_values(scope, header)).split(",")]
    return {name.strip().encode("latin-1") for name, _, weight in named if not _NO_WEIGHT.fullmatch(weight)}


def _is_alike(scope: Scope, shared: Shared) -> bool:
    """Whether the question is one that others ask, too."""
    named = {name for name, _ in scope["headers"]}
    is_asked_so = not shared.header or shared.header in named
    is_plain = scope["method"] == "GET" and b"origin" not in named
    return is_asked_so and is_plain and len(scope["query_string"]) < MOST_QUERY_BYTES


def _question(scope: Scope) -> tuple[str, ...]:
    host = next(header_values(scope, b"host"), "")
    return (host, scope.get("scheme", ""), scope["path"], scope["query_string"].decode("latin-1"))


def _session_key(scope: Scope) -> str:
    """As Django reads it."""
    cookies = parse_cookie("; ".join(header_values(scope, b"cookie")))
    return str(cookies.get(settings.SESSION_COOKIE_NAME, ""))

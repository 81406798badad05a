"""Tells a webhook what happens on this node: in order, in batches, signed, off the path of every link."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple, NoReturn

import aiohttp

from proxy import metrics
from proxy.core import webhooks
from proxy.core.records import ConnectionRecord
from proxy.core.refusal_records import RefusalRecord
from proxy.core.webhooks import Event, EventType, MemberChanges, PendingEvents
from proxy.engine.batch_writer import BatchWriter
from proxy.engine.pools.members import MemberState
from proxy.engine.pools.pool import Pool

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_DOWN = frozenset({MemberState.UNHEALTHY, MemberState.BROKEN})
# Answers to this very request, which no other try would change; who is not let in now may be later.
_REFUSED = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.GONE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


class Target(NamedTuple):
    """Whom to tell, the key to sign with, and of what."""

    url: str
    key: bytes
    types: Collection[str]


class NotTaken(Exception):
    """What was told did not arrive. str() says why, without the URL, which may hold a password."""


class Webhook(BatchWriter[Event]):
    """Tells `target`; `options` are the BatchWriter's. `node_id` stands in each request."""

    def __init__(
        self, target: Target, *, node_id: str, pending: PendingEvents | None = None, **options: Any
    ) -> None:
        self._target, self._node_id = target, node_id
        self._events = pending or PendingEvents()
        self._session: aiohttp.ClientSession | None = None
        super().__init__(
            self._events,
            self._tell,
            name="webhook",
            place="the webhook",
            dropped_total=metrics.child(metrics.WEBHOOK_EVENTS_TOTAL, "dropped"),
            **options,
        )

    def opened(self, record: ConnectionRecord) -> None:
        """Synchronous, O(1), never fails; as the others."""
        if EventType.OPENED in self._target.types:
            self._note(webhooks.opened(record))

    def closed(self, record: ConnectionRecord) -> None:
        if EventType.CLOSED in self._target.types:
            self._note(webhooks.closed(record))

    def refused(self, record: RefusalRecord) -> None:
        if EventType.REFUSED in self._target.types:
            self._note(webhooks.refused(record))

    def _note(self, event: Event) -> None:
        dropped_before = self._events.dropped
        self._events.note(event)
        self._dropped_total.inc(self._events.dropped - dropped_before)

    async def watch(self, pools: Callable[[], Iterable[Pool]]) -> NoReturn:
        """Look for members that go down or come back, until cancelled."""
        changes = MemberChanges()
        while True:
            members = ((pool.name, member) for pool in pools() for member in pool.all_members())
            down = [(pool, member.url) for pool, member in members if member.state in _DOWN]
            for kind, pool, url in changes.look(down):
                if kind in self._target.types:
                    self._note(_of_member(kind, pool, url))
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self, deadline_seconds: float) -> int:
        """As the BatchWriter's; the connections end, too."""
        try:
            return await super().close(deadline_seconds)
        finally:
            if self._session is not None:
                await self._session.close()

    async def _tell(self, events: Sequence[Event]) -> None:
        """Raises NotTaken: to be tried again."""
        body = webhooks.body_of(events, node_id=self._node_id)
        headers = webhooks.signed(body, self._target.key, message_id=events[0]["id"], at=int(time.time()))
        try:
            status = await self._post(body, headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotTaken(type(error).__name__) from None
        if status in _REFUSED:
            metrics.child(metrics.WEBHOOK_EVENTS_TOTAL, "refused").inc(len(events))
            log.error("webhook: refused, and given up", extra={"status": status, "events": len(events)})
        elif not 200 <= status < 300:
            raise NotTaken(f"answered {status}")
        else:
            metrics.child(metrics.WEBHOOK_EVENTS_TOTAL, "delivered").inc(len(events))

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS), cookie_jar=aiohttp.DummyCookieJar()
            )
        headers |= {"Content-Type": "application/json"}
        async with self._session.post(
            self._target.url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status


def _of_member(kind: EventType, pool: str, url: str) -> Event:
    return webhooks.event_of(kind, uuid.uuid4().hex, datetime.now(UTC), {"pool": pool, "member": url})

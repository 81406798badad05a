"""A node's side of taps: it is asked to look on at one of its links, and tells what it sees as it comes.

What it tells goes into a scroll of its own for each tap, bounded and gone soon: neither the node nor the link
waits for who reads it, slowly or not at all.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from django.db import Error
from django.utils import timezone

from proxy.cluster.asking import Answering
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import TAP, Signal
from proxy.cluster.store import Store
from proxy.cluster.tap_readers import TapReaders
from proxy.core.secrets_in_text import Secrets
from proxy.core.tapping import TAP_SECONDS, TapEnd
from proxy.core.wording import in_words
from proxy.engine.calls import wait_at_most
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link
from proxy.engine.links.tap import LinkTap
from proxy.models import Tap
from proxy.tables.executor import DatabaseExecutor

log = logging.getLogger(__name__)

MOST_TAPS = 4
TELL_SECONDS = 0.25
# All that a tap tells may stay, and so long behind the last.
_MOST_ENTRIES = round(TAP_SECONDS / TELL_SECONDS) + 100
_KEPT_SECONDS = 60
_LAST_SECONDS = 0.5


def scroll_of(tap_id: str) -> str:
    """Where a tap tells what it sees."""
    return f"gateway:tap:{tap_id}"


class Taps:
    """Those of one node's links, `links`. `run` tells what they see; `readers` are pages served here."""

    def __init__(
        self,
        links: Mapping[str, Link],
        answering: Answering,
        database: DatabaseExecutor,
        *,
        store: Store,
        secrets: Secrets,
        is_draining: Callable[[], bool],
    ) -> None:
        self._links, self._answering, self._database = links, answering, database
        self._store, self._secrets, self._is_draining = store, secrets, is_draining
        self._taps: dict[str, LinkTap] = {}  # by the link's id
        # Those that have ended, until that is told, and written.
        self._untold: set[LinkTap] = set()
        self._unwritten: set[LinkTap] = set()
        self._is_wanted = asyncio.Event()
        self.readers = TapReaders()

    def listen(self, hub: Hub) -> None:
        """Hear of taps from now on."""
        hub.receive(TAP, self._told)

    def closed(self, link: Link) -> None:
        """What has gone over it is still told."""
        tap = self._taps.get(link.id)
        if tap is not None:
            tap.end(TapEnd.LINK_CLOSED)

    def _told(self, signal: Signal, links: Sequence[Link]) -> None:
        here = [link for link in links if link.id in self._links]
        if not here:
            self._answering.answer(signal, "{}")
            return
        (link, *_), tap_id = here, str(signal["tap"])
        tap = self._taps.get(link.id)
        is_known = tap is not None and tap.id == tap_id
        what = signal["do"]
        if what == "begin":
            why = "" if is_known else self._begin(link, tap_id, signal)
            self._answering.answer(signal, json.dumps({"why": why} if why else {"tap": tap_id}))
        elif what == "stop":
            if tap is not None and is_known:
                tap.end(TapEnd.STOPPED, by=str(signal.get("by", "")))  # a node of before does not say
            self._answering.answer(signal, "{}")
        elif tap is not None and is_known:
            tap.looked_at()

    def _begin(self, link: Link, tap_id: str, signal: Signal) -> str:
        """Why it is not to be, or ""."""
        if link.id in self._taps:
            return "somebody looks at it already"
        if self._is_draining():
            return "its node drains"
        if len(self._taps) >= MOST_TAPS:
            return f"{MOST_TAPS} others are looked at on its node already"
        try:
            tap = LinkTap(tap_id, link, self._secrets, by=str(signal["by"]))
        except (TypeError, ValueError) as error:
            return str(error)
        self._taps[link.id] = tap
        self._is_wanted.set()
        log.info("tap began", extra={**_fields_of(tap), "reason": str(signal["reason"])})
        return ""

    async def run(self) -> NoReturn:
        """Tell what taps see, and end those whose time is over, until cancelled: neither Redis nor the
        database holds up an end."""
        try:
            async with asyncio.TaskGroup() as work:
                work.create_task(self._tell_forever(), name="taps:tell")
                while True:
                    if not self._taps:
                        self._is_wanted.clear()
                        await self._is_wanted.wait()
                    await asyncio.sleep(TELL_SECONDS)
                    for tap in self._take_ended():
                        work.create_task(self._write_end(tap), name="taps:end")
        finally:
            await wait_at_most(_LAST_SECONDS, self._end_all())

    async def _tell_forever(self) -> NoReturn:
        while True:
            if not (self._taps or self._untold):
                await self._is_wanted.wait()
            await asyncio.sleep(TELL_SECONDS)
            await self._tell_all()

    async def _end_all(self) -> None:
        """The node stops: put links back, tell and write what is not yet."""
        for tap in self._taps.values():
            tap.end(TapEnd.NODE_STOPS)
        self._take_ended()
        async with asyncio.TaskGroup() as last:
            last.create_task(self._tell_all(), name="taps:tell")
            for tap in tuple(self._unwritten):
                last.create_task(self._write_end(tap), name="taps:end")

    def _take_ended(self) -> list[LinkTap]:
        """End those that are due; those that have ended are looked at no more, and are still to be told."""
        ended = []
        for link_id, tap in tuple(self._taps.items()):
            due = TapEnd.NODE_STOPS if self._is_draining() else tap.due_end()
            if due is not None:
                tap.end(due)
            if tap.ended is not None:
                del self._taps[link_id]
                tap.close()
                self._log_end(tap)
                ended.append(tap)
        self._untold.update(ended)
        self._unwritten.update(ended)
        return ended

    async def _tell_all(self) -> None:
        for tap in (*self._taps.values(), *self._untold):
            await self._tell(tap)

    async def _tell(self, tap: LinkTap) -> None:
        if not tap.has_news:
            return
        lines, ended = tap.take_lines(), tap.end_in_words
        told = {"lines": lines, **tap.unseen, "ended": ended}
        text = json.dumps(told, separators=(",", ":"))
        kept_seconds = round(tap.left_seconds) + _KEPT_SECONDS
        try:
            await self._store.append(scroll_of(tap.id), text, most=_MOST_ENTRIES, seconds=kept_seconds)
        except LayerAway as error:
            tap.untold(lines)
            tap.looked_at()  # nor could anybody say that they look on
            log.warning("what a tap sees cannot be told", extra=_fields_of(tap) | {"why": in_words(error)})
        if ended is not None:
            self._untold.discard(tap)

    def _log_end(self, tap: LinkTap) -> None:
        assert tap.ended is not None  # noqa: S101  who calls has looked
        fields = {
            "why": tap.ended.value,
            "messages_shown": tap.shown,
            "messages_left_out": tap.left_out,
            "messages_dropped": tap.dropped,
            "messages_kept_back": tap.kept_back,
        }
        stopped = {"stopped_by": tap.stopped_by} if tap.stopped_by else {}
        log.info("tap ended", extra=_fields_of(tap) | fields | stopped)

    async def _write_end(self, tap: LinkTap) -> None:
        """Others of staff see that nobody looks any more; at the latest when its time is over."""
        try:
            await self._database.run(end_row, tap.id)
        except (Error, TimeoutError) as error:
            log.warning("the end of a tap was not written", extra=_fields_of(tap) | {"why": in_words(error)})
        self._unwritten.discard(tap)


def end_row(tap_id: str) -> None:
    """It is over now, unless it was before. Raises django.db.Error."""
    now = timezone.now()
    Tap.objects.filter(pk=tap_id, until__gt=now).update(until=now)


def _fields_of(tap: LinkTap) -> dict[str, Any]:
    """What log lines say of it."""
    return tap.link.log_fields | {"tap_id": tap.id, "by": tap.by}

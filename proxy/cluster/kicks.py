"""Ending links from outside, on whichever node holds them: from admin, from a shell, from Python.

A kick is a message to the nodes, and a row that each of them looks for (kick_watch.py): a node that Redis
does not reach, or that was away for a moment, ends its links all the same, and each says how many those were.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth.models import AbstractBaseUser
from django.db import Error, connection
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from proxy.cluster.memory_layer import MemoryChannelLayer
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import ALL_NODES, KICKS, Closing, Signal, send_to_topic
from proxy.core.closes import KICKED, ClosedBy, clip_reason
from proxy.core.human import counted
from proxy.core.topics import EVERYONE, connection_topic, group_name, user_topic
from proxy.models import Connection, Kick, KickReport
from proxy.tables.deeds import Details, a_shell, note_deed
from proxy.tables.heart import running_nodes
from proxy.tables.staff_notes import note_kick

log = logging.getLogger(__name__)

SEND_TIMEOUT_SECONDS = 2.0
# How long to wait for the nodes to say how many links they ended.
REPORT_SECONDS = 3.0
_POLL_SECONDS = 0.05
_CLOCKS_DIFFER_SECONDS = 1.0
_SENDS_AT_ONCE = 100
# How many ids a log line names.
MOST_LOGGED = 20


class KickNotSent(RuntimeError):
    """Neither Redis nor the database took it: nobody, or not everybody, was kicked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kicked:
    """What became of a kick. `ended` links, by what nodes said; None when nobody can say: the database is
    away, or the caller's transaction has yet to commit. `silent` nodes end theirs as soon as they can."""

    ended: int | None
    silent: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.ended is None:
            return "The nodes were told; how many links end is not known."
        ended = f"{self.ended} {'link' if self.ended == 1 else 'links'} ended."
        if not self.silent:
            return ended
        return f"{ended} No word yet from {', '.join(self.silent)}: links there end once it is reached."


def kick(
    *,
    user_ids: Iterable[str] = (),
    connection_ids: Iterable[str] = (),
    everyone: bool = False,
    reason: str = "",
    by: AbstractBaseUser | str | None = None,
    found_by: str = "",
) -> Kicked:
    """End the links of users, single links, or all, with 4001 and `reason` (clipped to 123 bytes).

    Waits up to three seconds for the nodes to say how many links they ended. `by` (None: a shell) stands in
    the log, and in the audit, with what found the links. For code that is not async.

    Raises:
        ValueError: nobody is named, or an id is no text.
        KickNotSent: neither Redis nor the database took it.
    """
    by = a_shell() if by is None else by
    whom = {"user_ids": _checked(user_ids), "connection_ids": _checked(connection_ids)}
    if everyone == any(whom.values()):
        raise ValueError("kick somebody (user_ids, connection_ids) or everyone: one of the two")
    reason = clip_reason(" ".join(reason.split()))
    row = Kick(id=uuid.uuid4().hex, everyone=everyone, reason=reason or KICKED.reason, **whom)
    log.info("kick", extra=fields_of(row) | {"by": str(by)})
    return _carry_out(row, _Wish(by, reason, found_by))


class _Wish(NamedTuple):
    """Who wants it, why, "" where nobody said so, and what found the links."""

    by: AbstractBaseUser | str
    reason: str
    found_by: str


def _checked(ids: Iterable[str]) -> list[str]:
    """Raises ValueError also for a text in place of a list: it would be taken for its letters."""
    if isinstance(ids, str):
        raise ValueError("ids come in a list or a set; a text would be taken for its letters")
    found = set(ids)
    for name in found:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"a user id or connection id is a text that is not empty, got {name!r}")
    return sorted(found)


def _carry_out(row: Kick, wish: _Wish) -> Kicked:
    began, is_connected = time.monotonic(), connection.connection is not None
    closing = Closing(close=KICKED.saying(row.reason), by=ClosedBy.STAFF, kick=row.id)
    is_taken = _tell([(topic, closing.signal()) for topic in _topics(row)])
    try:
        # As of when it was sent: who came back since was let in, and stays.
        row.created_at = Now() - timedelta(seconds=time.monotonic() - began)
        row.save(force_insert=True)
    except Error as error:
        if not (is_taken and _is_heard()):
            raise KickNotSent("neither Redis nor the database could be reached") from error
        log.warning("kick: not written down, the database is away", extra={"why": repr(error)})
        return Kicked(ended=None)
    if is_taken:
        _tell([(ALL_NODES, {"type": KICKS})])
    _note_by_user(row, wish, seconds_ago=time.monotonic() - began)
    _note_in_audit(row, wish, seconds_ago=time.monotonic() - began)
    try:
        return _reports(row.id, keeps_connection=is_connected)
    except Error as error:
        log.warning(
            "kick: nobody can say how many links end, the database is away", extra={"why": repr(error)}
        )
        return Kicked(ended=None)


def _topics(row: Kick) -> list[str]:
    """What the links listen to that are meant; nobody does to that of a link that is closed."""
    if row.everyone:
        return [EVERYONE]
    return sorted([*map(user_topic, row.user_ids), *map(connection_topic, row.connection_ids)])


def reaches_other_processes() -> bool:
    """False when the channel layer is in memory: only this very process hears what is sent."""
    return not isinstance(get_channel_layer(), MemoryChannelLayer)


def _is_heard() -> bool:
    """Whether nodes hear what the layer takes: in memory, one that is of this very process alone."""
    return reaches_other_processes() or bool(get_channel_layer().groups.get(group_name(ALL_NODES)))


def fields_of(kick: Any) -> dict[str, Any]:
    """What log lines say of a row, and whom it is for: of many ids the first, and how many there are."""
    fields: dict[str, Any] = {"kick_id": kick.id, "reason": kick.reason}
    if kick.everyone:
        return fields | {"everyone": True}
    for name in ("user_ids", "connection_ids"):
        ids = sorted(getattr(kick, name))
        if ids:
            fields[name] = ids[:MOST_LOGGED]
        if len(ids) > MOST_LOGGED:
            fields[f"{name}_in_all"] = len(ids)
    return fields


def _tell(signals: list[tuple[str, Signal]]) -> bool:
    """Whether the channel layer took them all, in time."""

    async def send() -> None:
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            for first in range(0, len(signals), _SENDS_AT_ONCE):
                some = signals[first : first + _SENDS_AT_ONCE]
                await asyncio.gather(*(send_to_topic(topic, signal) for topic, signal in some))

    try:
        async_to_sync(send)()
    except (LayerAway, TimeoutError) as error:
        log.warning("kick: not sent", extra={"why": repr(error)})
        return False
    return True


def _reports(kick_id: str, *, keeps_connection: bool) -> Kicked:
    """What the nodes say, once all that run have spoken, or time is up. Who came without a connection to the
    database keeps none while it waits: others are in want of them."""
    if connection.in_atomic_block:  # they see the row once it is committed
        return Kicked(ended=None)
    deadline = time.monotonic() + REPORT_SECONDS
    while True:
        running = {node.pk: str(node) for node in running_nodes()}
        reports = dict(KickReport.objects.filter(kick=kick_id).values_list("node_id", "links"))
        silent = sorted(running[node_id] for node_id in running.keys() - reports.keys())
        if not silent or time.monotonic() > deadline:
            return Kicked(ended=sum(reports.values()), silent=tuple(silent))
        if not keeps_connection:
            connection.close()
        time.sleep(_POLL_SECONDS)


def _note_by_user(row: Kick, wish: _Wish, *, seconds_ago: float) -> None:
    """Where the stories of its users are told, as of when it was sent: links ended later."""
    try:
        at = timezone.now() - timedelta(seconds=seconds_ago)
        note_kick(row, reason=wish.reason, by=wish.by, at=at)
    except Error as error:
        log.warning("kick: not noted by user, the database is away", extra={"why": repr(error)})


def _note_in_audit(row: Kick, wish: _Wish, *, seconds_ago: float) -> None:
    """One entry, which counts the links that were live when the kick was sent, and names the first.

    Asked for afterwards: nobody stays connected while a slow database looks. Node clocks may differ.
    """
    closed_since = Now() - timedelta(seconds=seconds_ago + _CLOCKS_DIFFER_SECONDS)
    opened_until = Now() - timedelta(seconds=seconds_ago - _CLOCKS_DIFFER_SECONDS)
    meant = Q() if row.everyone else Q(pk__in=row.connection_ids) | Q(user_id__in=row.user_ids)
    was_live = Q(closed_at=None) | Q(closed_at__gte=closed_since)
    try:
        links = Connection.objects.filter(meant, was_live, opened_at__lte=opened_until).order_by("pk")
        hit, some = links.count(), list(links[:MOST_LOGGED])
        named = ", ".join(link.pk for link in some) + (" and more" if hit > len(some) else "")
        found = f"; found by {wish.found_by}" if wish.found_by else ""
        why = wish.reason or "no reason given"
        said = f"Kicked {counted(hit, 'connection')}: {why} ({named or 'none'}{found})"
        object_id = row.connection_ids[0] if len(row.connection_ids) == 1 else ""
        details = Details(count=hit, reason=wish.reason, found_by=wish.found_by)
        note_deed(wish.by, Connection, said, about=_whom(row, some), object_id=object_id, details=details)
    except Error as error:
        log.warning("kick: not in the audit, the database is away", extra={"why": repr(error)})


def _whom(row: Kick, links: list[Connection]) -> str:
    """Whom a kick was for, as far as a line holds it."""
    if row.everyone:
        return "everyone"
    if row.user_ids:
        return ", ".join(row.user_ids)
    if len(row.connection_ids) == len(links) == 1:
        return f"{links[0].user_id or links[0].client_address} on {links[0].route} ({links[0].pk})"
    return counted(len(row.connection_ids), "connection")

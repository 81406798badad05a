"""Ending links from outside, on whichever node holds them: from admin, from a shell, from Python."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet

from proxy.core.closes import KICKED, ClosedBy, clip_reason
from proxy.core.topics import EVERYONE, check_topic, connection_topic, user_topic
from proxy.models import Connection
from proxy.publishing import CLOSE, send_to_topic

log = logging.getLogger(__name__)

SEND_TIMEOUT_SECONDS = 5.0
_SENDS_AT_ONCE = 100


class KickNotSent(RuntimeError):
    """The channel layer did not take the message: nobody, or not everybody, was kicked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Whose links to end. Raises ValueError when it names nobody, or both somebody and everyone."""

    user_ids: frozenset[str]
    connection_ids: frozenset[str]
    everyone: bool = False

    def __post_init__(self) -> None:
        if self.everyone == bool(self.user_ids or self.connection_ids):
            raise ValueError("kick somebody (user ids, connection ids) or everyone, not both and not nobody")
        for name in self.user_ids | self.connection_ids:
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"a user id or connection id is a text that is not empty, got {name!r}")

    def live(self) -> QuerySet[Connection]:
        """The records of the live links that are meant."""
        live = Connection.objects.filter(closed_at=None)
        if self.everyone:
            return live
        return live.filter(Q(pk__in=self.connection_ids) | Q(user_id__in=self.user_ids))

    def topics(self) -> list[str]:
        """What their links listen to. Links that the record has not seen yet are reached, closed ones not."""
        if self.everyone:
            return [EVERYONE]
        closed = Connection.objects.filter(pk__in=self.connection_ids).exclude(closed_at=None)
        open_ids = self.connection_ids - set(closed.values_list("pk", flat=True))
        topics = [user_topic(user_id) for user_id in self.user_ids]
        return sorted(check_topic(topic) for topic in [*topics, *map(connection_topic, open_ids)])


def kick(
    *,
    user_ids: Iterable[str] = (),
    connection_ids: Iterable[str] = (),
    everyone: bool = False,
    reason: str = "",
    by: AbstractBaseUser | None = None,
) -> int:
    """End the links of users, single links, or all, with 4001 and `reason` (clipped to 123 bytes).

    Answers how many live links the record knows of those. With `by`, each is noted in Django's admin log. For
    code that is not async; `kick_async` is its twin.

    Raises:
        ValueError: nobody is named, or an id is no text.
        KickNotSent: the channel layer is away.
    """
    selection = Selection(
        user_ids=frozenset(user_ids), connection_ids=frozenset(connection_ids), everyone=everyone
    )
    reason = clip_reason(" ".join(reason.split())) or KICKED.reason
    links = list(selection.live())
    async_to_sync(_send)(selection.topics(), reason)
    log.info("kick: %d live links, by %s: %s", len(links), by or "a shell", reason)
    if by is not None:
        _note_in_admin_log(links, by=by, reason=reason)
    return len(links)


kick_async = sync_to_async(kick)


def reaches_other_processes() -> bool:
    """False when the channel layer is in memory: only links of this very process can be kicked."""
    return type(get_channel_layer()).__name__ != "InMemoryChannelLayer"


async def _send(topics: list[str], reason: str) -> None:
    message = {
        "type": CLOSE,
        "code": KICKED.code,
        "reason": reason,
        "closed_by": ClosedBy.STAFF.value,
    }
    try:
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            for first in range(0, len(topics), _SENDS_AT_ONCE):
                some = topics[first : first + _SENDS_AT_ONCE]
                await asyncio.gather(*(send_to_topic(topic, message) for topic in some))
    except Exception as error:
        raise KickNotSent(f"the channel layer is away: {type(error).__name__}") from error


def _note_in_admin_log(links: list[Connection], *, by: Any, reason: str) -> None:
    kind = ContentType.objects.get_for_model(Connection)
    LogEntry.objects.bulk_create(
        [
            LogEntry(
                user_id=by.pk,
                content_type=kind,
                object_id=link.pk,
                object_repr=f"{link.user_id or link.client_address} on {link.route} ({link.pk})"[:200],
                action_flag=CHANGE,
                change_message=f"Kicked: {reason}",
            )
            for link in links
        ],
        batch_size=500,
    )

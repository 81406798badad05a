"""What was said, and a user's conversations, page by page: each a fixed number of queries on indexes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import DateTimeField, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.aggregates import Count
from django.db.models.functions import Coalesce, Greatest

from experience.chat.identities import message_id
from experience.chat.messages import StoredMessage
from experience.chat.models import Message, Participant
from experience.chat.refusals import NoSuchConversation

# An `unread` of this says "at least".
MOST_UNREAD = 100
# Beyond so many messages that a user has not read, older ones are not looked through.
_LOOKED_THROUGH = 1_000
# Of all conversations of a page together; it is cut where there are more.
MOST_PARTICIPANTS_A_PAGE = 5_000
_EPOCH = datetime.fromtimestamp(0, UTC)
_PLACE = re.compile(r"(\d{1,17})\.([A-Za-z0-9_-]{1,32})", re.ASCII)


class Place(NamedTuple):
    """Where a page of conversations ends: when something last happened in that one."""

    active_at: datetime
    conversation_id: str

    def __str__(self) -> str:
        return f"{(self.active_at - _EPOCH) // timedelta(microseconds=1)}.{self.conversation_id}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError for what is none."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError("this is no `next` of another page")
        return cls(_EPOCH + timedelta(microseconds=int(found[1])), found[2])


class _Counted(Subquery):
    """How many rows a bounded query finds."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


# --- Messages -----


def check_takes_part(user_id: str, conversation_id: str) -> None:
    """Raises NoSuchConversation."""
    if not Participant.objects.filter(user_id=user_id, conversation_id=conversation_id).exists():
        raise NoSuchConversation


def messages(
    conversation_id: str, *, before: int | None = None, after: int | None = None, limit: int
) -> tuple[list[StoredMessage], str | None]:
    """Up to `limit` messages in order, and the id to go on from; None: there are no more that way.

    Those next to the number `before`, or `after`; the latest where neither is given.
    """
    rows = Message.objects.filter(conversation_id=conversation_id)
    if after is not None:
        found = list(rows.filter(sequence__gt=after).order_by("sequence")[: limit + 1])
        page = found[:limit]
        last = page[-1:]
    else:
        older = rows if before is None else rows.filter(sequence__lt=before)
        found = list(older.order_by("-sequence")[: limit + 1])
        page = found[:limit][::-1]
        last = page[:1]
    told = [_told(row) for row in page]
    return told, message_id(conversation_id, last[0].sequence) if len(found) > limit else None


def _told(row: Message) -> StoredMessage:
    return StoredMessage(
        id=message_id(row.conversation_id, row.sequence),
        sender_id=row.sender_id,
        text=row.text,
        created_at=int(row.created_at.timestamp()),
    )


# --- Conversations -----


def conversation(user_id: str, conversation_id: str) -> dict[str, Any]:
    """One of the user's. Raises NoSuchConversation."""
    check_takes_part(user_id, conversation_id)
    found = _described(user_id, [conversation_id])
    if not found:
        raise NoSuchConversation
    return found[0]


def conversations(
    user_id: str, *, before: Place | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Those of the user in which something happened last come first; and where to go on."""
    found = list(_by_activity(user_id, before)[: limit + 1])
    page = _within_bounds([conversation_id for conversation_id, _ in found[:limit]])
    is_last = len(page) == len(found)
    told = _described(user_id, page)
    return told, None if is_last else str(Place(found[len(page) - 1][1], page[-1]))


def _by_activity(user_id: str, before: Place | None) -> QuerySet[Participant, tuple[str, datetime]]:
    """One look at an index for each of the user's conversations; they are sorted in memory."""
    last = _newest("created_at", DateTimeField())
    rows = Participant.objects.filter(user_id=user_id).annotate(
        active_at=Coalesce(last, F("conversation__created_at"))
    )
    if before is not None:
        earlier = Q(active_at__lt=before.active_at)
        rows = rows.filter(
            earlier | Q(active_at=before.active_at, conversation_id__lt=before.conversation_id)
        )
    return rows.order_by("-active_at", "-conversation_id").values_list("conversation_id", "active_at")


def _newest(field: str, kind: Any) -> Subquery:
    """That field of the last message of a participant's conversation."""
    rows = Message.objects.filter(conversation_id=OuterRef("conversation_id")).order_by("-sequence")
    return Subquery(rows.values(field)[:1], output_field=kind)


def _within_bounds(conversation_ids: Sequence[str]) -> list[str]:
    """The first of them, at least one, as long as they have not too many participants together."""
    of_page = Participant.objects.filter(conversation_id__in=conversation_ids).order_by()
    counts = dict(of_page.values_list("conversation_id").annotate(Count("pk")))
    left, kept = MOST_PARTICIPANTS_A_PAGE, list[str]()
    for each in conversation_ids:
        left -= counts.get(each, 0)
        if left < 0 and kept:
            break
        kept.append(each)
    return kept


def _described(user_id: str, conversation_ids: Sequence[str]) -> list[dict[str, Any]]:
    """What the user is told of them, in this order; without those that are gone meanwhile."""
    mine = {row.conversation_id: row for row in _with_unread(user_id, conversation_ids)}
    taking_part = _taking_part(conversation_ids)
    last = Message.objects.in_bulk([row.last_id for row in mine.values() if row.last_id is not None])
    return [
        {
            "id": each,
            "participants": sorted(taking_part.get(each, ())),
            "unread": min(mine[each].unread, MOST_UNREAD),
            "last_message": _fields(last.get(mine[each].last_id)),
            "read": {
                user: message_id(each, sequence)
                for user, sequence in sorted(taking_part.get(each, {}).items())
                if sequence
            },
        }
        for each in conversation_ids
        if each in mine
    ]


def _with_unread(user_id: str, conversation_ids: Iterable[str]) -> Any:
    """The user's own rows, with the last message's primary key and how many of others were not read."""
    newest = _newest("sequence", IntegerField())
    rows = Participant.objects.filter(user_id=user_id, conversation_id__in=conversation_ids).order_by()
    rows = rows.annotate(
        last_id=_newest("pk", IntegerField()),
        seen=Greatest(F("read_sequence"), Coalesce(newest, Value(0)) - Value(_LOOKED_THROUGH)),
    )
    unseen = Message.objects.filter(
        conversation_id=OuterRef("conversation_id"), sequence__gt=OuterRef("seen")
    ).exclude(sender_id=user_id)
    return rows.annotate(unread=_Counted(unseen.order_by("sequence").values("pk")[:MOST_UNREAD]))


def _taking_part(conversation_ids: Iterable[str]) -> dict[str, dict[str, int]]:
    """Who takes part in each, and how far that user has read."""
    rows = Participant.objects.filter(conversation_id__in=conversation_ids).order_by()
    found: dict[str, dict[str, int]] = {}
    for each, user_id, sequence in rows.values_list("conversation_id", "user_id", "read_sequence"):
        found.setdefault(each, {})[user_id] = sequence
    return found


def _fields(message: Message | None) -> dict[str, Any] | None:
    if message is None:
        return None
    told = _told(message)
    return {name: getattr(told, name) for name in told.__struct_fields__}

"""What the chat service writes and reads of its database. Plain functions, for a thread of the database's.

A message is one INSERT, which also finds its number. Where two services number at once, the database lets one
of them in, and the other's statement is made again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Exists, OuterRef, Q, Subquery

from experience.chat import outgoing
from experience.chat.identities import message_id
from experience.chat.models import Block, Conversation, Message, Participant
from proxy.api import Outgoing, sqlstate_of

log = logging.getLogger(__name__)

# Services that number the messages of one conversation at once; each may win before this one does.
MOST_ATTEMPTS = 100
# Users who send keys crosswise to several services lock these up, for a second each time.
MOST_TIMES_LOCKED_UP = 3
# How long each further conversation is waited for, once one was waited for in vain.
HELD_MILLISECONDS = 50
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"
_INSERT = """
INSERT INTO chat_message (conversation_id, sequence, sender_id, text, idempotency_key, created_at)
VALUES (
  %s, COALESCE((SELECT MAX(sequence) FROM chat_message WHERE conversation_id = %s), 0) + 1, %s, %s, %s, %s
)
ON CONFLICT DO NOTHING RETURNING sequence
"""


class Draft(NamedTuple):
    """A message that is to be kept; other services are told of its `participants`, too."""

    conversation_id: str
    sender_id: str
    text: str
    idempotency_key: str | None = None
    participants: tuple[str, ...] = ()


class Kept(NamedTuple):
    """A message that was kept. `created_at` is Unix seconds."""

    conversation_id: str
    sequence: int
    sender_id: str
    text: str
    idempotency_key: str | None
    created_at: int


class Written(NamedTuple):
    """What became of a draft: `kept` now, or before (`is_repeat`). None: its key is another message's."""

    kept: Kept | None
    is_repeat: bool = False


class Read(NamedTuple):
    """That a user has read up to some message of a conversation."""

    conversation_id: str
    user_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class State:
    """A conversation as the database has it: how far each participant has read, and its last number."""

    version: int
    last: int
    read: dict[str, int]
    is_blocked: bool


class Contended(Exception):
    """Other services numbered the conversation's messages, time and again."""


class Held(Exception):
    """Another transaction holds the conversation `id`, or a key that was sent there, and does not end.

    `is_locked_up`: it has waited for this one, too.
    """

    def __init__(self, conversation_id: str, *, is_locked_up: bool) -> None:
        super().__init__(conversation_id)
        self.id, self.is_locked_up = conversation_id, is_locked_up


# --- Writing -----


def write(drafts: Sequence[Draft]) -> list[Written | None]:
    """Keep all in one transaction, in this order within a conversation; None for what no database takes, and
    for conversations that another service holds: the others need not wait until it lets go of them.

    Raises django.db.Error: nothing was kept, as far as is known.
    """
    try:
        return _write_without_held(drafts)
    except (IntegrityError, DataError, ValueError, Contended):
        if len(drafts) > 1:  # one of them is to blame, and not the others
            return [each for draft in drafts for each in write([draft])]
        return [None]


def _write_without_held(drafts: Sequence[Draft]) -> list[Written | None]:
    held, locked_up = set[str](), 0
    while True:
        try:
            written = _write_at_once(drafts, without=held)
        except Held as error:
            # Who was locked up with another finds its way free: that one has gone on.
            locked_up += error.is_locked_up
            if not error.is_locked_up or locked_up > MOST_TIMES_LOCKED_UP:
                log.warning("another service holds a conversation", extra={"conversation": error.id})
                held.add(error.id)
        else:
            return [written.get(place) for place in range(len(drafts))]


def _write_at_once(drafts: Sequence[Draft], *, without: Collection[str]) -> dict[int, Written]:
    """By the place of each draft. Raises Held."""
    # In an order that all services share: none waits for a number whose owner waits for one of ours.
    order = sorted(range(len(drafts)), key=lambda place: drafts[place].conversation_id)
    written: dict[int, Written] = {}
    with transaction.atomic(), connection.cursor() as cursor:  # a cursor costs half of an INSERT
        if without:  # who has waited once waits no longer
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(HELD_MILLISECONDS)])
        for place in order:
            if drafts[place].conversation_id not in without:
                written[place] = _write_unless_held(cursor, drafts[place])
        outgoing.write(_events(drafts, written))
    return written


def _write_unless_held(cursor: CursorWrapper, draft: Draft) -> Written:
    """Raises Held in place of what PostgreSQL says of a wait for another transaction that was in vain."""
    try:
        return _write_one(cursor, draft)
    except OperationalError as error:
        state = sqlstate_of(error)
        if state not in (_LOCK_NOT_AVAILABLE, _DEADLOCK):
            raise
        raise Held(draft.conversation_id, is_locked_up=state == _DEADLOCK) from error


def _write_one(cursor: CursorWrapper, draft: Draft) -> Written:
    """Raises IntegrityError where there is no such conversation."""
    for _ in range(MOST_ATTEMPTS):
        now = int(time.time())
        sequence = _insert(cursor, draft, now)
        if sequence is not None:
            return Written(_kept(draft, sequence, now))
        before = _sent_before(draft)
        if before is not None:
            return _repeat(draft, before)
    raise Contended


def _insert(cursor: CursorWrapper, draft: Draft, now: int) -> int | None:
    """The number that it got; None: that was taken meanwhile, or it was sent before."""
    created_at = connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(now, UTC))
    named = (draft.conversation_id, draft.conversation_id, draft.sender_id, draft.text)
    cursor.execute(_INSERT, [*named, draft.idempotency_key, created_at])
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def _sent_before(draft: Draft) -> Kept | None:
    if draft.idempotency_key is None:
        return None
    same = Message.objects.filter(sender_id=draft.sender_id, idempotency_key=draft.idempotency_key)
    row = same.first()
    return None if row is None else _kept_of(row)


def _repeat(draft: Draft, before: Kept) -> Written:
    is_same = (draft.conversation_id, draft.text) == (before.conversation_id, before.text)
    return Written(before if is_same else None, is_repeat=True)


def _events(drafts: Sequence[Draft], written: Mapping[int, Written]) -> Iterator[Outgoing]:
    """What other services are told: of each message that is new."""
    for place, each in written.items():
        if each.kept is not None and not each.is_repeat:
            yield outgoing.message_created(
                each.kept.conversation_id,
                message_id=message_id(each.kept.conversation_id, each.kept.sequence),
                sender_id=each.kept.sender_id,
                text=each.kept.text,
                created_at=each.kept.created_at,
                participants=drafts[place].participants,
            )


def _kept(draft: Draft, sequence: int, now: int) -> Kept:
    return Kept(
        draft.conversation_id, sequence, draft.sender_id, draft.text, draft.idempotency_key, created_at=now
    )


def set_read(reads: Collection[Read], *, at: int) -> list[Read]:
    """Move what users have read forward, to messages that there are; answers those that have moved."""
    moment = datetime.fromtimestamp(at, UTC)
    with transaction.atomic():
        return [each for each in sorted(reads) if _set_read(each, moment)]


def _set_read(read: Read, moment: datetime) -> bool:
    message = Message.objects.filter(conversation_id=read.conversation_id, sequence=read.sequence)
    behind = Participant.objects.filter(
        Exists(message),
        conversation_id=read.conversation_id,
        user_id=read.user_id,
        read_sequence__lt=read.sequence,
    )
    return bool(behind.update(read_sequence=read.sequence, read_at=moment))


# --- Reading -----


def states(conversation_ids: Collection[str]) -> dict[str, State]:
    """The conversations of these ids; those that there are none of are left out."""
    found = numbers(conversation_ids)
    read: dict[str, dict[str, int]] = {conversation_id: {} for conversation_id in found}
    rows = Participant.objects.filter(conversation_id__in=list(found)).order_by()
    for conversation_id, user_id, sequence in rows.values_list("conversation_id", "user_id", "read_sequence"):
        read[conversation_id][user_id] = sequence
    blocked = _blocked([tuple(users) for users in read.values() if len(users) == 2])
    return {
        conversation_id: State(
            version, last, read[conversation_id], frozenset(read[conversation_id]) in blocked
        )
        for conversation_id, (version, last) in found.items()
    }


def numbers(conversation_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """The version of each conversation, and the number of its last message."""
    newest = (
        Message.objects.filter(conversation_id=OuterRef("pk")).order_by("-sequence").values("sequence")[:1]
    )
    rows = Conversation.objects.filter(pk__in=list(conversation_ids)).order_by()
    found = rows.annotate(last=Subquery(newest)).values_list("pk", "version", "last")
    return {conversation_id: (version, last or 0) for conversation_id, version, last in found}


def _blocked(pairs: Sequence[tuple[str, ...]]) -> set[frozenset[str]]:
    """Those of the pairs of users that do not speak to each other."""
    if not pairs:
        return set()
    users = {user for pair in pairs for user in pair}
    rows = Block.objects.filter(by_user_id__in=users, target_user_id__in=users).order_by()
    return {frozenset(row) for row in rows.values_list("by_user_id", "target_user_id")}


def conversations_of(user_id: str, *, most: int) -> list[str]:
    """Ids of the conversations that the user takes part in. Where those are more: first those in which the
    user has read something, whatever others have added the user to, and of both the newest.
    """
    rows = Participant.objects.filter(user_id=user_id).alias(is_read=Q(read_sequence__gt=0))
    rows = rows.order_by("-is_read", "-id")
    return list(rows.values_list("conversation_id", flat=True)[:most])


def newest_participants(after: int, *, most: int) -> list[tuple[int, str, str]]:
    """Who joined what since the row of that id: id, conversation, user."""
    rows = Participant.objects.filter(id__gt=after).order_by("id")
    return list(rows.values_list("id", "conversation_id", "user_id")[:most])


def last_participant() -> int:
    """The id of the newest row; 0 where there is none."""
    return Participant.objects.order_by("-id").values_list("id", flat=True).first() or 0


def messages_between(conversation_id: str, numbers: range, *, most: int) -> list[Kept]:
    """The first messages of those numbers, in order."""
    among = Q(sequence__gte=numbers.start, sequence__lt=numbers.stop)
    rows = Message.objects.filter(among, conversation_id=conversation_id).order_by("sequence")
    return [_kept_of(row) for row in rows[:most]]


def _kept_of(row: Message) -> Kept:
    return Kept(
        row.conversation_id,
        row.sequence,
        row.sender_id,
        row.text,
        row.idempotency_key,
        created_at=int(row.created_at.timestamp()),
    )

"""Who takes part in which conversation, and who has blocked whom: every change of it, told to the services.

Each change is one transaction: the rows, the conversation's version, and the word, which goes out once that
has committed. Whoever may ask for it was asked before. Not for async code.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from experience.chat import outgoing
from experience.chat.messages import ConversationBlocked, ConversationChanged, ConversationUnblocked
from experience.chat.models import Block, Conversation, Message, Participant
from experience.chat.refusals import NoSuchConversation, TooMany
from experience.chat.topics import of_conversation, of_user
from experience.settings import CHAT_MAX_PARTICIPANTS
from proxy.api import publish_on_commit

# Each that is new in a conversation is told of all: more would make too much of one transaction.
MOST_AT_ONCE = 100
# A block is told to each conversation of just the two.
MOST_OF_TWO = 100
MOST_BLOCKS = 1_000


def make(by: str, others: Iterable[str]) -> tuple[str, list[str]]:
    """A new conversation, which `by` has made and takes part in: its id, and who takes part.

    Raises TooMany, ValueError: it would be of one user alone.
    """
    participants = sorted({by, *others})
    if len(participants) < 2:
        raise ValueError("name somebody else")
    if len(participants) > min(MOST_AT_ONCE, CHAT_MAX_PARTICIPANTS):
        raise TooMany(f"a conversation begins with at most {min(MOST_AT_ONCE, CHAT_MAX_PARTICIPANTS)} users")
    if len(participants) == 2 and len(_of_two(*participants)[:MOST_OF_TWO]) == MOST_OF_TWO:
        raise TooMany(f"these two have {MOST_OF_TWO} conversations already")
    with transaction.atomic():
        conversation = Conversation.objects.create(id=secrets.token_hex(16), created_by=by)
        Participant.objects.bulk_create(
            Participant(conversation=conversation, user_id=user_id) for user_id in participants
        )
        _tell_changed(conversation.id, participants, new=participants)
    return conversation.id, participants


def join(conversation_id: str, user_id: str) -> list[str]:
    """Have the user take part, if not before: all who do then. Raises NoSuchConversation, TooMany."""
    with transaction.atomic():
        _begin_change(conversation_id)
        participants = _participants(conversation_id)
        if user_id in participants:
            transaction.set_rollback(True)  # nothing has changed, and nobody is to look
            return participants
        if len(participants) >= CHAT_MAX_PARTICIPANTS:
            raise TooMany(f"at most {CHAT_MAX_PARTICIPANTS} users take part in a conversation")
        Participant.objects.create(conversation_id=conversation_id, user_id=user_id)
        participants = sorted([*participants, user_id])
        _tell_changed(conversation_id, participants, new=[user_id])
    return participants


def leave(conversation_id: str, user_id: str) -> None:
    """Have the user take part no more. Raises NoSuchConversation, also where the user did not."""
    with transaction.atomic():
        _begin_change(conversation_id)
        gone, _ = Participant.objects.filter(conversation_id=conversation_id, user_id=user_id).delete()
        if not gone:
            raise NoSuchConversation
        _tell_changed(conversation_id, _participants(conversation_id))


def delete(conversation_id: str) -> None:
    """Have it and all that was said there gone; its participants are told that nobody takes part any more."""
    with transaction.atomic():
        _begin_change(conversation_id)
        _tell_changed(conversation_id, [])
        Message.objects.filter(conversation_id=conversation_id).delete()  # long, and further ones may come
        _keep_messages_out(conversation_id)
        Conversation.objects.filter(pk=conversation_id).delete()


def block(by: str, target: str) -> None:
    """Have nothing said any more where just these two take part. Raises TooMany, ValueError for oneself."""
    if by == target:
        raise ValueError("nobody blocks himself")
    if Block.objects.filter(by_user_id=by).exclude(target_user_id=target).count() >= MOST_BLOCKS:
        raise TooMany(f"at most {MOST_BLOCKS} users are blocked by one")
    with transaction.atomic():
        _, is_new = Block.objects.get_or_create(by_user_id=by, target_user_id=target)
        if is_new:
            of_two = _begin_changes_of_two(by, target)
            _tell_of_a_block(ConversationBlocked(each, by, target) for each in of_two)


def unblock(by: str, target: str) -> bool:
    """Take it back; whether there was any. It is told where the other has not blocked as well."""
    with transaction.atomic():
        gone, _ = Block.objects.filter(by_user_id=by, target_user_id=target).delete()
        of_two = _begin_changes_of_two(by, target) if gone else []
        # Behind their locks: of two who take theirs back at once, the second sees that it is the last.
        if of_two and not Block.objects.filter(by_user_id=target, target_user_id=by).exists():
            _tell_of_a_block(ConversationUnblocked(each, by, target) for each in of_two)
    return bool(gone)


def is_apart(user_id: str, others: Collection[str]) -> bool:
    """Whether one of the others has blocked the user, or was blocked by the user."""
    either = Q(by_user_id=user_id, target_user_id__in=others) | Q(
        by_user_id__in=others, target_user_id=user_id
    )
    return Block.objects.filter(either).exists()


def _begin_change(conversation_id: str) -> None:
    """Other changes of it wait until this transaction has ended. Raises NoSuchConversation."""
    if not Conversation.objects.filter(pk=conversation_id).update(version=F("version") + 1):
        raise NoSuchConversation


def _keep_messages_out(conversation_id: str) -> None:
    """From now on, until this transaction has ended; those that were on their way have arrived then."""
    Conversation.objects.select_for_update().get(pk=conversation_id)


def _begin_changes_of_two(one: str, other: str) -> list[str]:
    """Likewise of all that just these two take part in."""
    # No key, or a service with a message for one of them would wait for us, with all its other messages.
    found = Conversation.objects.select_for_update(no_key=True).filter(pk__in=_of_two(one, other))
    ids = list(found.order_by("pk").values_list("pk", flat=True))  # in one order, or two of us would lock up
    Conversation.objects.filter(pk__in=ids).update(version=F("version") + 1)
    return ids


def _of_two(one: str, other: str):  # type: ignore[no-untyped-def]  # a ValuesQuerySet has no name
    of = Participant.objects.order_by().values("conversation_id")
    another = Participant.objects.filter(conversation_id=OuterRef("conversation_id")).exclude(
        user_id__in=[one, other]
    )
    both = of.filter(user_id=one, conversation_id__in=of.filter(user_id=other))
    return both.filter(~Exists(another)).values_list("conversation_id", flat=True)


def _participants(conversation_id: str) -> list[str]:
    rows = Participant.objects.filter(conversation_id=conversation_id).order_by()
    return sorted(rows.values_list("user_id", flat=True))


def _tell_of_a_block(told: Iterable[ConversationBlocked | ConversationUnblocked]) -> None:
    """To all instances that have the conversations, and to other services by one INSERT."""
    told = list(told)
    for each in told:
        publish_on_commit(of_conversation(each.conversation_id), msgspec.to_builtins(each))
    outgoing.write(map(outgoing.of_a_block, told))


def _tell_changed(conversation_id: str, participants: list[str], *, new: Iterable[str] = ()) -> None:
    """To all instances that have the conversation, and to those of users who are new in it."""
    changed = ConversationChanged(conversation_id=conversation_id, participants=tuple(participants))
    event = msgspec.to_builtins(changed)
    if len(json.dumps(event)) > settings.MAX_EVENT_BYTES:
        raise TooMany("with so many users of such long names, nobody could be told of them")
    for topic in (of_conversation(conversation_id), *map(of_user, new)):
        publish_on_commit(topic, event)

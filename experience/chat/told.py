"""Messages as sockets and other instances are told of them. No I/O."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from experience.chat.identities import message_id, sequence_of
from experience.chat.messages import MessageCreated, ServiceMessage, StoredMessage
from experience.chat.store import Kept


class _From(msgspec.Struct):
    instance: str = ""


_decode_from = msgspec.json.Decoder(_From).decode
_decode = msgspec.json.Decoder(ServiceMessage).decode


def told_by_others(text: str, *, instance: str) -> ServiceMessage | None:
    """What another instance, or the HTTP API, has published; None for what this one did itself.

    Raises:
        msgspec.DecodeError: it is nothing that they say.
    """
    if _decode_from(text).instance == instance:
        return None
    message: ServiceMessage = _decode(text)
    return message


def created(kept: Kept, *, for_sender: bool = True) -> MessageCreated:
    """What sockets are told; with its idempotency key only those of the sender."""
    stored = StoredMessage(
        message_id(kept.conversation_id, kept.sequence), kept.sender_id, kept.text, kept.created_at
    )
    key = kept.idempotency_key if for_sender else None
    return MessageCreated(kept.conversation_id, stored, UNSET if key is None else key)


def kept_of(message: MessageCreated) -> Kept:
    """What an instance has told of. Raises ValueError: its id is none."""
    told = message.message
    sequence = sequence_of(told.id, conversation_id=message.conversation_id)
    key = None if message.idempotency_key is UNSET else message.idempotency_key
    return Kept(message.conversation_id, sequence, told.sender_id, told.text, key, told.created_at)

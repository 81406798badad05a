"""What clients of the chat and its service say to each other. No I/O; the gateway and the service read by it.

Every parser reads a message alike that is let through here: it is UTF-8 without a mark in front of it, one
JSON object, and none of its fields is given twice, however their names are spelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from experience.chat.mistakes import InvalidMessage, explain, look_through
from proxy.api import is_printable

__all__ = [
    "LAST_SECOND",
    "MOST_ID_CHARACTERS",
    "MOST_TEXT_CHARACTERS",
    "ClientMessage",
    "ConversationBlocked",
    "ConversationChanged",
    "ConversationTyping",
    "ConversationUnblocked",
    "Error",
    "InvalidMessage",
    "MessageCreated",
    "MessageRead",
    "MessageSend",
    "Ping",
    "Pong",
    "ReadSet",
    "ServiceMessage",
    "ServicePing",
    "ServicePong",
    "StoredMessage",
    "TypingSet",
    "decode_client",
    "decode_service",
    "encode",
    "type_of",
]

MOST_ID_CHARACTERS = 128
MOST_TEXT_CHARACTERS = 4000
# Users are named by their tokens, and those may be longer (see proxy.core.principal).
_MOST_USER_CHARACTERS = 255
# The end of the year 9999. The milliseconds of any date since 1978 lie beyond it.
LAST_SECOND = 253_402_300_799

Id = Annotated[str, Meta(min_length=1, max_length=MOST_ID_CHARACTERS)]
UserId = Annotated[str, Meta(min_length=1, max_length=_MOST_USER_CHARACTERS)]
UnixSeconds = Annotated[int, Meta(ge=0, le=LAST_SECOND)]
State = Literal["on", "off"]


class _Message(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """`IDS` and `TEXTS` name its strings. `quotes` is how many `"` its JSON has, those within strings left
    aside, where no field is given twice, and none that is not declared.
    """

    IDS: ClassVar[tuple[str, ...]] = ()
    TEXTS: ClassVar[tuple[str, ...]] = ()

    @property
    def quotes(self) -> int:
        return 4 * (1 + len(self.IDS) + len(self.TEXTS))


# --- What clients say; nothing beyond the fields named here -----


class MessageSend(_Message, frozen=True, gc=False, forbid_unknown_fields=True, tag="message.send"):
    """`idempotency_key`: whoever repeats it means the same message."""

    IDS = ("conversation_id",)
    TEXTS = ("text",)

    conversation_id: Id
    text: Annotated[str, Meta(min_length=1)]
    idempotency_key: Id | UnsetType = UNSET

    @property
    def quotes(self) -> int:
        return 12 if self.idempotency_key is UNSET else 16


class ReadSet(_Message, frozen=True, gc=False, forbid_unknown_fields=True, tag="read.set"):
    IDS = ("conversation_id", "up_to_message_id")

    conversation_id: Id
    up_to_message_id: Id


class TypingSet(_Message, frozen=True, gc=False, forbid_unknown_fields=True, tag="typing.set"):
    IDS = ("conversation_id", "state")

    conversation_id: Id
    state: State


class Ping(_Message, frozen=True, gc=False, forbid_unknown_fields=True, tag="ping"):
    """Asks for a pong."""


class Pong(_Message, frozen=True, gc=False, forbid_unknown_fields=True, tag="pong"):
    """The answer to the service's ping."""


ClientMessage = MessageSend | ReadSet | TypingSet | Ping | Pong


# --- What the service says; more fields may come, and pass -----


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """A message as it was kept. `id` grows within a conversation, and means nothing else to clients."""

    id: Id
    sender_id: UserId
    text: Annotated[str, Meta(min_length=1)]
    created_at: UnixSeconds


class MessageCreated(_Message, frozen=True, gc=False, tag="message.created"):
    """`idempotency_key` goes to the sender alone: its send was kept."""

    IDS = ("conversation_id",)

    conversation_id: Id
    message: StoredMessage
    idempotency_key: Id | UnsetType = UNSET

    @property
    def quotes(self) -> int:
        return 24 if self.idempotency_key is UNSET else 28


class MessageRead(_Message, frozen=True, gc=False, tag="message.read"):
    IDS = ("conversation_id", "user_id", "up_to_message_id")

    conversation_id: Id
    user_id: UserId
    up_to_message_id: Id
    read_at: UnixSeconds

    @property
    def quotes(self) -> int:
        return 18


class ConversationTyping(_Message, frozen=True, gc=False, tag="conversation.typing"):
    IDS = ("conversation_id", "user_id", "state")

    conversation_id: Id
    user_id: UserId
    state: State


class _OfABlock(_Message, frozen=True, gc=False):
    IDS = ("conversation_id", "by_user_id", "target_user_id")

    conversation_id: Id
    by_user_id: UserId
    target_user_id: UserId


class ConversationBlocked(_OfABlock, frozen=True, gc=False, tag="conversation.blocked"):
    """One of a conversation's two users has blocked the other."""


class ConversationUnblocked(_OfABlock, frozen=True, gc=False, tag="conversation.unblocked"):
    """No block keeps the two apart any more; `by_user_id` has taken the last one back."""


class ConversationChanged(_Message, frozen=True, gc=False, tag="conversation.changed"):
    """Made, joined or left: who takes part from now on."""

    IDS = ("conversation_id",)

    conversation_id: Id
    participants: tuple[UserId, ...]

    @property
    def quotes(self) -> int:
        return 10 + 2 * len(self.participants)


class ServicePing(_Message, frozen=True, gc=False, tag="ping"):
    """Asks for a pong."""


class ServicePong(_Message, frozen=True, gc=False, tag="pong"):
    """The answer to a client's ping."""


class Error(_Message, frozen=True, gc=False, tag="error"):
    """What came of a client's message. `field` is the one that was wrong; "" for the message as a whole."""

    TEXTS = ("code", "message")

    code: Id
    message: str
    idempotency_key: Id | UnsetType = UNSET
    field: str | UnsetType = UNSET

    @property
    def quotes(self) -> int:
        return 12 + 4 * (self.idempotency_key is not UNSET) + 4 * (self.field is not UNSET)


ServiceMessage = (
    MessageCreated
    | MessageRead
    | ConversationTyping
    | ConversationBlocked
    | ConversationUnblocked
    | ConversationChanged
    | ServicePing
    | ServicePong
    | Error
)

_TYPES = {
    kind: str(kind.__struct_config__.tag) for kind in (*get_args(ClientMessage), *get_args(ServiceMessage))
}
_STATES = get_args(State)
_OF_CLIENTS = {"type": [_TYPES[kind] for kind in get_args(ClientMessage)], "state": _STATES}
_OF_SERVICE = {"type": [_TYPES[kind] for kind in get_args(ServiceMessage)], "state": _STATES}
_decode_client = msgspec.json.Decoder(ClientMessage).decode
_decode_service = msgspec.json.Decoder(ServiceMessage).decode
_encode = msgspec.json.Encoder().encode
# As numbers they are looked for in a tenth of the time.
_QUOTE, _BACKSLASH, _DELETE = b'"\\\x7f'
# Beside tab, line feed and carriage return, which texts may have. Beyond them only a wrong end can follow.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def encode(message: ClientMessage | ServiceMessage) -> str:
    """As one text; what is not set is left out."""
    return _encode(message).decode()


def type_of(message: ClientMessage | ServiceMessage) -> str:
    """Its `type`, one of those that are declared here."""
    return _TYPES[type(message)]


def decode_client(payload: bytes, *, most_characters: int = MOST_TEXT_CHARACTERS) -> ClientMessage:
    """A text message of a client; raises InvalidMessage, which names the field.

    `most_characters` is how long the text of a message may be.
    """
    try:
        message: ClientMessage = _decode_client(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(payload, str(error), choices=_OF_CLIENTS) from None
    quotes = message.quotes
    if payload.count(_QUOTE) != quotes and _quotes(payload) != quotes:
        look_through(payload)
        raise InvalidMessage.of("", "a field is given twice")  # should that ever find none
    # No control character can be in plain strings: JSON has those below a blank in escapes only.
    is_plain = payload.isascii() and _BACKSLASH not in payload and _DELETE not in payload
    wrong = None if is_plain else _wrong_characters(message)
    if wrong is None and type(message) is MessageSend:
        text = message.text
        if len(text) > most_characters:
            wrong = "text", f"a text has at most {most_characters} characters"
        elif text.isspace():
            wrong = "text", "there is nothing but blanks"
    if wrong is not None:
        raise InvalidMessage.of(*wrong, idempotency_key=_key_of(message))
    return message


def decode_service(payload: bytes) -> ServiceMessage:
    """A text message of the service; raises InvalidMessage, which names the field."""
    try:
        message: ServiceMessage = _decode_service(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(payload, str(error), choices=_OF_SERVICE) from None
    quotes = message.quotes
    if payload.count(_QUOTE) != quotes and _quotes(payload) != quotes:
        look_through(payload)  # there is more in it: of that, too, nothing may come twice
    is_plain = payload.isascii() and _BACKSLASH not in payload and _DELETE not in payload
    wrong = None if is_plain else _wrong_characters(message)
    if wrong is not None:
        raise InvalidMessage.of(*wrong)
    return message


def _quotes(payload: bytes) -> int:
    """How many `"` stand around the strings of well-formed JSON."""
    bare = payload.replace(rb"\\", b"")  # so that a backslash is left only where it belongs to what follows
    return bare.count(b'"') - bare.count(rb"\"")


def _wrong_characters(message: ClientMessage | ServiceMessage) -> tuple[str, str] | None:
    """The field that holds characters which it may not, and why; None if there is none."""
    for name, value in _ids(message):
        if not is_printable(value):
            return name, "an id is printable text"
    for name, value in _texts(message):
        if not value.isprintable() and _CONTROL.search(value):
            return name, "a text has no control characters but tab and newline"
    return None


def _key_of(message: ClientMessage) -> str | None:
    """That, if its sender may be told it."""
    key = message.idempotency_key if type(message) is MessageSend else UNSET
    return key if key is not UNSET and is_printable(key) else None


def _ids(message: ClientMessage | ServiceMessage) -> Iterator[tuple[str, str]]:
    for name in message.IDS:
        yield name, getattr(message, name)
    key = getattr(message, "idempotency_key", UNSET)
    if key is not UNSET:
        yield "idempotency_key", key
    if isinstance(message, MessageCreated):
        yield "message.id", message.message.id
        yield "message.sender_id", message.message.sender_id
    elif isinstance(message, ConversationChanged):
        for user_id in message.participants:
            yield "participants", user_id


def _texts(message: ClientMessage | ServiceMessage) -> Iterator[tuple[str, str]]:
    for name in message.TEXTS:
        yield name, getattr(message, name)
    if isinstance(message, MessageCreated):
        yield "message.text", message.message.text
    elif isinstance(message, Error) and message.field is not UNSET:
        yield "field", message.field

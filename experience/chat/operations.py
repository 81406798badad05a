"""What the service does with each message of a client."""

from __future__ import annotations

from functools import partial

from msgspec import UNSET

from experience.chat.conversations import Conversations, Unavailable
from experience.chat.identities import sequence_of
from experience.chat.live import LiveConversation
from experience.chat.messages import (
    InvalidMessage,
    MessageSend,
    Ping,
    ReadSet,
    ServicePong,
    TypingSet,
    decode_client,
    encode,
)
from experience.chat.reads import Reads
from experience.chat.sockets import ChatSocket
from experience.chat.store import Draft, Written
from experience.chat.told import created
from experience.chat.writer import Full, Writer

_PONG = encode(ServicePong())
_NO_ACCESS = "You take no part in this conversation."
_AGAIN = "This could not be kept now. Send it again, with the same idempotency_key."


class Operations:
    """Carries them out, for every socket of the instance; a socket's own come one after another."""

    def __init__(
        self, conversations: Conversations, writer: Writer, reads: Reads, *, most_characters: int
    ) -> None:
        """`most_characters` is how long a message's text may be."""
        self._conversations, self._writer, self._reads = conversations, writer, reads
        self._most_characters = most_characters

    async def hear(self, socket: ChatSocket, payload: bytes) -> None:
        """Carry out one message of the socket's client, and tell it what is wrong with it."""
        try:
            message = decode_client(payload, most_characters=self._most_characters)
        except InvalidMessage as error:
            socket.refuse(error.code, error.message, error.idempotency_key)
            return
        if isinstance(message, Ping):
            socket.tell(_PONG)
        elif isinstance(message, MessageSend | ReadSet | TypingSet):
            await self._in_conversation(socket, message)

    async def _in_conversation(self, socket: ChatSocket, message: MessageSend | ReadSet | TypingSet) -> None:
        key = message.idempotency_key if isinstance(message, MessageSend) else UNSET
        try:
            conversation = await self._conversation(socket.user_id, message)
        except Unavailable:
            socket.refuse("unavailable", _AGAIN, key)
            return
        if conversation is None or not conversation.has(socket.user_id):
            socket.refuse("access_denied", _NO_ACCESS, key)
        elif isinstance(message, MessageSend):
            await self._send(socket, conversation, message)
        elif isinstance(message, ReadSet):
            self._read(socket, conversation, message)
        else:
            conversation.types(socket.user_id, message.state)

    async def _conversation(
        self, user_id: str, message: MessageSend | ReadSet | TypingSet
    ) -> LiveConversation | None:
        """As it is known; where that would refuse the message, as it is now: the word may be on its way."""
        known = self._conversations.known(message.conversation_id)
        may_send = known is None or not known.is_blocked
        if known is not None and known.has(user_id) and (may_send or not isinstance(message, MessageSend)):
            return known
        found = await self._conversations.open([message.conversation_id], afresh=known is not None)
        return found[0] if found else None

    # --- Messages -----

    async def _send(self, socket: ChatSocket, conversation: LiveConversation, message: MessageSend) -> None:
        key = None if message.idempotency_key is UNSET else message.idempotency_key
        if conversation.is_blocked:
            socket.refuse("blocked", "One of you has blocked the other.", key)
            return
        await socket.under_way.acquire()
        draft = Draft(conversation.id, socket.user_id, message.text, key, conversation.participants)
        try:
            self._writer.send(draft, partial(self._written, socket, conversation, key))
        except Full:
            self._written(socket, conversation, key, None)

    def _written(
        self, socket: ChatSocket, conversation: LiveConversation, key: str | None, written: Written | None
    ) -> None:
        socket.under_way.release()
        if written is None:
            socket.refuse("unavailable", _AGAIN, key)
        elif written.kept is None:
            socket.refuse("idempotency_key_reused", "This key stands for another message.", key)
        else:
            self._kept(socket, conversation, written)

    def _kept(self, socket: ChatSocket, conversation: LiveConversation, written: Written) -> None:
        """Who hears the conversation gets it in its turn; who does not, or had it before, at once."""
        kept = written.kept
        assert kept is not None  # noqa: S101  as the caller has looked
        was_told = conversation.has_told(kept.sequence)
        conversation.said(kept)
        if not written.is_repeat:
            conversation.tell_instances(created(kept))
        if (was_told and written.is_repeat) or conversation not in socket.conversations:
            socket.tell(encode(created(kept)))

    def _read(self, socket: ChatSocket, conversation: LiveConversation, message: ReadSet) -> None:
        try:
            sequence = sequence_of(message.up_to_message_id, conversation_id=conversation.id)
        except ValueError as error:
            socket.refuse("validation_error", f"up_to_message_id: {error}")
        else:
            self._reads.put(conversation, socket.user_id, sequence)

"""What the service does with each message of a client."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import NoReturn

from django.db import Error
from msgspec import UNSET

from experience.chat import store
from experience.chat.conversations import RETRY_SECONDS, Conversations, Unavailable
from experience.chat.identities import message_id, sequence_of
from experience.chat.live import LiveConversation
from experience.chat.messages import (
    InvalidMessage,
    MessageRead,
    MessageSend,
    Ping,
    ReadSet,
    ServicePong,
    TypingSet,
    decode_client,
    encode,
)
from experience.chat.sockets import ChatSocket
from experience.chat.store import Draft, Read, Written
from experience.chat.told import created
from experience.chat.writer import Full, Writer
from proxy.api import DatabaseExecutor

log = logging.getLogger(__name__)

_PONG = encode(ServicePong())
_NO_ACCESS = "You take no part in this conversation."
_AGAIN = "This could not be kept now. Send it again, with the same idempotency_key."
READS_AT_ONCE = 500


class Operations:
    """Carries them out, for every socket of the instance; a socket's own come one after another."""

    def __init__(
        self,
        database: DatabaseExecutor,
        conversations: Conversations,
        writer: Writer,
        *,
        most_characters: int,
    ) -> None:
        """`most_characters` is how long a message's text may be."""
        self._database, self._conversations, self._writer = database, conversations, writer
        self._most_characters = most_characters
        self._reads: dict[tuple[str, str], int] = {}
        self._wake = asyncio.Event()

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
            conversation = await self._conversation(message.conversation_id)
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

    async def _conversation(self, conversation_id: str) -> LiveConversation | None:
        known = self._conversations.known(conversation_id)
        if known is not None:
            return known
        found = await self._conversations.open([conversation_id])
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

    # --- How far they were read -----

    def _read(self, socket: ChatSocket, conversation: LiveConversation, message: ReadSet) -> None:
        try:
            sequence = sequence_of(message.up_to_message_id, conversation_id=conversation.id)
        except ValueError as error:
            socket.refuse("validation_error", f"up_to_message_id: {error}")
            return
        if conversation.is_unread(socket.user_id, sequence):
            place = conversation.id, socket.user_id
            self._reads[place] = max(sequence, self._reads.get(place, 0))
            self._wake.set()

    async def keep_reads_forever(self) -> NoReturn:
        """Write down how far users have read, and tell of it, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._reads:
                some = [*self._reads.items()][:READS_AT_ONCE]
                for place, _ in some:
                    del self._reads[place]
                await self._keep_reads([Read(*place, sequence) for place, sequence in some])

    async def _keep_reads(self, reads: list[Read]) -> None:
        at = int(time.time())
        try:
            moved = await self._database.run(store.set_read, reads, at=at)
        except (Error, TimeoutError) as error:
            log.warning("read positions were not kept", extra={"why": type(error).__name__})
            for read in reads:
                place = read.conversation_id, read.user_id
                self._reads[place] = max(read.sequence, self._reads.get(place, 0))
            await asyncio.sleep(RETRY_SECONDS)
            return
        for read in moved:
            conversation = self._conversations.known(read.conversation_id)
            if conversation is not None and conversation.has_read(read.user_id, read.sequence, at=at):
                identity = message_id(read.conversation_id, read.sequence)
                conversation.tell_instances(MessageRead(read.conversation_id, read.user_id, identity, at))

"""How far users have read, on its way to the database: of each the furthest, all that wait together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NoReturn

from django.db import Error

from experience.chat import store
from experience.chat.conversations import RETRY_SECONDS, Conversations
from experience.chat.identities import message_id
from experience.chat.live import LiveConversation
from experience.chat.messages import MessageRead
from experience.chat.store import Read
from proxy.api import DatabaseExecutor

log = logging.getLogger(__name__)

MOST_AT_ONCE = 500


class Reads:
    """Writes them down and tells of them; what the database does not take now is tried again."""

    def __init__(self, database: DatabaseExecutor, conversations: Conversations) -> None:
        self._database, self._conversations = database, conversations
        self._waiting: dict[tuple[str, str], int] = {}
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    def put(self, conversation: LiveConversation, user_id: str, sequence: int) -> None:
        """The user has read up to that number. Nothing happens where that was known."""
        if conversation.is_unread(user_id, sequence):
            self._wait(Read(conversation.id, user_id, sequence))

    def _wait(self, read: Read) -> None:
        place = read.conversation_id, read.user_id
        self._waiting[place] = max(read.sequence, self._waiting.get(place, 0))
        self._idle.clear()
        self._wake.set()

    async def until_idle(self) -> None:
        """Returns once nothing waits and nothing is under way."""
        await self._idle.wait()

    async def run(self) -> NoReturn:
        """Until cancelled; what waits then is not written."""
        while True:
            while self._waiting:
                places = [*self._waiting][:MOST_AT_ONCE]
                await self._keep([Read(*place, self._waiting.pop(place)) for place in places])
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()

    async def _keep(self, reads: Sequence[Read]) -> None:
        at = int(time.time())
        try:
            moved = await self._database.run(store.set_read, reads, at=at)
        except (Error, TimeoutError) as error:
            log.warning("read positions were not kept", extra={"why": type(error).__name__})
            for read in reads:
                self._wait(read)
            await asyncio.sleep(RETRY_SECONDS)
            return
        for read in moved:
            self._tell(read, at=at)

    def _tell(self, read: Read, *, at: int) -> None:
        conversation = self._conversations.known(read.conversation_id)
        if conversation is not None and conversation.has_read(read.user_id, read.sequence, at=at):
            identity = message_id(read.conversation_id, read.sequence)
            conversation.tell_instances(MessageRead(read.conversation_id, read.user_id, identity, at))

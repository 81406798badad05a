"""The conversations that this instance knows: read when asked for, kept up to date, forgotten in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import NoReturn

from django.db import Error

from experience.chat import service_counts, store
from experience.chat.announcing import Announcer
from experience.chat.live import LiveConversation
from experience.chat.messages import ServiceMessage
from proxy.api import DatabaseExecutor, EventPlane

log = logging.getLogger(__name__)

MOST_AT_ONCE = 500
RETRY_SECONDS = 0.5
OPEN_SECONDS = 5.0
# An event that is missing may be on its way from another instance.
MISSING_SECONDS = 0.02
# What no event has told is found so late; while no events come, that often.
LOOK_SECONDS = 5.0
LOOK_WHILE_DEAF_SECONDS = 1.0
# How long what no socket hears is remembered.
UNUSED_SECONDS = 60.0


class Unavailable(Exception):
    """The database did not answer in time."""


class Conversations:
    """Owns every LiveConversation. `run` keeps them; until then nothing can be opened."""

    def __init__(self, database: DatabaseExecutor, plane: EventPlane, announcer: Announcer) -> None:
        self.instance = announcer.instance
        self._database, self._plane, self._announcer = database, plane, announcer
        self._live: dict[str, LiveConversation] = {}
        self._stale: dict[LiveConversation, None] = {}
        self._behind: dict[LiveConversation, None] = {}
        self._wake_reader, self._wake_catching_up = asyncio.Event(), asyncio.Event()
        plane.on_gap(self._doubt_all)

    # --- For sockets -----

    def known(self, conversation_id: str) -> LiveConversation | None:
        """The conversation, if it needs not be read."""
        conversation = self._live.get(conversation_id)
        if conversation is None or conversation.state is None:
            return None
        conversation.used_at = asyncio.get_running_loop().time()
        return conversation

    async def open(
        self, conversation_ids: Collection[str], *, afresh: bool = False
    ) -> list[LiveConversation]:
        """Those of these conversations that there are. `afresh`: read from now on, whatever is known of them.

        Raises:
            Unavailable: the database did not answer in time.
        """
        wanted = [self._wanted(conversation_id) for conversation_id in conversation_ids]
        for conversation in wanted if afresh else ():
            self.is_stale(conversation)
        asked = [conversation.asked if afresh else 1 for conversation in wanted]
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                for conversation, number in zip(wanted, asked, strict=True):
                    await conversation.answer(number)
        except TimeoutError:
            raise Unavailable from None
        return [conversation for conversation in wanted if conversation.state is not None]

    async def open_for(self, user_id: str, conversation_ids: Collection[str]) -> list[LiveConversation]:
        """Those of these in which the user takes part, also since a moment ago. Raises Unavailable."""
        found = await self.open(conversation_ids)
        unsure = [conversation.id for conversation in found if not conversation.has(user_id)]
        if unsure:
            await self.open(unsure, afresh=True)
        return [conversation for conversation in found if conversation.has(user_id)]

    def _wanted(self, conversation_id: str) -> LiveConversation:
        conversation = self._live.get(conversation_id)
        if conversation is None:
            conversation = self._live[conversation_id] = LiveConversation(conversation_id, self)
            service_counts.CONVERSATIONS.inc()
            self.is_stale(conversation)
        conversation.used_at = asyncio.get_running_loop().time()
        return conversation

    # --- For the conversations -----

    def is_stale(self, conversation: LiveConversation) -> None:
        conversation.asked += 1
        self._stale[conversation] = None
        self._wake_reader.set()

    def lacks(self, conversation: LiveConversation) -> None:
        self._behind[conversation] = None
        self._wake_catching_up.set()

    def announce(self, topic: str, message: ServiceMessage) -> None:
        self._announcer.announce(topic, message)

    def _doubt_all(self) -> None:
        for conversation in self._live.values():
            self.is_stale(conversation)

    # --- Work of the background -----

    async def run(self) -> None:
        """Read what is stale or missing, look, and forget, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_forever(), name="chat:read")
            tasks.create_task(self._catch_up_forever(), name="chat:catch-up")
            tasks.create_task(self._look_forever(), name="chat:look")

    async def _read_forever(self) -> NoReturn:
        while True:
            while self._stale:
                some = [*self._stale][:MOST_AT_ONCE]
                for conversation in some:
                    del self._stale[conversation]
                await self._read_or_put_back(some)
            self._wake_reader.clear()
            await self._wake_reader.wait()

    async def _read_or_put_back(self, some: Sequence[LiveConversation]) -> None:
        was_read = False
        try:
            was_read = await self._read(some)
        finally:
            if not was_read:
                self._stale |= dict.fromkeys(some)
        if not was_read:
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, some: Sequence[LiveConversation]) -> bool:
        """Hear of them, then read them, so that nothing falls in between. False: the database failed."""
        asked = [conversation.asked for conversation in some]
        new = [conversation for conversation in some if not conversation.is_heard]
        await asyncio.gather(*(self._hear(conversation) for conversation in new))
        try:
            states = await self._database.run(store.states, [conversation.id for conversation in some])
        except (Error, TimeoutError) as error:
            log.warning("conversations cannot be read", extra={"why": type(error).__name__})
            return False
        for conversation, number in zip(some, asked, strict=True):
            conversation.became(states.get(conversation.id), answers=number)
            if conversation.state is None:
                self._forget(conversation)
        return True

    async def _hear(self, conversation: LiveConversation) -> None:
        await self._plane.join(conversation, (conversation.topic,))
        conversation.is_heard = True

    async def _catch_up_forever(self) -> NoReturn:
        while True:
            await asyncio.sleep(MISSING_SECONDS)
            behind, self._behind = self._behind, {}
            for conversation in behind:
                await self._catch_up(conversation)
            if not self._behind:
                self._wake_catching_up.clear()
                await self._wake_catching_up.wait()

    async def _catch_up(self, conversation: LiveConversation) -> None:
        while numbers := conversation.order.lacks:
            try:
                found = await self._database.run(
                    store.messages_between, conversation.id, numbers, most=MOST_AT_ONCE
                )
            except (Error, TimeoutError) as error:
                log.warning("messages cannot be read", extra={"why": type(error).__name__})
                return  # the next look tries again
            conversation.found(found, numbers, is_all=len(found) < MOST_AT_ONCE)

    async def _look_forever(self) -> NoReturn:
        while True:
            await asyncio.sleep(LOOK_SECONDS if self._plane.is_connected else LOOK_WHILE_DEAF_SECONDS)
            self._forget_unused()
            ids = [conversation.id for conversation in self._live.values() if conversation.state is not None]
            for first in range(0, len(ids), MOST_AT_ONCE):
                await self._look(ids[first : first + MOST_AT_ONCE])

    async def _look(self, ids: Iterable[str]) -> None:
        try:
            numbers = await self._database.run(store.numbers, list(ids))
        except (Error, TimeoutError) as error:
            log.warning("conversations cannot be read", extra={"why": type(error).__name__})
            return
        for conversation_id in ids:
            conversation = self._live.get(conversation_id)
            if conversation is not None:
                conversation.looked(*numbers.get(conversation_id, (None, 0)))

    def _forget_unused(self) -> None:
        before = asyncio.get_running_loop().time() - UNUSED_SECONDS
        for conversation in [*self._live.values()]:
            if not conversation.sockets and conversation.state is not None and conversation.used_at < before:
                self._forget(conversation)

    def _forget(self, conversation: LiveConversation) -> None:
        if self._live.get(conversation.id) is conversation:
            del self._live[conversation.id]
            service_counts.CONVERSATIONS.dec()
            self._plane.leave(conversation, (conversation.topic,))

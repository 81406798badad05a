"""Users whose sockets hear all of their conversations: also those that are made while they are connected."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import NoReturn

import msgspec
from django.db import Error

from experience.chat import store
from experience.chat.conversations import LOOK_SECONDS, LOOK_WHILE_DEAF_SECONDS, Conversations, Unavailable
from experience.chat.live import LiveConversation
from experience.chat.messages import ConversationChanged, encode
from experience.chat.sockets import ChatSocket
from experience.chat.told import told_by_others
from experience.chat.topics import of_user
from proxy.api import DatabaseExecutor, Event, EventPlane

log = logging.getLogger(__name__)

# The newest, where a user takes part in more.
MOST_CONVERSATIONS = 2_000
MOST_NEWS = 1_000
# Rows that commit later than those behind them are looked at again, among so many.
LATE_ROWS = 200


class User:
    """One user's sockets here that hear everything."""

    gathers = False

    def __init__(self, user_id: str, attendance: Attendance) -> None:
        self.id, self.topic, self._attendance = user_id, of_user(user_id), attendance
        self.sockets: set[ChatSocket] = set()

    def inject(self, *events: Event) -> None:
        """Hear that the user takes part in conversations."""
        for event in events:
            try:
                message = told_by_others(event.text, instance=self._attendance.instance)
            except msgspec.DecodeError as error:
                log.warning("an event of the chat is not understood", extra={"why": str(error)})
                continue
            if isinstance(message, ConversationChanged):
                self._attendance.note(message.conversation_id, self.id)


class Attendance:
    """Joins sockets with conversations, and lets go of both."""

    def __init__(self, database: DatabaseExecutor, plane: EventPlane, conversations: Conversations) -> None:
        self._database, self._plane, self._conversations = database, plane, conversations
        self.instance = conversations.instance
        self._users: dict[str, User] = {}
        self._news: dict[str, set[str]] = defaultdict(set)
        self._wake = asyncio.Event()

    async def attend(self, socket: ChatSocket) -> None:
        """Have it hear its conversations.

        Raises:
            Unavailable: the database did not answer in time.
            KeyError: its user takes no part in `only`.
        """
        if socket.only is not None:
            found = await self._conversations.open_for(socket.user_id, [socket.only])
            if not found:
                raise KeyError(socket.only)
            self._join(socket, found[0])
            return
        user = self._users.setdefault(socket.user_id, User(socket.user_id, self))
        user.sockets.add(socket)
        if len(user.sockets) == 1:
            await self._plane.join(user, (user.topic,))
        try:
            ids = await self._database.run(store.conversations_of, socket.user_id, most=MOST_CONVERSATIONS)
        except (Error, TimeoutError):
            raise Unavailable from None
        for conversation in await self._conversations.open_for(socket.user_id, ids):
            self._join(socket, conversation)
        socket.is_attended = True

    def _join(self, socket: ChatSocket, conversation: LiveConversation) -> None:
        if conversation.has(socket.user_id):
            conversation.sockets.add(socket)
            socket.conversations.add(conversation)

    def leave(self, socket: ChatSocket) -> None:
        """Undo `attend`, also one that failed on its way."""
        for conversation in tuple(socket.conversations):
            conversation.gone(socket)
        socket.conversations.clear()
        user = self._users.get(socket.user_id)
        if user is None or socket not in user.sockets:
            return
        user.sockets.discard(socket)
        if not user.sockets:
            del self._users[user.id]
            self._plane.leave(user, (user.topic,))

    # --- What is new -----

    def note(self, conversation_id: str, user_id: str) -> None:
        """That user may take part in the conversation from now on."""
        user = self._users.get(user_id)
        if user is None:
            return
        known = self._conversations.known(conversation_id)
        if any(known not in socket.conversations for socket in user.sockets):
            self._news[conversation_id].add(user_id)
            self._wake.set()

    async def run(self) -> None:
        """Join what is new, and look for what nobody has told of, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._join_forever(), name="chat:join")
            tasks.create_task(self._look_forever(), name="chat:look-for-new")

    async def _join_forever(self) -> NoReturn:
        while True:
            await self._wake.wait()
            self._wake.clear()
            news, self._news = self._news, defaultdict(set)
            try:
                conversations = await self._conversations.open(news, afresh=True)
            except Unavailable:  # some seconds have passed
                for conversation_id, user_ids in news.items():
                    self._news[conversation_id] |= user_ids
                self._wake.set()
                continue
            for conversation in conversations:
                self._welcome(conversation, news[conversation.id])

    def _welcome(self, conversation: LiveConversation, user_ids: Iterable[str]) -> None:
        text = encode(ConversationChanged(conversation.id, conversation.participants))
        for user_id in user_ids:
            user = self._users.get(user_id)
            for socket in () if user is None else user.sockets:
                if conversation not in socket.conversations and conversation.has(user_id):
                    self._join(socket, conversation)
                    if socket.is_attended:  # else it is no news to who has just come
                        socket.tell(text)

    async def _look_forever(self) -> NoReturn:
        last: int | None = None
        while True:
            try:
                if last is None:
                    last = await self._database.run(store.last_participant)
                rows = await self._database.run(store.newest_participants, last - LATE_ROWS, most=MOST_NEWS)
            except (Error, TimeoutError) as error:
                log.warning("participants cannot be read", extra={"why": type(error).__name__})
                rows = []
            for row_id, conversation_id, user_id in rows:
                last = max(last or 0, row_id)
                self.note(conversation_id, user_id)
            if len(rows) < MOST_NEWS:
                await asyncio.sleep(LOOK_SECONDS if self._plane.is_connected else LOOK_WHILE_DEAF_SECONDS)

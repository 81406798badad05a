"""A conversation as one instance of the service knows it, and the sockets here that hear it.

The database has the truth, and what instances tell each other is the quick way to it: a message has its
number, so each instance hands all of them out in one order, reads those that it lacks, and skips none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Literal, Protocol

import msgspec

from experience.chat.identities import message_id, sequence_of
from experience.chat.messages import (
    ConversationBlocked,
    ConversationChanged,
    ConversationTyping,
    ConversationUnblocked,
    MessageCreated,
    MessageRead,
    ServiceMessage,
    encode,
)
from experience.chat.ordering import InOrder
from experience.chat.store import Kept, State
from experience.chat.told import created, kept_of, told_by_others
from experience.chat.topics import of_conversation
from proxy.api import Event

log = logging.getLogger(__name__)

# Who types says so again within this time, or has stopped.
TYPING_SECONDS = 6.0
# Instances are told of it again so often while it goes on.
TYPING_AGAIN_SECONDS = 3.0

Switch = Literal["on", "off"]


class Listener(Protocol):
    """A socket of a user."""

    user_id: str

    def tell(self, text: str) -> None:
        """Must not block and must not raise."""

    def left(self, conversation: LiveConversation) -> None:
        """Its user takes part in it no more."""


class Keeper(Protocol):
    """Who brings conversations up to date, and tells other instances. `instance` is its own name."""

    instance: str

    def is_stale(self, conversation: LiveConversation) -> None:
        """Who takes part, what is read or blocked may have changed: read it."""

    def lacks(self, conversation: LiveConversation) -> None:
        """Numbers are missing: read those messages, if they do not come in a moment."""

    def announce(self, topic: str, message: ServiceMessage) -> None:
        """Tell the other instances."""


class LiveConversation:
    """One conversation. `state` is None until it was read, and after it was found to be no more."""

    gathers = False

    def __init__(self, conversation_id: str, keeper: Keeper) -> None:
        self.id, self.topic, self._keeper = conversation_id, of_conversation(conversation_id), keeper
        self.state: State | None = None
        self.participants: tuple[str, ...] = ()
        # How many times it was to be read, and how many of these a reading has answered that began later.
        self.asked, self.answered = 0, 0
        self._was_read, self.is_heard = asyncio.Event(), False
        self.sockets: set[Listener] = set()
        self.used_at = 0.0
        self.order: InOrder[Kept] = InOrder()
        self._typing: dict[str, Typing] = {}

    # --- What the database has -----

    async def answer(self, number: int) -> None:
        """Wait until it was read since it was asked for so many times."""
        while self.answered < number:
            self._was_read.clear()
            await self._was_read.wait()

    def became(self, state: State | None, *, answers: int) -> None:
        """It was read, since it was asked for so many times; None: there is no such conversation."""
        before, self.state = self.state, state
        if before is not None and state is not None and before.version == state.version:
            # It was read while receipts came: what was told of them stands.
            state.read.update(
                {user: max(read, before.read.get(user, 0)) for user, read in state.read.items()}
            )
        self.participants = () if state is None else tuple(sorted(state.read))
        self.answered = answers
        self._was_read.set()
        if state is None:
            self._end()
            return
        for kept in self.order.begin(state.last):
            self._hand_out(kept)
        self._look_for_missing()
        if before is not None and before.read.keys() != state.read.keys():
            self._participants_changed()

    def _end(self) -> None:
        self._tell(self.sockets, ConversationChanged(self.id, ()))
        for socket in tuple(self.sockets):
            self.sockets.discard(socket)
            socket.left(self)

    def _participants_changed(self) -> None:
        self._tell(self.sockets, ConversationChanged(self.id, self.participants))
        for socket in [socket for socket in self.sockets if not self.has(socket.user_id)]:
            self.sockets.discard(socket)
            socket.left(self)

    def has(self, user_id: str) -> bool:
        """Whether the user takes part, as far as is known."""
        return self.state is not None and user_id in self.state.read

    @property
    def is_blocked(self) -> bool:
        return self.state is not None and self.state.is_blocked

    def tell_instances(self, message: ServiceMessage) -> None:
        """Have the other instances hear it."""
        self._keeper.announce(self.topic, message)

    # --- What is said -----

    def has_told(self, sequence: int) -> bool:
        """Whether the message of that number was handed out."""
        return self.order.last is not None and sequence <= self.order.last

    def said(self, kept: Kept) -> None:
        """A message was kept, here or elsewhere."""
        for each in self.order.take(kept.sequence, kept):
            self._hand_out(each)
        self._look_for_missing()

    def found(self, messages: Iterable[Kept], numbers: range, *, is_all: bool) -> None:
        """Messages of `numbers` were read; what is not there was deleted, and is not waited for."""
        for kept in messages:
            self._pass_over(kept.sequence)
            self.said(kept)
        if is_all:
            self._pass_over(numbers.stop)

    def _pass_over(self, number: int) -> None:
        for kept in self.order.pass_over(number):
            self._hand_out(kept)

    def looked(self, version: int | None, last: int) -> None:
        """What the database has now: None and 0 when the conversation is no more."""
        if self.state is None or version != self.state.version:
            self._keeper.is_stale(self)
        self.order.hear(last)
        self._look_for_missing()

    def _look_for_missing(self) -> None:
        if self.order.lacks:
            self._keeper.lacks(self)

    def _hand_out(self, kept: Kept) -> None:
        self._stopped_typing(kept.sender_id)
        own = [socket for socket in self.sockets if socket.user_id == kept.sender_id]
        self._tell(own, created(kept))
        self._tell(self.sockets.difference(own), created(kept, for_sender=False))

    # --- How far it was read -----

    def is_unread(self, user_id: str, sequence: int) -> bool:
        """Whether the user has not read so far yet, as far as is known."""
        return self.state is not None and self.state.read.get(user_id, sequence) < sequence

    def has_read(self, user_id: str, sequence: int, *, at: int) -> bool:
        """A user has read up to there. False if that was known."""
        if self.state is None or not self.is_unread(user_id, sequence):
            return False
        self.state.read[user_id] = sequence
        hearers = [socket for socket in self.sockets if not self.is_blocked or socket.user_id == user_id]
        self._tell(hearers, MessageRead(self.id, user_id, message_id(self.id, sequence), at))
        return True

    # --- Who types -----

    def types(self, user_id: str, state: Switch, *, here: bool = True) -> None:
        """A user types, or has stopped; `here`: said so to this instance, which tells the others."""
        if self.is_blocked:
            return
        if state == "off":
            self._stopped_typing(user_id, here=here)
            return
        typing = self._typing.get(user_id)
        if typing is None:
            typing = self._typing[user_id] = Typing()
            self._tell_typing(user_id, "on")
        if typing.goes_on(lambda: self._stopped_typing(user_id)) and here:
            self.tell_instances(ConversationTyping(self.id, user_id, "on"))

    def _stopped_typing(self, user_id: str, *, here: bool = False) -> None:
        typing = self._typing.pop(user_id, None)
        if typing is None:
            return
        typing.end()
        self._tell_typing(user_id, "off")
        if here:
            self.tell_instances(ConversationTyping(self.id, user_id, "off"))

    def _tell_typing(self, user_id: str, state: Switch) -> None:
        others = [socket for socket in self.sockets if socket.user_id != user_id]
        self._tell(others, ConversationTyping(self.id, user_id, state))

    def gone(self, socket: Listener) -> None:
        """The socket hears nothing more; with a user's last one here, the typing is over."""
        self.sockets.discard(socket)
        if not any(each.user_id == socket.user_id for each in self.sockets):
            self._stopped_typing(socket.user_id, here=True)

    # --- What other instances, and the HTTP API, say -----

    def inject(self, *events: Event) -> None:
        """Hear events of the conversation's topic."""
        for event in events:
            try:
                message = told_by_others(event.text, instance=self._keeper.instance)
                if message is not None:
                    self._hear(message)
            except (msgspec.DecodeError, ValueError) as error:
                log.warning("an event of the chat is not understood", extra={"why": str(error)})

    def _hear(self, message: ServiceMessage) -> None:
        if isinstance(message, MessageCreated):
            self.said(kept_of(message))
        elif isinstance(message, MessageRead):
            sequence = sequence_of(message.up_to_message_id, conversation_id=self.id)
            self.has_read(message.user_id, sequence, at=message.read_at)
        elif isinstance(message, ConversationTyping):
            self.types(message.user_id, message.state, here=False)
        elif isinstance(message, ConversationBlocked | ConversationUnblocked | ConversationChanged):
            if not isinstance(message, ConversationChanged):
                self._tell(self.sockets, message)
            self._keeper.is_stale(self)

    def _tell(self, sockets: Iterable[Listener], message: ServiceMessage) -> None:
        text = ""
        for socket in tuple(sockets):
            text = text or encode(message)
            socket.tell(text)


class Typing:
    """That a user types, until some seconds after it was said last."""

    __slots__ = ("_announced_at", "_end")

    def __init__(self) -> None:
        self._end: asyncio.TimerHandle | None = None
        self._announced_at = float("-inf")

    def goes_on(self, at_end: Callable[[], None]) -> bool:
        """True when it is time to tell other instances again."""
        self.end()
        loop = asyncio.get_running_loop()
        self._end = loop.call_later(TYPING_SECONDS, at_end)
        if loop.time() - self._announced_at < TYPING_AGAIN_SECONDS:
            return False
        self._announced_at = loop.time()
        return True

    def end(self) -> None:
        if self._end is not None:
            self._end.cancel()

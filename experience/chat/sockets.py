"""The sockets of one instance: what waits for each to be sent, and the pings."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import UNSET

from experience.chat import service_counts
from experience.chat.messages import Error, ServicePing, encode
from proxy.api import Close, child

if TYPE_CHECKING:
    from experience.chat.live import LiveConversation

log = logging.getLogger(__name__)

# Of this process's memory, which a character takes one to four of.
MOST_WAITING_BYTES = 1 << 20
# Messages of one socket that are on their way to the database; then no more of it is read.
MOST_UNDER_WAY = 32
PING_SECONDS = 30
SLOW = Close(1008, "slow consumer")

Send = Callable[[dict[str, Any]], Awaitable[None]]


class ChatSocket:
    """One client's socket, once it is accepted. `only`: the one conversation that it hears; None: all."""

    def __init__(self, send: Send, *, user_id: str, only: str | None) -> None:
        self._send, self.user_id, self.only = send, user_id, only
        self.conversations: set[LiveConversation] = set()
        self.is_attended = False  # once it has joined all that there were
        self.under_way = asyncio.Semaphore(MOST_UNDER_WAY)
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._close: Close | None = None

    def tell(self, text: str) -> None:
        """Have it sent, in order. A client that reads too slowly is closed, which costs no other anything."""
        if self._close is not None:
            return
        self._waiting.append(text)
        self._waiting_bytes += sys.getsizeof(text)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            log.warning("a client reads too slowly", extra={"user_id": self.user_id})
            service_counts.SLOW_CONSUMERS_TOTAL.inc()
            self._waiting.clear()
            self.close(SLOW)
        self._wake.set()

    def refuse(self, code: str, message: str, key: object = UNSET) -> None:
        """Answer a message with an error; `key` is the idempotency key of what was sent."""
        child(service_counts.ERRORS_TOTAL, code).inc()
        self.tell(encode(Error(code, message, key if isinstance(key, str) else UNSET)))

    def close(self, close: Close) -> None:
        """Say nothing more but this; the first close wins."""
        self._close = self._close or close
        self._wake.set()

    def left(self, conversation: LiveConversation) -> None:
        """It hears the conversation no more. A socket of just this one has nothing left to hear."""
        self.conversations.discard(conversation)
        if self.only is not None:
            self.close(Close(1008, "no participant any more"))

    async def write(self) -> None:
        """Send what there is to tell, until the close was sent."""
        while self._close is None:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                text = self._waiting.popleft()
                self._waiting_bytes -= sys.getsizeof(text)
                await self._send({"type": "websocket.send", "text": text})
        await self._send({"type": "websocket.close", "code": self._close.code, "reason": self._close.reason})


class Sockets:
    """All that are open, in as many slots as the seconds between two pings."""

    def __init__(self) -> None:
        self._slots: tuple[set[ChatSocket], ...] = tuple(set() for _ in range(PING_SECONDS))
        self._next_slot: Iterator[set[ChatSocket]] = itertools.cycle(self._slots)

    @property
    def count(self) -> int:
        return sum(map(len, self._slots))

    def add(self, socket: ChatSocket) -> Callable[[], None]:
        """Count it in; answers what counts it out."""
        slot = next(self._next_slot)
        slot.add(socket)
        service_counts.SOCKETS.inc()

        def count_out() -> None:
            slot.discard(socket)
            service_counts.SOCKETS.dec()

        return count_out

    async def ping_forever(self) -> NoReturn:
        """Ping each of them twice a minute, those of one slot a second, until cancelled."""
        text = encode(ServicePing())
        for slot in itertools.cycle(self._slots):
            await asyncio.sleep(1.0)
            for socket in tuple(slot):
                socket.tell(text)
        raise AssertionError("unreachable: slots never end")

"""What a link does while its member is lost: how long it goes on trying, and which messages wait.

A message is either handed over to a member, once, or it waits here. What was handed over is forgotten,
whatever becomes of that member: it is never sent twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import StrEnum

from proxy.core import closes
from proxy.core.backoff import delays, jittered
from proxy.core.closes import ABNORMAL, Close, ClosedBy
from proxy.core.wire.control_messages import encode

Message = str | bytes

# Closes of an upstream that mean "I am going", not "we are done".
LOSSES = frozenset({1001, ABNORMAL, 1011, 1012})
# What a waiting message costs beside its payload, so that empty ones are bounded, too.
MESSAGE_COST_BYTES = 64
FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 3.0
# A member that is lost sooner than this after it was dialled has not ended the outage before.
STEADY_SECONDS = 5.0


class Phase(StrEnum):
    """Where a link stands with its members; the values are what clients are told."""

    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    LOST = "lost"


def is_loss(close: Close, by: ClosedBy) -> bool:
    """Whether an upstream leg that ended so leaves a client to be carried over; else the link ends with it.

    The gateway itself gives an upstream up (1011) that answers no pings or breaks the protocol: a loss, too.
    """
    if by is ClosedBy.GATEWAY:
        return close == closes.UPSTREAM_FAILED
    return by is ClosedBy.UPSTREAM and close.code in LOSSES


def notice(phase: Phase) -> str:
    """What the client reads of it."""
    return encode(type="gateway.upstream", state=phase.value)


class Backlog:
    """Messages that were not handed over, oldest first: `max_bytes` of them, or one, however large."""

    __slots__ = ("_max_bytes", "_messages", "size_bytes")

    def __init__(self, *, max_bytes: int) -> None:
        self._messages: deque[tuple[Message, int]] = deque()
        self._max_bytes = max_bytes
        self.size_bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._messages

    def fits(self, size_bytes: int) -> bool:
        """Whether a message of that payload may wait here now."""
        return not self._messages or self.size_bytes + size_bytes + MESSAGE_COST_BYTES <= self._max_bytes

    def put(self, message: Message, size_bytes: int) -> None:
        cost = size_bytes + MESSAGE_COST_BYTES
        self._messages.append((message, cost))
        self.size_bytes += cost

    def take(self) -> Message:
        """The oldest, which counts as handed over from now on. Raises IndexError when none waits."""
        message, cost = self._messages.popleft()
        self.size_bytes -= cost
        return message


class Resumption:
    """One link over its members. Times are seconds on any monotonic clock, passed in.

    Reconnecting costs from a budget of `window_seconds`, which only a member that stays refills: one that
    accepts and dies at once, again and again, cannot hold a client forever.
    """

    def __init__(self, *, window_seconds: float, max_bytes: int) -> None:
        self.phase = Phase.CONNECTED
        self.backlog = Backlog(max_bytes=max_bytes)
        self._window_seconds = self._left_seconds = window_seconds
        self._connected_at = self._deadline = 0.0
        self._delays = _new_delays()

    @property
    def flows(self) -> bool:
        """Whether a message may be handed over at once: there is a member, and nothing waits before it."""
        return self.phase is Phase.CONNECTED and self.backlog.is_empty

    def lost(self, now: float) -> None:
        """The member is gone; try others from now on."""
        if now - self._connected_at >= STEADY_SECONDS:
            self._left_seconds, self._delays = self._window_seconds, _new_delays()
        self.phase, self._deadline = Phase.RECONNECTING, now + self._left_seconds

    def next_delay_seconds(self, now: float, *, random: float) -> float | None:
        """How long to wait before the next dial; None: the time is up, and the link is lost.

        `random` is in [0, 1). The first waits are short but spread, since all links of a member
        lose it in the same moment.
        """
        if now >= self._deadline:
            self.phase = Phase.LOST
            return None
        delay_seconds = jittered(next(self._delays), fraction=1.0, random=random)
        return min(delay_seconds, self.left_seconds(now))

    def left_seconds(self, now: float) -> float:
        """What is left to reconnect in."""
        return max(self._deadline - now, 0.0)

    def connected(self, now: float) -> None:
        """Another member has answered."""
        self.phase, self._connected_at = Phase.CONNECTED, now
        self._left_seconds = self.left_seconds(now)


def _new_delays() -> Iterator[float]:
    return delays(FIRST_DELAY_SECONDS, longest_seconds=LONGEST_DELAY_SECONDS)

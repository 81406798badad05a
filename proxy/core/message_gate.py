"""May this message pass? The buckets of one link and of its user, asked once a message."""

from __future__ import annotations

from proxy.core.buckets import Bucket
from proxy.core.control import encode
from proxy.core.limits import MessageLimits, Rate

# A flood of refused messages is answered at most this often, or the answers would be a flood themselves.
ANSWER_SECONDS = 0.1


class UserBuckets:
    """What one user may still send, over all its links of one process. Shared by their gates."""

    __slots__ = ("gates", "pairs")

    def __init__(self, limits: MessageLimits) -> None:
        self.pairs = _pairs(limits.messages_per_user, limits.bytes_per_user)
        self.gates = 0


class MessageGate:
    """The gate of one link. `now` is any monotonic clock in seconds."""

    __slots__ = ("_answer_at", "_buckets", "dropped")

    def __init__(self, limits: MessageLimits, user: UserBuckets) -> None:
        own = _pairs(limits.messages_per_connection, limits.bytes_per_connection)
        self._buckets = (*own, *user.pairs)
        self._answer_at = 0.0
        self.dropped = 0

    def wait_seconds(self, size_bytes: int, now: float) -> float:
        """0 if a message of that size may pass, which takes it from all buckets; else how long to wait."""
        longest = 0.0
        for bucket, per_byte in self._buckets:
            longest = max(longest, bucket.wait_seconds(now, tokens=size_bytes if per_byte else 1))
        if longest > 0.0:
            self.dropped += 1
            return longest
        for bucket, per_byte in self._buckets:
            bucket.take(now, tokens=size_bytes if per_byte else 1)
        return 0.0

    def answer(self, wait_seconds: float, now: float) -> str | None:
        """What to tell the client of a dropped message; None if it was told a moment ago."""
        if now < self._answer_at:
            return None
        self._answer_at = now + ANSWER_SECONDS
        return encode(
            type="error",
            code="rate_limited",
            message="Too many messages; this one was dropped.",
            retry_after_ms=int(wait_seconds * 1000) + 1,
        )


class MessageGates:
    """All gates of one route in one process, and the buckets of their users: as many as have live links."""

    def __init__(self, limits: MessageLimits) -> None:
        self._limits = limits
        self._users: dict[str, UserBuckets] = {}

    def open(self, user_id: str) -> MessageGate:
        """A gate for a new link; give it back with `close`."""
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = UserBuckets(self._limits)
        user.gates += 1
        return MessageGate(self._limits, user)

    def close(self, user_id: str) -> None:
        """A link of that user has ended."""
        user = self._users.get(user_id)
        if user is not None:
            user.gates -= 1
            if user.gates <= 0:
                del self._users[user_id]


def _pairs(messages: Rate | None, size_bytes: Rate | None) -> tuple[tuple[Bucket, bool], ...]:
    rates = ((messages, False), (size_bytes, True))
    return tuple((Bucket(rate), per_byte) for rate, per_byte in rates if rate is not None)

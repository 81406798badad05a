"""May this message pass? The buckets of one link and of its user, asked once a message."""

from __future__ import annotations

from proxy.core.buckets import Bucket
from proxy.core.limits import BYTES_A_DROP, DROPPED_RATE, UNLIMITED, MessageLimits, Rate
from proxy.core.wire.control_messages import encode

# A flood of refused messages is answered at most this often, or the answers would be a flood themselves.
ANSWER_SECONDS = 0.1
# Messages that may pass between two looks at the buckets, where they are only counted.
MOST_GRANTED = 16


def _buckets(rate: Rate | None) -> tuple[Bucket, ...]:
    return () if rate is None else (Bucket(rate),)


class UserBuckets:
    """What one user may still send, over all its links of one process. Shared by their gates."""

    __slots__ = ("dropped", "gates", "messages", "sizes")

    def __init__(self, limits: MessageLimits) -> None:
        self.messages = _buckets(limits.messages_per_user)
        self.sizes = _buckets(limits.bytes_per_user)
        self.dropped = Bucket(DROPPED_RATE)
        self.gates = 0


NO_USER = UserBuckets(UNLIMITED)


class MessageGate:
    """The gate of one link. `now` is any monotonic clock in seconds."""

    __slots__ = (
        "_answer_at",
        "_bound",
        "_charged_bytes",
        "_dropped",
        "_grant",
        "_messages",
        "_sizes",
        "_user",
    )

    def __init__(self, limits: MessageLimits, user: UserBuckets) -> None:
        self._messages = (*_buckets(limits.messages_per_connection), *user.messages)
        self._sizes = (*_buckets(limits.bytes_per_connection), *user.sizes)
        self._user, self._grant = user, _grant(limits)
        self._dropped: Bucket | None = user.dropped if limits.is_per_user else None
        self._bound = ""
        self._answer_at = 0.0
        self._charged_bytes = 0

    def wait_seconds(self, size_bytes: int, now: float) -> float:
        """0 if a message of that size may pass, which takes it from all buckets; else how long to wait."""
        asked = [(bucket, 1) for bucket in self._messages] + [(bucket, size_bytes) for bucket in self._sizes]
        longest = max((bucket.wait_seconds(now, tokens=tokens) for bucket, tokens in asked), default=0.0)
        for bucket, tokens in asked:
            if longest == 0.0:
                bucket.take(now, tokens=tokens)
            elif bucket.wait_seconds(now, tokens=tokens) == longest:
                self._bound = self._name_of(bucket)
        return longest

    def _name_of(self, bucket: Bucket) -> str:
        """The bound that a bucket keeps, as MessageLimits calls it."""
        kind = "bytes" if bucket in self._sizes else "messages"
        is_users = bucket in self._user.messages or bucket in self._user.sizes
        return f"{kind}_per_{'user' if is_users else 'connection'}"

    def grant(self, now: float, *, sent_bytes: int) -> tuple[int, float]:
        """How many messages may pass unasked, or how long to wait until some may: one of the two is 0.

        For a stream whose messages are counted only; `sent_bytes` is all of its payload so far.
        """
        size_bytes, self._charged_bytes = sent_bytes - self._charged_bytes, sent_bytes
        owed = [bucket.charge(now, tokens=size_bytes) for bucket in self._sizes]
        waits = [bucket.wait_seconds(now, tokens=self._grant) for bucket in self._messages]
        longest = max((*owed, *waits), default=0.0)
        if longest:
            return 0, longest
        for bucket in self._messages:
            bucket.take(now, tokens=self._grant)
        return self._grant, 0.0

    def dropped(self, size_bytes: int, now: float) -> float:
        """A message had to wait and was dropped: how long to read nothing more, as reading costs, too."""
        if self._dropped is None:
            self._dropped = Bucket(DROPPED_RATE)
        return self._dropped.charge(now, tokens=1 + size_bytes // BYTES_A_DROP)

    def answer(self, wait_seconds: float, now: float) -> str | None:
        """What to tell the client of the message that had to wait; None if it was told a moment ago."""
        if now < self._answer_at:
            return None
        self._answer_at = now + ANSWER_SECONDS
        return encode(
            type="error",
            code="rate_limited",
            message="Too many messages; this one was dropped.",
            bound=self._bound,
            retry_after_ms=int(wait_seconds * 1000) + 1,
        )


class MessageGates:
    """All gates of one route in one process, and the buckets of their users: as many as have live links."""

    def __init__(self, limits: MessageLimits) -> None:
        self._limits = limits
        self._users: dict[str, UserBuckets] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no link of any user holds a gate."""
        return not self._users

    def open(self, user_id: str) -> MessageGate:
        """A gate for a new link; give it back with `close`."""
        if not self._limits.is_per_user:
            return MessageGate(self._limits, NO_USER)
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


def _grant(limits: MessageLimits) -> int:
    """How many messages pass between two looks; one where sizes count.

    Few of what the smallest bucket holds, and of a tenth of a second's: nobody is stopped in clumps.
    """
    if limits.bytes_per_connection is not None or limits.bytes_per_user is not None:
        return 1
    rates = (limits.messages_per_connection, limits.messages_per_user)
    shares = (min(rate.count / 8, rate.per_second / 10) for rate in rates if rate is not None)
    return max(1, min(MOST_GRANTED, int(min(shares, default=MOST_GRANTED))))

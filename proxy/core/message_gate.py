"""May the next messages pass? The buckets of one link and of its user."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from proxy.core import closes
from proxy.core.answers import one_text
from proxy.core.buckets import Bucket, take_of_all
from proxy.core.hook_failures import calling_hook
from proxy.core.limits import BYTES_A_DROP, DROPPED_RATE, UNLIMITED, MessageLimits, OverRate, Rate
from proxy.core.policies import Verdict
from proxy.core.wire.control_messages import encode

# A flood of refused messages is answered at most this often, or the answers would be a flood themselves.
ANSWER_SECONDS = 0.1
# Messages that may pass between two looks at the buckets, where they are only counted: each is a turn.
MOST_GRANTED = 256
# How long a client that goes beyond its rate is not read: its flood waits with it, and costs it alone.
MOST_PAUSE_SECONDS = 1.0


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
    """The gate of one link, in front of its policy. `now` is any monotonic clock in seconds.

    What messages carry is known once they are there, and charged then: who has sent more bytes than it may
    waits with its next message. One that has begun is let in whole.
    """

    __slots__ = ("_answer_at", "_at_once", "_dropped", "_messages", "_phrase", "_sizes", "_user", "over")

    def __init__(
        self, limits: MessageLimits, user: UserBuckets, *, phrase: Callable[[str], str] | None = None
    ) -> None:
        self._messages = (*_buckets(limits.messages_per_connection), *user.messages)
        self._sizes = (*_buckets(limits.bytes_per_connection), *user.sizes)
        self._user, self._phrase = user, phrase
        self._dropped: Bucket | None = user.dropped if limits.is_per_user else None
        self._answer_at = 0.0
        self.over, self._at_once = limits.over, _at_once(limits)

    @property
    def at_once(self) -> int:
        """How many messages may be asked for at once, to look at the buckets no more often than needed.

        A user's links share them: what one was granted and has not sent, another of them would lack.
        """
        return max(1, self._at_once // max(1, self._user.gates))

    def grant(self, now: float, *, most: int) -> tuple[int, float]:
        """How many messages may begin, or how long to wait until some may: one of the two is 0.

        `most`, which is at most `at_once`; or one, where the next would be refused rather than wait.
        """
        seconds = self._take(now, most)
        if seconds and most > 1 and self.over is not OverRate.WAIT:
            most, seconds = 1, self._take(now, 1)
        return (0, seconds) if seconds else (most, 0.0)

    def _take(self, now: float, messages: int) -> float:
        """Let so many messages begin, and answer 0; or answer how long they have to wait."""
        owed_seconds = 0.0
        for bucket in self._sizes:
            owed_seconds = max(owed_seconds, bucket.charge(now, tokens=0))
        if owed_seconds:
            waits = [bucket.wait_seconds(now, tokens=messages) for bucket in self._messages]
            return max([owed_seconds, *waits])
        return take_of_all(self._messages, now, tokens=messages)

    def charge(self, now: float, size_bytes: int) -> None:
        """Messages that were let in carried so much."""
        for bucket in self._sizes:
            bucket.charge(now, tokens=size_bytes)

    def refuse(self, now: float, *, messages: int, size_bytes: int) -> Verdict:
        """What becomes of so many messages that may not begin: they are dropped, or the link ends.

        0 messages: it is the rest of one that was refused before.

        What is dropped is read no faster than DROPPED_RATE, as reading costs, too; nor is anything before the
        next message may begin, so that who goes on and on waits with its own flood. Raises HookFailed.
        """
        if self.over is OverRate.CLOSE:
            return Verdict(forward=False, close=closes.MESSAGE_RATE)
        waits = [(bucket.wait_seconds(now, tokens=1), bucket) for bucket in self._messages]
        waits += [(bucket.charge(now, tokens=0), bucket) for bucket in self._sizes]
        wait_seconds, bucket = max(waits, key=itemgetter(0))
        if self._dropped is None:
            self._dropped = Bucket(DROPPED_RATE)
        unread_seconds = self._dropped.charge(now, tokens=messages + size_bytes // BYTES_A_DROP)
        return Verdict(
            forward=False,
            reply=self._answer(bucket, wait_seconds, now) if messages else None,
            pause_seconds=max(min(wait_seconds, MOST_PAUSE_SECONDS), unread_seconds),
        )

    def _answer(self, bucket: Bucket, wait_seconds: float, now: float) -> str | None:
        """What to tell the client of a message that had to wait; None if it was told a moment ago."""
        if now < self._answer_at:
            return None
        self._answer_at = now + ANSWER_SECONDS
        answer = encode(
            type="error",
            code="rate_limited",
            message="Too many messages; this one was dropped.",
            bound=self._name_of(bucket),
            retry_after_ms=int(wait_seconds * 1000) + 1,
        )
        if self._phrase is None:
            return answer
        with calling_hook("phrase"):
            return one_text(self._phrase(answer))

    def _name_of(self, bucket: Bucket) -> str:
        """The bound that a bucket keeps, as MessageLimits calls it."""
        kind = "bytes" if bucket in self._sizes else "messages"
        is_users = bucket in self._user.messages or bucket in self._user.sizes
        return f"{kind}_per_{'user' if is_users else 'connection'}"


class MessageGates:
    """All gates of one route in one process, and the buckets of their users: as many as have live links."""

    def __init__(self, limits: MessageLimits, *, phrase: Callable[[str], str] | None = None) -> None:
        """`phrase` is the route's: how its clients are told that a message was dropped."""
        self._limits, self._phrase = limits, phrase
        self._users: dict[str, UserBuckets] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no link of any user holds a gate."""
        return not self._users

    def open(self, user_id: str) -> MessageGate:
        """A gate for a new link; give it back with `close`."""
        if not self._limits.is_per_user:
            return MessageGate(self._limits, NO_USER, phrase=self._phrase)
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = UserBuckets(self._limits)
        user.gates += 1
        return MessageGate(self._limits, user, phrase=self._phrase)

    def close(self, user_id: str) -> None:
        """A link of that user has ended."""
        user = self._users.get(user_id)
        if user is not None:
            user.gates -= 1
            if user.gates <= 0:
                del self._users[user_id]


def _at_once(limits: MessageLimits) -> int:
    """How many messages pass between two looks; one where sizes count.

    Few of what the smallest bucket holds, and of a tenth of a second's: nobody is stopped in clumps.
    """
    if limits.bytes_per_connection is not None or limits.bytes_per_user is not None:
        return 1
    rates = (limits.messages_per_connection, limits.messages_per_user)
    shares = (min(rate.count / 8, rate.per_second / 10) for rate in rates if rate is not None)
    return max(1, min(MOST_GRANTED, int(min(shares, default=MOST_GRANTED))))

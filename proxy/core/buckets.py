"""Token buckets, each kept as one number: when it will be full again (the generic cell rate algorithm).

A bucket of rate `count/seconds` holds `count` tokens and fills at that rate. A full bucket says nothing, so
it need not be kept: that is what bounds a map of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from proxy.core.limits import Rate


class Bucket:
    """One token bucket; full at first."""

    __slots__ = ("_full_at", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at = 0.0

    def take(self, now: float, *, tokens: float = 1.0) -> float:
        """Take `tokens`, and answer 0; or take nothing, and answer the seconds until there are enough.

        More than the bucket holds is taken from a full one, else a big message could never pass.
        """
        full_at, wait_seconds = taken(self._full_at, now, self._rate, tokens=tokens)
        if wait_seconds == 0.0:
            self._full_at = full_at
        return wait_seconds

    def wait_seconds(self, now: float, *, tokens: float = 1.0) -> float:
        """What `take` would answer; takes nothing."""
        return taken(self._full_at, now, self._rate, tokens=tokens)[1]

    def charge(self, now: float, *, tokens: float) -> float:
        """Take `tokens` that were used up already, and answer the seconds until the debt is paid."""
        self._full_at, wait_seconds = charged(self._full_at, now, self._rate, tokens=tokens)
        return wait_seconds


def take_of_all(buckets: Iterable[Bucket], now: float, *, tokens: float) -> float:
    """Take `tokens` of each, and answer 0; or take nothing of any, and answer the longest wait."""
    longest_seconds, afterwards = 0.0, []
    for bucket in buckets:
        full_at, wait_seconds = taken(bucket._full_at, now, bucket._rate, tokens=tokens)
        afterwards.append((bucket, full_at))
        longest_seconds = max(longest_seconds, wait_seconds)
    if longest_seconds == 0.0:
        for bucket, full_at in afterwards:
            bucket._full_at = full_at
    return longest_seconds


class Buckets:
    """A bucket a key, at most `most` of them, each O(1) to use.

    When there are too many, those used longest ago go first. Nearly always they are full again and lose
    nothing; under a flood of distinct keys some client gets a few tokens back early, and memory is bounded.
    """

    def __init__(self, rate: Rate, *, most: int = 65_536) -> None:
        self._rate, self._most = rate, most
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, now: float, *, tokens: float = 1.0) -> float:
        """As `Bucket.take`, from the bucket of `key`."""
        full_at, wait_seconds = taken(self._full_at.get(key, 0.0), now, self._rate, tokens=tokens)
        if wait_seconds == 0.0:
            self._full_at[key] = full_at
            self._full_at.move_to_end(key)
            self._forget(now)
        return wait_seconds

    def _forget(self, now: float) -> None:
        """Drop what is over the bound, and of the oldest two those that are full: so the map shrinks, too."""
        while len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        for _ in range(2):
            oldest = next(iter(self._full_at), None)
            if oldest is None or self._full_at[oldest] > now:
                return
            del self._full_at[oldest]


def charged(full_at: float, now: float, rate: Rate, *, tokens: float) -> tuple[float, float]:
    """When a bucket will be full if `tokens` are taken at any rate, and how long until that is paid for.

    For what can only be counted once it is there: whoever sent it is not heard for so many seconds.
    """
    after = max(full_at, now) + tokens * rate.seconds_each
    return after, max(after - now - rate.seconds, 0.0)


def taken(full_at: float, now: float, rate: Rate, *, tokens: float) -> tuple[float, float]:
    """When a bucket that is full at `full_at` will be full after `tokens` are taken, and how long to wait.

    A wait of 0 means that they could be taken.
    """
    start = full_at if full_at > now else now
    after = start + (tokens if tokens < rate.count else rate.count) * rate.seconds_each
    over_seconds = after - now - rate.seconds
    # A thousandth of a token is forgiven, so that rounding never refuses the last one of a bucket.
    return (after, 0.0) if over_seconds <= 0.001 * rate.seconds_each else (full_at, over_seconds)

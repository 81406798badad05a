"""A circuit breaker: stop dialling what keeps failing, and try again, one at a time, ever more rarely.

closed     all dials are allowed; `failures_to_open` failures in a row open it
open       none are, for a wait that doubles each time, with jitter
half-open  the wait is over: one trial at a time; its success closes, its failure opens again
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.backoff import delays, jittered


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    failures_to_open: int = 3
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0
    jitter_fraction: float = 0.2

    def __post_init__(self) -> None:
        if self.failures_to_open < 1 or not 0 < self.first_wait_seconds <= self.longest_wait_seconds:
            raise ValueError(f"not the limits of a breaker: {self}")


class Breaker:
    """The breaker of one member. `now` is any monotonic clock in seconds, `random` is in [0, 1)."""

    __slots__ = ("_failures", "_limits", "_on_trial", "_opened_until", "_waits")

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._failures = 0
        self._opened_until: float | None = None
        self._on_trial = False
        self._waits = self._new_waits()

    def state(self, now: float) -> BreakerState:
        if self._opened_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._opened_until else BreakerState.HALF_OPEN

    def allows(self, now: float) -> bool:
        """Whether a dial may begin now. Changes nothing."""
        state = self.state(now)
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and not self._on_trial)

    def begin(self, now: float) -> None:
        """A dial that was allowed begins. It ends with exactly one of the three below."""
        if self.state(now) is BreakerState.HALF_OPEN:
            self._on_trial = True

    def succeeded(self) -> None:
        """The member answered: closed, and all is forgotten."""
        self._failures, self._opened_until, self._on_trial = 0, None, False
        self._waits = self._new_waits()

    def failed(self, now: float, *, random: float) -> None:
        """The member did not answer, or lost a link early. While open, this changes nothing."""
        self._on_trial = False
        state = self.state(now)
        if state is BreakerState.OPEN:
            return
        self._failures += 1
        if state is BreakerState.HALF_OPEN or self._failures >= self._limits.failures_to_open:
            wait = jittered(next(self._waits), fraction=self._limits.jitter_fraction, random=random)
            self._opened_until = now + wait

    def given_up(self) -> None:
        """The dial ended without telling anything about the member (the client left)."""
        self._on_trial = False

    def _new_waits(self) -> Iterator[float]:
        return delays(self._limits.first_wait_seconds, longest_seconds=self._limits.longest_wait_seconds)

"""A circuit breaker: stop dialling what keeps failing, and try again, one at a time, ever more rarely.

closed     all dials are allowed; `failures_to_open` failures in a row open it
open       none are, for a wait that doubles each time, with jitter
half-open  the wait is over: one trial at a time; its success closes, its failure opens again

A failure that a client's own request may have caused names that client. However often one client fails, it
counts once: only different clients, or failures that no client can cause, open the breaker. Nor may one use
up the trials: after one of its own failed, the next ones are for others, for the longest wait.
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

    __slots__ = (
        "_barred",
        "_barred_until",
        "_failures",
        "_limits",
        "_on_trial",
        "_opened_until",
        "_suspects",
        "_waits",
    )

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._opened_until: float | None = None
        self.succeeded()

    def state(self, now: float) -> BreakerState:
        if self._opened_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._opened_until else BreakerState.HALF_OPEN

    def allows(self, now: float, *, by: str | None = None) -> bool:
        """Whether a dial may begin now, by that client. Changes nothing."""
        state = self.state(now)
        if state is not BreakerState.HALF_OPEN:
            return state is BreakerState.CLOSED
        return not self._on_trial and (by is None or by != self._barred or now >= self._barred_until)

    def wait_seconds(self, now: float) -> float:
        """How long until a dial may begin; 0.0 unless it is open."""
        return max((self._opened_until or now) - now, 0.0)

    def begin(self, now: float) -> None:
        """A dial that was allowed begins. It ends with exactly one of the three below."""
        if self.state(now) is BreakerState.HALF_OPEN:
            self._on_trial = True

    def succeeded(self) -> None:
        """The member answered: closed, and all is forgotten."""
        self._failures, self._suspects, self._opened_until, self._on_trial = 0, set[str](), None, False
        self._barred, self._barred_until = "", 0.0
        self._waits = self._new_waits()

    def well(self, now: float) -> None:
        """The member was seen to be well by other means: if it is open, the next dial is a trial."""
        if self._opened_until is not None:
            self._opened_until = min(self._opened_until, now)

    def failed(self, now: float, *, random: float, by: str | None = None) -> None:
        """The member did not answer, or lost a link early. While open, this changes nothing.

        `by`: the client whose request it may have been; None where no client can be the cause.
        """
        self._on_trial = False
        state = self.state(now)
        if state is BreakerState.OPEN:
            return
        if by is None:
            self._failures += 1
        else:
            self._suspects.add(by)
        if state is BreakerState.HALF_OPEN:
            self._barred, self._barred_until = by or "", now + self._limits.longest_wait_seconds
        elif self._failures + len(self._suspects) < self._limits.failures_to_open:
            return
        wait = jittered(next(self._waits), fraction=self._limits.jitter_fraction, random=random)
        self._opened_until, self._suspects = now + wait, set()

    def given_up(self) -> None:
        """The dial ended without telling anything about the member (the client left)."""
        self._on_trial = False

    def _new_waits(self) -> Iterator[float]:
        return delays(self._limits.first_wait_seconds, longest_seconds=self._limits.longest_wait_seconds)

"""A circuit breaker: stop dialling what keeps failing, and try again, one at a time, ever more rarely.

closed     all dials are allowed; `failures_to_open` failures in a row open it
open       none are, for a wait that doubles each time, with jitter
half-open  the wait is over: one trial at a time; its success closes, its failure opens again

A failure that a client's own request may have caused names that client. However often one client fails, it
counts once: only different clients, or failures that no client can cause, open the breaker. Nor may a few use
up the trials: whose trial failed leaves the next ones to others, until nobody else came for the longest wait.
A client that was let in and lost is one of them until the member keeps a link: to answer is not to serve.

Each dial has a number, and ends with it. One that began before the breaker last opened or closed speaks of
a member as it was then: its failure counts for nothing, its success ends the wait, as a probe's would. One
that was given up since the member had answered fails all the same if the answer proves wrong: the trial goes
on to the next client meanwhile, and the first verdict of either counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.backoff import delays, jittered

# Clients whose trials failed that are remembered; beyond that, the first of them may try again.
MOST_BARRED = 16


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

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._begun = self._counts_from = 0  # dials, so that each has a number
        self._opened_until: float | None = None
        self._suspects: set[str] = set()
        self._lost: set[str] = set()
        self._waits: Iterator[float] = iter(())
        self._close(counts_from=1)

    def state(self, now: float) -> BreakerState:
        if self._opened_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._opened_until else BreakerState.HALF_OPEN

    def allows(self, now: float, *, by: str | None = None) -> bool:
        """Whether a dial may begin now, by that client. Changes nothing."""
        if self._opened_until is None:
            return True
        if now < self._opened_until or self._on_trial:
            return False
        return by not in self._barred or now >= self._opened_until + self._limits.longest_wait_seconds

    def wait_seconds(self, now: float) -> float:
        """How long until a dial may begin; 0.0 unless it is open."""
        return 0.0 if self._opened_until is None else max(self._opened_until - now, 0.0)

    def begin(self, now: float) -> int:
        """A dial that was allowed begins; answers its number, for `succeeded`, `failed` and `given_up`."""
        self._begun += 1
        self._on_trial = self.state(now) is BreakerState.HALF_OPEN
        return self._begun

    def succeeded(self, dial: int, now: float) -> None:
        """The member answered: closed, and all is forgotten but lost links, if it was closed already."""
        if dial < self._counts_from:
            self.well(now)
        elif self._opened_until is None:
            self._failures, self._suspects = 0, set()
        else:
            self._close(counts_from=dial)

    def well(self, now: float) -> None:
        """The member was seen to be well by other means: if it is open, the next dial is a trial.

        Once a trial has failed all the same, this says nothing until the member was seen to be ill again.
        """
        if self._opened_until is not None and not self._is_doubted:
            self._opened_until = min(self._opened_until, now)

    def ill(self) -> None:
        """The member was seen to be ill by other means: that it is well will be news."""
        self._is_doubted = False

    def kept_a_link(self) -> None:
        """The member does not lose every link: those that it lost early are forgotten."""
        self._lost = set()

    def failed(
        self, dial: int, now: float, *, random: float, by: str | None = None, was_let_in: bool = False
    ) -> None:
        """The member did not answer; or, `was_let_in`, it did and lost the link early.

        `by`: the client whose request it may have been; None where no client can be the cause.
        """
        if dial < self._counts_from:
            return
        if by is None:
            self._failures += 1
        else:
            (self._lost if was_let_in else self._suspects).add(by)
        if self._opened_until is None:
            if self._failures + len(self._suspects | self._lost) >= self._limits.failures_to_open:
                self._open(now, random=random)
            return
        if by is not None and by not in self._barred:
            self._barred.append(by)
        self._is_doubted = True
        self._open(now, random=random)

    def given_up(self, dial: int) -> None:
        """The dial ended without telling anything about the member (the client left), or nothing as yet."""
        if dial >= self._counts_from:
            self._on_trial = False

    def _open(self, now: float, *, random: float) -> None:
        wait = jittered(next(self._waits), fraction=self._limits.jitter_fraction, random=random)
        self._opened_until, self._on_trial = now + wait, False
        self._suspects, self._lost = set(), set()
        self._counts_from = self._begun + 1

    def _close(self, *, counts_from: int) -> None:
        """Dials from that number on count: the trial that closed it, too, whose link may be lost early."""
        self._opened_until = None
        self._on_trial = self._is_doubted = False
        self._counts_from = counts_from
        self._failures, self._suspects, self._lost = 0, set(), set()
        self._barred = deque[str](maxlen=MOST_BARRED)
        self._waits = delays(
            self._limits.first_wait_seconds, longest_seconds=self._limits.longest_wait_seconds
        )

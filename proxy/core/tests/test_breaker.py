from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.core.breaker import Breaker, BreakerLimits, BreakerState

LIMITS = BreakerLimits(failures_to_open=3, first_wait_seconds=1, longest_wait_seconds=8, jitter_fraction=0)


def opened(limits: BreakerLimits = LIMITS) -> Breaker:
    breaker = Breaker(limits)
    for _ in range(limits.failures_to_open):
        breaker.begin(0)
        breaker.failed(0, random=0.5)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(2):
        breaker.failed(0, random=0.5)
    assert breaker.allows(0)
    breaker.failed(0, random=0.5)
    assert not breaker.allows(0)
    assert breaker.state(0) is BreakerState.OPEN


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(10):
        breaker.failed(0, random=0.5)
        breaker.failed(0, random=0.5)
        breaker.succeeded()
    assert breaker.state(0) is BreakerState.CLOSED


def test_however_often_one_client_fails_it_counts_once() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(50):
        breaker.failed(0, random=0.5, by="one")
    assert breaker.state(0) is BreakerState.CLOSED
    breaker.failed(0, random=0.5, by="two")
    assert breaker.state(0) is BreakerState.CLOSED
    breaker.failed(0, random=0.5, by="three")
    assert breaker.state(0) is BreakerState.OPEN


def test_a_client_whose_trial_failed_is_not_the_next_to_try_for_the_longest_wait() -> None:
    breaker = opened()
    breaker.begin(1)
    breaker.failed(1, random=0.5, by="one")
    assert breaker.allows(3, by="two")
    assert not breaker.allows(3, by="one")
    assert breaker.allows(1 + LIMITS.longest_wait_seconds, by="one")


def test_seen_to_be_well_it_waits_no_longer_for_a_trial() -> None:
    breaker = opened()
    assert breaker.wait_seconds(0.25) == 0.75
    breaker.well(0.5)
    assert breaker.state(0.5) is BreakerState.HALF_OPEN
    assert breaker.wait_seconds(0.5) == 0
    breaker.succeeded()
    breaker.well(1)
    assert breaker.state(1) is BreakerState.CLOSED


def test_after_the_wait_one_trial_is_allowed_at_a_time() -> None:
    breaker = opened()
    assert not breaker.allows(0.99)
    assert breaker.allows(1.0)
    breaker.begin(1.0)
    assert not breaker.allows(1.0)
    breaker.given_up()
    assert breaker.allows(1.0)


def test_a_trial_that_succeeds_closes_it_and_forgets() -> None:
    breaker = opened()
    breaker.begin(1)
    breaker.succeeded()
    assert breaker.state(1) is BreakerState.CLOSED
    breaker.failed(1, random=0.5)
    assert breaker.allows(1)


def test_trials_that_fail_make_the_waits_double_up_to_the_longest() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(5):
        start = now
        while not breaker.allows(now):
            now += 0.5
        waits.append(now - start)
        breaker.begin(now)
        breaker.failed(now, random=0.5)
    assert waits == [1, 2, 4, 8, 8]


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_its_fraction(random: float) -> None:
    limits = BreakerLimits(failures_to_open=1, first_wait_seconds=10, jitter_fraction=0.2)
    breaker = Breaker(limits)
    breaker.failed(0, random=random)
    assert not breaker.allows(7.99)
    assert breaker.allows(12.01)


def test_late_failures_of_earlier_dials_do_not_lengthen_the_wait() -> None:
    breaker = opened()
    for _ in range(50):
        breaker.failed(0.5, random=0.5)
    assert breaker.allows(1.0)


@pytest.mark.parametrize(
    "wrong", [{"failures_to_open": 0}, {"first_wait_seconds": 0}, {"longest_wait_seconds": 0.5}]
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="limits of a breaker"):
        BreakerLimits(**wrong)  # type: ignore[arg-type]


class BreakerMachine(RuleBasedStateMachine):
    """However dials begin and end: never two trials at once, and never shut out for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now, self.trials = Breaker(LIMITS), 0.0, 0

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.allows(self.now))
    @rule(ends=st.sampled_from(["succeeded", "failed", "given_up", "runs"]))
    def dial(self, ends: str) -> None:
        half_open = self.breaker.state(self.now) is BreakerState.HALF_OPEN
        self.breaker.begin(self.now)
        if ends == "runs":
            self.trials += half_open
            return
        self._end(ends)

    @precondition(lambda self: self.trials)
    @rule(ends=st.sampled_from(["succeeded", "failed", "given_up"]))
    def end_trial(self, ends: str) -> None:
        self.trials = 0
        self._end(ends)

    def _end(self, ends: str) -> None:
        if ends == "failed":
            self.breaker.failed(self.now, random=0.5)
        else:
            getattr(self.breaker, ends)()

    @invariant()
    def one_trial_at_most(self) -> None:
        assert self.trials <= 1

    @invariant()
    def it_opens_again_in_time_unless_on_trial(self) -> None:
        assert self.trials or self.breaker.allows(self.now + LIMITS.longest_wait_seconds)


TestBreakerMachine = BreakerMachine.TestCase

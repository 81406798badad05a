from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.core.pools.breaker import MOST_BARRED, Breaker, BreakerLimits, BreakerState

LIMITS = BreakerLimits(failures_to_open=3, first_wait_seconds=1, longest_wait_seconds=8, jitter_fraction=0)
ENDS = st.sampled_from(["succeeded", "failed", "given_up"])
CLIENTS = st.none() | st.sampled_from("abc")


def fail(breaker: Breaker, now: float, *, by: str | None = None, random: float = 0.5) -> None:
    """One dial that begins and fails at once."""
    breaker.failed(breaker.begin(now), now, random=random, by=by)


def succeed(breaker: Breaker, now: float) -> None:
    breaker.succeeded(breaker.begin(now), now)


def opened(limits: BreakerLimits = LIMITS) -> Breaker:
    breaker = Breaker(limits)
    for _ in range(limits.failures_to_open):
        fail(breaker, 0)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(2):
        fail(breaker, 0)
    assert breaker.allows(0)
    assert breaker.wait_seconds(0) == 0.0
    fail(breaker, 0)
    assert not breaker.allows(0)
    assert [breaker.wait_seconds(now) for now in (0.0, 0.75, 2.0)] == [1.0, 0.25, 0.0]
    assert breaker.state(0) is BreakerState.OPEN


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(10):
        fail(breaker, 0)
        fail(breaker, 0)
        succeed(breaker, 0)
    assert breaker.state(0) is BreakerState.CLOSED


def test_however_often_one_client_fails_it_counts_once() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(50):
        fail(breaker, 0, by="one")
    assert breaker.state(0) is BreakerState.CLOSED
    fail(breaker, 0, by="two")
    assert breaker.state(0) is BreakerState.CLOSED
    fail(breaker, 0, by="three")
    assert breaker.state(0) is BreakerState.OPEN


def test_a_member_that_keeps_a_link_has_answered_none_of_those_whose_dials_failed() -> None:
    breaker = Breaker(LIMITS)
    for client in ("one", "two"):
        fail(breaker, 0, by=client)
    breaker.kept_a_link()
    fail(breaker, 0, by="three")
    assert breaker.state(0) is BreakerState.OPEN


def test_a_client_whose_trial_failed_leaves_the_next_to_others_for_the_longest_wait() -> None:
    breaker = opened()
    fail(breaker, 1, by="one")
    assert breaker.allows(3, by="two")
    assert not breaker.allows(3, by="one")
    assert breaker.allows(3 + LIMITS.longest_wait_seconds, by="one")


def test_a_few_clients_that_take_turns_do_not_use_up_all_trials() -> None:
    breaker, now = opened(), 0.0
    for number in range(MOST_BARRED):
        now += LIMITS.longest_wait_seconds
        fail(breaker, now, by=f"bad-{number}")
    now += LIMITS.longest_wait_seconds
    assert not any(breaker.allows(now, by=f"bad-{number}") for number in range(MOST_BARRED))
    assert breaker.allows(now, by="good")
    fail(breaker, now, by="one more")  # room for so many: the first of them is forgotten
    assert breaker.allows(now + LIMITS.longest_wait_seconds, by="bad-0")
    assert not breaker.allows(now + LIMITS.longest_wait_seconds, by="bad-1")


def test_seen_to_be_well_it_waits_no_longer_for_a_trial() -> None:
    breaker = opened()
    assert breaker.wait_seconds(0.25) == 0.75
    breaker.well(0.5)
    assert breaker.state(0.5) is BreakerState.HALF_OPEN
    assert breaker.wait_seconds(0.5) == 0
    succeed(breaker, 0.5)
    breaker.well(1)
    assert breaker.state(1) is BreakerState.CLOSED


def test_signs_of_life_that_a_trial_has_belied_say_nothing_until_it_was_seen_to_be_ill() -> None:
    breaker = opened()
    breaker.well(0.5)
    fail(breaker, 0.5)
    breaker.well(0.6)
    assert breaker.wait_seconds(0.6) == pytest.approx(1.9)
    breaker.ill()
    breaker.well(0.7)
    assert breaker.state(0.7) is BreakerState.HALF_OPEN


def test_after_the_wait_one_trial_is_allowed_at_a_time() -> None:
    breaker = opened()
    assert not breaker.allows(0.99)
    assert breaker.allows(1.0)
    trial = breaker.begin(1.0)
    assert not breaker.allows(1.0)
    breaker.given_up(trial)
    assert breaker.allows(1.0)


def test_a_trial_that_succeeds_closes_it_and_forgets() -> None:
    breaker = opened()
    succeed(breaker, 1)
    assert breaker.state(1) is BreakerState.CLOSED
    fail(breaker, 1)
    assert breaker.allows(1)


def test_trials_that_fail_make_the_waits_double_up_to_the_longest() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(5):
        start = now
        while not breaker.allows(now):
            now += 0.5
        waits.append(now - start)
        fail(breaker, now)
    assert waits == [1, 2, 4, 8, 8]


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_its_fraction(random: float) -> None:
    limits = BreakerLimits(failures_to_open=1, first_wait_seconds=10, jitter_fraction=0.2)
    breaker = Breaker(limits)
    fail(breaker, 0, random=random)
    assert not breaker.allows(7.99)
    assert breaker.allows(12.01)


def opened_around(dials: int) -> tuple[Breaker, list[int]]:
    """Open, with so many dials under way that began before."""
    breaker = Breaker(LIMITS)
    late = [breaker.begin(0) for _ in range(dials)]
    for _ in range(LIMITS.failures_to_open):
        fail(breaker, 0)
    return breaker, late


def test_late_failures_of_earlier_dials_do_not_lengthen_the_wait() -> None:
    breaker, late = opened_around(50)
    for dial in late:
        breaker.failed(dial, 0.5, random=0.5)
    assert breaker.wait_seconds(0.5) == 0.5


def test_late_results_of_earlier_dials_are_not_the_trials() -> None:
    breaker, late = opened_around(3)
    trial = breaker.begin(1)
    breaker.failed(late[0], 1, random=0.5)
    breaker.succeeded(late[1], 1)
    breaker.given_up(late[2])
    assert breaker.state(1) is BreakerState.HALF_OPEN
    assert not breaker.allows(1)
    breaker.failed(trial, 1, random=0.5)
    assert breaker.wait_seconds(1) == 2


def test_late_failures_do_not_open_what_a_trial_has_closed() -> None:
    breaker, late = opened_around(50)
    succeed(breaker, 1)
    for dial in late:
        breaker.failed(dial, 1, random=0.5)
    assert breaker.state(1) is BreakerState.CLOSED


def test_a_late_success_is_a_sign_of_life_that_ends_the_wait_and_leaves_the_verdict_to_a_trial() -> None:
    breaker, (late,) = opened_around(1)
    breaker.succeeded(late, 0.5)
    assert breaker.state(0.5) is BreakerState.HALF_OPEN


def test_an_answer_that_proves_wrong_fails_the_trial_that_is_over_and_the_one_that_follows_with_it() -> None:
    breaker = opened()
    first = breaker.begin(1)
    breaker.given_up(first)
    second = breaker.begin(1)
    breaker.failed(first, 1, random=0.5, by="one")
    assert breaker.wait_seconds(1) == 2
    breaker.failed(second, 1, random=0.5, by="two")
    assert breaker.wait_seconds(1) == 2
    assert not breaker.allows(3, by="one")
    assert breaker.allows(3, by="two")


def test_an_answer_that_proves_wrong_counts_for_nothing_once_a_later_trial_has_closed_it() -> None:
    breaker = opened(BreakerLimits(failures_to_open=1, jitter_fraction=0))
    first = breaker.begin(1)
    breaker.given_up(first)
    succeed(breaker, 1)
    breaker.failed(first, 1, random=0.5, by="one")
    assert breaker.state(1) is BreakerState.CLOSED


def test_an_answer_takes_back_failures_but_lost_links_only_one_that_is_kept() -> None:
    breaker = Breaker(LIMITS)

    def lose(client: str) -> None:
        dial = breaker.begin(0)
        breaker.succeeded(dial, 0)
        breaker.failed(dial, 0, random=0.5, by=client, was_let_in=True)

    for client in "ab":
        lose(client)
    breaker.kept_a_link()
    for client in "cda":
        assert breaker.state(0) is BreakerState.CLOSED
        lose(client)
    assert breaker.state(0) is BreakerState.OPEN


def test_a_link_of_the_trial_that_is_lost_early_counts() -> None:
    breaker = opened(BreakerLimits(failures_to_open=1, first_wait_seconds=1, jitter_fraction=0))
    trial = breaker.begin(1)
    breaker.succeeded(trial, 1)
    breaker.failed(trial, 2, random=0.5)
    assert breaker.state(2) is BreakerState.OPEN


@pytest.mark.parametrize(
    "wrong", [{"failures_to_open": 0}, {"first_wait_seconds": 0}, {"longest_wait_seconds": 0.5}]
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    assert BreakerLimits(failures_to_open=1, first_wait_seconds=5, longest_wait_seconds=5)
    with pytest.raises(ValueError, match="limits of a breaker"):
        BreakerLimits(**wrong)  # type: ignore[arg-type]


class BreakerMachine(RuleBasedStateMachine):
    """However dials end, late or not: one trial at a time, which decides, and never shut for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now = Breaker(LIMITS), 0.0
        self.running: list[int] = []  # begun while it was closed
        self.trial: int | None = None
        self.given_up: list[int] = []  # what these were told may prove wrong
        self.begun = self.counts_from = 0
        self.belied = False  # a trial has failed since it was last seen to be ill

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def probe_well(self) -> None:
        self.breaker.well(self.now)

    @rule()
    def probe_ill(self) -> None:
        self.breaker.ill()
        self.belied = False

    @precondition(lambda self: self.breaker.allows(self.now))
    @rule()
    def begin(self) -> None:
        half_open = self.breaker.state(self.now) is BreakerState.HALF_OPEN
        dial = self.begun = self.breaker.begin(self.now)
        if half_open:
            assert self.trial is None
            self.trial = dial
        else:
            self.running.append(dial)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 99), ends=ENDS, by=CLIENTS)
    def end_one_that_began_while_closed(self, which: int, ends: str, by: str | None) -> None:
        was = self.breaker.state(self.now)
        self._end(self.running.pop(which % len(self.running)), ends, by)
        if was is not BreakerState.CLOSED:  # all of these are late
            ended_wait = was is BreakerState.HALF_OPEN or (ends == "succeeded" and not self.belied)
            assert self.breaker.state(self.now) is (BreakerState.HALF_OPEN if ended_wait else was)

    @precondition(lambda self: self.trial is not None)
    @rule(ends=ENDS, by=CLIENTS)
    def end_trial(self, ends: str, by: str | None) -> None:
        dial, self.trial = self.trial, None
        assert dial is not None
        self.belied = ends == "failed" or (self.belied and ends == "given_up")
        self._end(dial, ends, by)
        assert (
            self.breaker.state(self.now)
            is {
                "succeeded": BreakerState.CLOSED,
                "failed": BreakerState.OPEN,
                "given_up": BreakerState.HALF_OPEN,
            }[ends]
        )

    @precondition(lambda self: self.given_up)
    @rule(which=st.integers(0, 99), by=CLIENTS)
    def fail_one_that_was_given_up(self, which: int, by: str | None) -> None:
        was, dial = self.breaker.state(self.now), self.given_up.pop(which % len(self.given_up))
        is_late = dial < self.counts_from
        self._end(dial, "failed", by)
        if is_late:
            assert self.breaker.state(self.now) is was
        elif was is BreakerState.HALF_OPEN:
            assert self.breaker.state(self.now) is BreakerState.OPEN
            self.belied = True
            self.running += [] if self.trial is None else [self.trial]  # it is late now
            self.trial = None

    def _end(self, dial: int, ends: str, by: str | None) -> None:
        was = self.breaker.state(self.now)
        if ends == "failed":
            self.breaker.failed(dial, self.now, random=0.5, by=by)
        elif ends == "succeeded":
            self.breaker.succeeded(dial, self.now)
        else:
            self.breaker.given_up(dial)
            self.given_up.append(dial)
        is_now = self.breaker.state(self.now)
        if is_now is not was and is_now is not BreakerState.HALF_OPEN:
            self.counts_from = dial if is_now is BreakerState.CLOSED else self.begun + 1

    @invariant()
    def while_on_trial_it_is_half_open_and_allows_no_other(self) -> None:
        if self.trial is not None:
            assert self.breaker.state(self.now) is BreakerState.HALF_OPEN
            assert not self.breaker.allows(self.now)

    @invariant()
    def it_opens_again_in_time_unless_on_trial(self) -> None:
        longest = LIMITS.longest_wait_seconds
        assert self.trial is not None or self.breaker.allows(self.now + longest)
        assert self.trial is not None or all(
            self.breaker.allows(self.now + 2 * longest, by=by) for by in "abc"
        )


TestBreakerMachine = BreakerMachine.TestCase

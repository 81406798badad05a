from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.resuming import (
    LONGEST_DELAY_SECONDS,
    MESSAGE_COST_BYTES,
    STEADY_SECONDS,
    Backlog,
    Phase,
    Resumption,
    is_loss,
    notice,
)


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012])
def test_an_upstream_that_goes_is_a_loss(code: int) -> None:
    assert is_loss(Close(code), ClosedBy.UPSTREAM)
    assert not is_loss(Close(code), ClosedBy.CLIENT)


@pytest.mark.parametrize("code", [1000, 1005, 1002, 1008, 1009, 1013, 3000, 4000, 4011])
def test_an_upstream_that_is_done_is_none(code: int) -> None:
    assert not is_loss(Close(code), ClosedBy.UPSTREAM)


def test_an_upstream_that_the_gateway_gives_up_is_a_loss_but_a_message_too_big_is_not() -> None:
    assert is_loss(closes.UPSTREAM_FAILED, ClosedBy.GATEWAY)
    assert not is_loss(closes.MESSAGE_TOO_BIG, ClosedBy.GATEWAY)


def test_notices_are_the_contracted_ones() -> None:
    assert notice(Phase.RECONNECTING) == '{"type":"gateway.upstream","state":"reconnecting"}'
    assert notice(Phase.CONNECTED) == '{"type":"gateway.upstream","state":"connected"}'
    assert notice(Phase.LOST) == '{"type":"gateway.upstream","state":"lost"}'


@given(st.integers(1, 2000), st.lists(st.one_of(st.none(), st.binary(max_size=400))))
def test_the_backlog_keeps_the_order_and_its_bound(max_bytes: int, steps: list[bytes | None]) -> None:
    backlog, model = Backlog(max_bytes=max_bytes), deque[bytes]()
    for step in steps:
        if step is None:
            if model:
                assert backlog.take() == model.popleft()
        elif backlog.fits(len(step)):
            backlog.put(step, len(step))
            model.append(step)
        else:
            assert model, "one message must always fit, or its client would wait forever"
        assert len(backlog._messages) == len(model)
        assert backlog.size_bytes == sum(len(message) + MESSAGE_COST_BYTES for message in model)
        assert backlog.size_bytes <= max_bytes or len(model) == 1


@given(st.lists(st.sampled_from(["message", "lost", "connected", "flush"]), max_size=60))
def test_every_message_is_handed_over_once_and_in_order_or_waits(steps: list[str]) -> None:
    """The calls of an engine, in any order that can happen."""
    state, handed, sent = Resumption(window_seconds=1000, max_bytes=100_000), list[object](), list[str]()
    for now, step in enumerate(steps):
        if step == "message":
            message = str(now)
            sent.append(message)
            if state.flows:
                handed.append(message)
            else:
                state.backlog.put(message, len(message))
        elif step == "lost" and state.phase is Phase.CONNECTED:
            state.lost(now)
        elif step == "connected" and state.phase is Phase.RECONNECTING:
            state.connected(now)
        elif step == "flush" and state.phase is Phase.CONNECTED and not state.backlog.is_empty:
            handed.append(state.backlog.take())
    waiting = [state.backlog.take() for _ in range(len(state.backlog._messages))]
    assert handed + waiting == sent


@given(st.floats(0.001, 120), st.lists(st.floats(0, 0.999), min_size=1, max_size=5), st.floats(0, 1e6))
def test_trying_ends_when_the_time_is_up_and_never_waits_beyond_it(
    window_seconds: float, randoms: list[float], start: float
) -> None:
    state, now, tries = Resumption(window_seconds=window_seconds, max_bytes=1), start, 0
    state.lost(now)
    while (delay := state.next_delay_seconds(now, random=randoms[tries % len(randoms)])) is not None:
        assert 0 <= delay <= min(2 * LONGEST_DELAY_SECONDS, window_seconds + 1e-6)
        assert now + delay <= start + window_seconds + 1e-6
        now += delay + 0.01  # the dial fails
        tries += 1
    assert state.phase is Phase.LOST
    assert now >= start + window_seconds - 1e-6


def test_waits_grow_and_are_spread() -> None:
    state = Resumption(window_seconds=1000, max_bytes=1)
    state.lost(0)
    delays = [state.next_delay_seconds(0, random=0.5) for _ in range(9)]
    assert delays == sorted(delays, key=float)  # type: ignore[arg-type]
    assert (delays[0], delays[-1]) == (0.05, LONGEST_DELAY_SECONDS)
    assert state.next_delay_seconds(0, random=0.0) == 0


def test_a_member_that_dies_at_once_again_and_again_uses_the_time_up() -> None:
    state, now, rounds = Resumption(window_seconds=10, max_bytes=1), 100.0, 0
    while state.phase is not Phase.LOST:
        state.lost(now)
        delay = state.next_delay_seconds(now, random=0.5)
        if delay is not None:
            now += delay + 0.01
            state.connected(now)
            now += STEADY_SECONDS / 2
        rounds += 1
    assert 4 < rounds < 20


def test_a_member_that_stays_gives_the_whole_time_back() -> None:
    state = Resumption(window_seconds=10, max_bytes=1)
    state.lost(100)
    state.connected(109)
    state.lost(109 + STEADY_SECONDS)
    assert state.left_seconds(109 + STEADY_SECONDS) == 10
    assert state.next_delay_seconds(109 + STEADY_SECONDS, random=0.5) == 0.05

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pools.health import Health, Probe, ProbeKind

PROBE = Probe(interval_seconds=30, failing_seconds=2, rise=2, fall=3, jitter_fraction=0.2)


def test_a_member_starts_healthy_and_falls_after_so_many_failures_in_a_row() -> None:
    health = Health(PROBE)
    assert [health.saw(False) for _ in range(3)] == [False, False, True]
    assert not health.healthy


def test_it_rises_after_so_many_successes_in_a_row() -> None:
    health = Health(PROBE)
    for _ in range(3):
        health.saw(False)
    assert [health.saw(ok) for ok in (True, False, True, True)] == [False, False, False, True]
    assert health.healthy


@given(st.lists(st.booleans(), max_size=200))
def test_health_changes_exactly_when_the_last_results_agree_against_it(results: list[bool]) -> None:
    health, healthy, run = Health(PROBE), True, 0
    for ok in results:
        run = 0 if ok == healthy else run + 1
        changes = run == (PROBE.rise if ok else PROBE.fall) and ok != healthy
        if changes:
            healthy, run = ok, 0
        assert health.saw(ok) is changes
        assert health.healthy is healthy


@given(st.floats(0, 1, exclude_max=True))
def test_probes_come_faster_while_anything_is_amiss(random: float) -> None:
    health = Health(PROBE)
    assert health.seconds_to_next(random=random) == pytest.approx(30, rel=0.2)
    health.saw(False)
    assert health.seconds_to_next(random=random) == pytest.approx(2, rel=0.2)
    health.saw(True)
    assert health.seconds_to_next(random=random) == pytest.approx(30, rel=0.2)


WRONG = (
    *({"interval_seconds": 0}, {"failing_seconds": 0}, {"timeout_seconds": 0}),
    *({"rise": 0}, {"fall": 0}, {"jitter_fraction": 1.0}, {"jitter_fraction": -0.1}),
)


@pytest.mark.parametrize("wrong", WRONG)
def test_probes_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"probe's times|rise and fall"):
        Probe(**wrong)  # type: ignore[arg-type]


def test_probes_may_keep_their_times_to_the_second() -> None:
    assert Health(Probe(interval_seconds=30, jitter_fraction=0)).seconds_to_next(random=0.9) == 30


def test_a_probe_is_made_of_what_settings_say() -> None:
    assert Probe.of("none") is None
    assert Probe.of("websocket", timeout_seconds=1.5) == Probe(timeout_seconds=1.5)
    assert Probe.of("websocket", seconds=0.5) == Probe(interval_seconds=0.5, failing_seconds=0.5)
    assert Probe.of("http") == Probe(kind=ProbeKind.HTTP, path="/health")
    assert Probe.of("http", path="/up", seconds=60) == Probe(
        kind=ProbeKind.HTTP, path="/up", interval_seconds=60
    )
    assert Probe.of("http", timeout_seconds=0.5) == Probe(
        kind=ProbeKind.HTTP, path="/health", timeout_seconds=0.5
    )
    with pytest.raises(ValueError, match="tcp"):
        Probe.of("tcp")


@pytest.mark.parametrize(
    ("message", "is_answer"),
    [
        ('{"type":"pong"}', True),
        (' {"at":1,"type":"pong","by":{"a":[]}}', True),
        ('{"type":"ping"}', False),
        ('{"kind":"pong"}', False),
        ('["pong"]', False),
        ("pong", False),
        ("", False),
        ("[" * 100_000, False),
        (b'{"type":"pong"}', False),
    ],
)
def test_an_answer_has_what_is_expected_and_may_have_more(message: str | bytes, is_answer: bool) -> None:
    probe = Probe(kind=ProbeKind.MESSAGE, says="ping", expects='{"type":"pong"}')
    assert probe.is_answer(message) is is_answer


@pytest.mark.parametrize("wrong", [{}, {"says": "ping"}, {"expects": "{}"}, {"says": "ping", "expects": "x"}])
def test_a_probe_by_message_says_something_and_expects_an_object(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expects a JSON object"):
        Probe(kind=ProbeKind.MESSAGE, **wrong)  # type: ignore[arg-type]

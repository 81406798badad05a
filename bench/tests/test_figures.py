"""Of the arithmetic: percentiles, medians, verdicts."""

from __future__ import annotations

from array import array

import pytest

from bench import load, stages
from bench.bars import Bar, astray, figure
from bench.figures import percentiles
from bench.plan import chosen, summary
from bench.profiles import QUICK


def test_percentiles_are_of_what_was_measured_in_milliseconds():
    assert percentiles(array("d", [n / 1000 for n in range(1000)])) == pytest.approx(
        {"p50_ms": 500, "p99_ms": 990, "p999_ms": 999, "most_ms": 999}
    )


def test_a_summary_takes_medians_but_the_worst_round_of_what_must_not_happen():
    rounds = [
        {"cpu_us": 1.0, "disordered": 0},
        {"cpu_us": 9.0, "disordered": 7},
        {"cpu_us": 2.0, "disordered": 0},
    ]

    assert summary(rounds) == {"cpu_us": 2.0, "disordered": 0, "disordered_most": 7}


@pytest.mark.parametrize(
    ("at_least", "value", "met", "margin"),
    [(False, 8, True, 0.2), (False, 12, False, -0.2), (True, 12, True, 0.2), (True, 8, False, -0.2)],
)
def test_a_bar_is_met_or_missed_by_a_share_of_its_limit(at_least, value, met, margin):
    bar = Bar(of="y", text="x", limit=10, at_least=at_least, value=figure("idle", "kb", "splice"))

    verdict = bar.verdict({"idle": {"splice": {"kb": value}}})

    assert (verdict["met"], verdict["margin"]) == (met, pytest.approx(margin))


def test_a_bar_that_was_not_measured_is_neither_met_nor_missed():
    assert Bar(of="y", text="x", limit=10, value=figure("idle", "kb", "splice")).verdict({})["met"] is None


def test_what_has_no_limit_is_told_and_neither_met_nor_missed():
    verdict = Bar(of="y", text="x", value=figure("idle", "kb", "splice")).verdict(
        {"idle": {"splice": {"kb": 8}}}
    )

    assert (verdict["met"], verdict["value"]) == (None, 8)


def test_a_message_that_is_lost_or_comes_out_of_order_in_any_measure_misses_the_bar():
    bar = Bar(of="y", text="x", limit=0, value=astray(("taken", "splice"), ("left out", "splice")))

    def verdict(unanswered, disordered):
        figures = {"unanswered_most": unanswered, "disordered_most": disordered}
        return bar.verdict({"taken": {"splice": figures}})["met"]

    assert [verdict(0, 0), verdict(1, 0), verdict(0, 1)] == [True, False, False]
    assert bar.verdict({})["met"] is None


def test_a_stage_that_is_named_is_taken_with_its_crowds_and_else_they_are_left_out():
    steps = stages.steps(QUICK)

    def measures(names):
        return {step.measure for step in chosen(steps, names, crowds=False)}

    assert measures({"connections"}) == {"connections", "held", "crowd"}
    assert measures({"session_crowd"}) == {"session_crowd"}
    assert measures(set()).isdisjoint({"held", "crowd", "session_crowd", "event_to_worker"})
    with pytest.raises(SystemExit, match="speed"):
        measures({"speed"})


@pytest.mark.parametrize("size_bytes", [32, 200, 16_000])
def test_a_message_has_the_size_that_was_asked_for(size_bytes):
    assert len(load.message(42, size_bytes)) == size_bytes

"""Every contender starts, echoes and can be measured: `make bench-check`. Says nothing of speed."""

from __future__ import annotations

import pytest

from bench import __main__ as command
from bench import micro_splice
from bench.profiles import Profile

# Up to a dozen servers start in each.
pytestmark = pytest.mark.timeout(240)
BRIEF = Profile(
    name="check",
    rounds=1,
    round_trip_links=3,
    round_trip_seconds=0.1,
    sizes_bytes=(200, 1_000_000),
    other_size_rounds=1,
    open_loop_rates=(500,),
    open_loop_seconds=0.1,
    paced_links=20,
    paced_rate=500,
    paced_seconds=0.1,
    connection_rounds=1,
    connections=5,
    idle_links=(10,),
    idle_links_of_splice=(10,),
    crowds=False,
    held_links=5,
    crowd_links=6,
    fanout_links=2,
    fanout_events=50,
    chat_messages=50,
    published_events=10,
    events_to_all=2,
    acting_links=(3,),
    action_rate=50,
    acting_seconds=0.2,
    idle_sessions=5,
    session_links=5,
    session_messages=1_000,
    crowd_sessions=6,
    crowd_seconds=0.2,
    slow_sessions=4,
    slow_seconds=0.2,
)
PLAY = ("play-v1", "play-v2")
ALL = ("direct", "nginx", "splice", "inspected", "own-leg", "relay", "fastapi", "aiohttp", "naive")
SESSIONS = ("sessions", "fastapi-sessions", "channels-sessions")


def _measured(tmp_path, stages, only=frozenset()):
    """By measure and contender; all of it, also what was written."""
    result = command.measured(BRIEF, set(stages), set(only))
    assert (result["absent"], result["failures"]) == ({}, [])
    astray = [bar for bar in result["bars"] if "out of order" in bar["bar"] and bar["met"] is False]
    assert not astray
    return result["medians"], command.write(result, tmp_path / "result").read_text()


def test_every_contender_carries_messages_in_order_and_is_reported(tmp_path):
    stages = ("round_trip_200", "round_trip_1000000", "open_loop_500", "actions")
    medians, written = _measured(tmp_path, stages)

    for measure, figures in medians.items():
        assert figures.keys() == ({*PLAY} if measure == "actions_3" else {*ALL})
        assert all(one["disordered_most"] == one["unanswered_most"] == 0 for one in figures.values())
    assert all(f"(`{name}`)" in written for name in (*ALL, *PLAY))
    assert (tmp_path / "result.svg").stat().st_size


def test_every_relay_of_sessions_brings_messages_in_order_and_is_reported(tmp_path):
    medians, written = _measured(tmp_path, ("session_delivery", "session_openings", "session_idle"), SESSIONS)

    for figures in medians.values():
        assert figures.keys() == {*SESSIONS}
        assert all(one.get("disordered_most", 0) == 0 for one in figures.values())
    assert all(f"(`{name}`)" in written for name in SESSIONS)


def test_a_chat_is_carried_by_both_that_check_it_and_is_reported(tmp_path):
    medians, written = _measured(tmp_path, ("chat",))

    assert medians["chat"].keys() == {"chat", "fastapi-chat"}
    assert all(one["disordered_most"] == one["unanswered_most"] == 0 for one in medians["chat"].values())
    assert "Chat: a message and its answer, both checked" in written


def test_what_only_the_gateway_does_is_measured_and_reported(tmp_path):
    stages = ("session_crowd", "session_slow", "event_to_worker", "event_to_workers", "publishing", "fanout")
    medians, written = _measured(tmp_path, stages)

    assert medians.keys() == {*stages}
    assert medians["event_to_worker"].keys() == {"splice", "sessions"}
    assert medians["event_to_workers"].keys() == {"workers", "sessions-workers"}
    for figures in medians.values():
        assert all(one["disordered_most"] == one["unanswered_most"] == 0 for one in figures.values())
    assert "`publish_on_commit`, a transaction each" in written
    assert "one event, two workers" in written


def test_the_bare_splice_is_measured_beside_nginx():
    told = []

    micro_splice.compare(links=10, seconds=0.1, report=told.append)

    assert [line.split()[0] for line in told] == ["nginx", *micro_splice.OPTIONS]
    assert all("us a round trip" in line for line in told)

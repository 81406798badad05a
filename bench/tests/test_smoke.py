"""Every contender starts, echoes and can be measured: `make bench-check`. Says nothing of speed."""

from __future__ import annotations

from bench import __main__ as command
from bench.profiles import Profile

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
    held_links=0,
    crowd_links=0,
    fanout_links=2,
    fanout_events=50,
)
ALL = ("direct", "nginx", "splice", "inspected", "own-leg", "relay", "fastapi", "aiohttp", "naive")


def test_every_contender_carries_messages_in_order_and_is_reported(tmp_path):
    result = command.measured(BRIEF, {*ALL, "round_trip_200", "round_trip_1000000", "open_loop_500"})

    written = command.write(result, tmp_path / "result").read_text()

    assert (result["absent"], result["failures"]) == ({}, [])
    for figures in result["medians"].values():
        assert figures.keys() == {*ALL}
        assert all(one["disordered_most"] == one.get("unanswered_most", 0) == 0 for one in figures.values())
    assert all(f"(`{name}`)" in written for name in ALL)
    assert (tmp_path / "result.svg").stat().st_size

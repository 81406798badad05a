"""How much a run measures. Every figure is a bound in time or count, so that a run always ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One size of a run. Rates are messages a second over all links together."""

    name: str
    rounds: int
    round_trip_links: int = 50
    round_trip_seconds: float
    sizes_bytes: tuple[int, ...] = (32, 200, 16_000, 1_000_000)
    other_size_rounds: int
    open_loop_rates: tuple[int, ...]
    open_loop_seconds: float
    paced_links: int = 1_000
    paced_rate: int = 5_000
    paced_seconds: float
    connection_rounds: int
    connections: int
    connections_at_once: int = 50
    idle_links: tuple[int, ...]
    idle_links_of_splice: tuple[int, ...]
    held_links: int
    crowd_links: int
    fanout_links: int = 500
    fanout_events: int


QUICK = Profile(
    name="quick",
    rounds=3,
    round_trip_seconds=0.6,
    other_size_rounds=1,
    open_loop_rates=(2_000,),
    open_loop_seconds=1.5,
    paced_seconds=2.0,
    connection_rounds=2,
    connections=300,
    idle_links=(2_000,),
    idle_links_of_splice=(2_000, 5_000),
    held_links=0,
    crowd_links=0,
    fanout_events=400,
)

FULL = Profile(
    name="full",
    rounds=7,
    round_trip_seconds=2.0,
    other_size_rounds=5,
    open_loop_rates=(1_000, 2_000, 4_000, 8_000),
    open_loop_seconds=5.0,
    paced_seconds=10.0,
    connection_rounds=5,
    connections=1_000,
    idle_links=(2_000, 5_000),
    idle_links_of_splice=(2_000, 5_000),
    held_links=9_000,
    crowd_links=10_000,
    fanout_events=2_000,
)

PROFILES = {profile.name: profile for profile in (QUICK, FULL)}

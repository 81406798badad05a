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
    crowds: bool  # whether to take what opens thousands of links, which takes minutes; asked by name, it is
    held_links: int = 9_000
    crowd_links: int = 10_000
    fanout_links: int = 500
    fanout_events: int
    chat_messages: int
    published_events: int
    events_to_all: int = 10
    acting_links: tuple[int, ...] = (100, 1_000)
    action_rate: int = 250
    acting_seconds: float
    idle_sessions: int = 2_000
    session_links: int = 200
    session_messages: int
    crowd_sessions: int = 10_000
    crowd_seconds: float = 8.0
    slow_sessions: int = 1_000
    slow_seconds: float = 4.0


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
    crowds=False,
    fanout_events=400,
    chat_messages=10_000,
    published_events=200,
    acting_seconds=2.0,
    session_messages=10_000,
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
    crowds=True,
    fanout_events=2_000,
    chat_messages=10_000,
    published_events=1_000,
    acting_seconds=10.0,
    session_messages=50_000,
)

PROFILES = {profile.name: profile for profile in (QUICK, FULL)}

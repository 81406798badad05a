"""What a run measures, stage by stage: of whom, how often and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from bench import chat, load, measures, sessions
from bench.actions import actions
from bench.contenders import DIRECT, Carries, Contender
from bench.fanout import fanout
from bench.figures import Figures
from bench.plan import Step
from bench.profiles import Profile
from bench.publishing import event_to_all, publishing
from bench.running import Running

SESSION_RATE, SLOW_RATE = 5_000, 2_000


def steps(profile: Profile) -> list[Step]:
    """Memory comes first of each stage, on proxies that have just started; events last, as they open most."""
    stages = (_memory, _traffic, _connections, _actions, _session_crowds, _sessions, _chat, _events)
    return [step for stage in stages for step in stage(profile)]


async def answers(running: Running) -> None:
    """Returns once a message came through it."""
    if running.contender.carries is Carries.SESSIONS:
        await sessions.hear_once(running)
    elif running.contender.carries is Carries.CHAT:
        await chat.send_once(running)
    else:
        await load.echo_once(running.url())


def _echoes(one: Contender) -> bool:
    return one.carries is Carries.ECHOES


def _one_core(one: Contender) -> bool:
    return _echoes(one) and not one.both_cores


def _relays(one: Contender) -> bool:
    return one.carries is Carries.SESSIONS


def _one_core_relays(one: Contender) -> bool:
    return _relays(one) and not one.both_cores


def _among(*names: str) -> Callable[[Contender], bool]:
    return lambda one: one.name in names


def _memory(profile: Profile) -> Iterable[Step]:
    def proxies(one: Contender) -> bool:
        return one.name != DIRECT and _one_core(one)

    def taking(running: Running) -> Coroutine[Any, Any, Figures]:
        counts = profile.idle_links_of_splice if running.name == "splice" else profile.idle_links
        return measures.idle_links(running, counts=counts)

    yield Step(stage="memory", measure="idle", of=proxies, taking=taking)


def _traffic(profile: Profile) -> Iterable[Step]:
    step = partial(Step, stage="traffic")
    links = profile.round_trip_links
    for size in profile.sizes_bytes:
        rounds = profile.rounds if size == 200 else profile.other_size_rounds
        taking = partial(
            measures.round_trips, links=links, size_bytes=size, seconds=profile.round_trip_seconds
        )
        yield step(measure=f"round_trip_{size}", rounds=rounds, of=_one_core, taking=taking)
    for rate in profile.open_loop_rates:
        taking = partial(measures.open_loop, links=links, rate=rate, seconds=profile.open_loop_seconds)
        yield step(measure=f"open_loop_{rate}", of=_one_core, taking=taking)
    taking = partial(
        measures.open_loop,
        links=profile.paced_links,
        rate=profile.paced_rate,
        seconds=profile.paced_seconds,
    )
    compared = _among(DIRECT, "nginx", "splice", "inspected", "fastapi")
    yield step(measure="paced", of=compared, taking=taking)


def _connections(profile: Profile) -> Iterable[Step]:
    step = partial(Step, stage="connections")
    taking = partial(measures.new_connections, count=profile.connections, at_once=profile.connections_at_once)
    yield step(measure="connections", rounds=profile.connection_rounds, of=_echoes, taking=taking)
    for measure, count, names in (
        ("held", profile.held_links, ("splice",)),
        ("crowd", profile.crowd_links, (DIRECT, "workers")),
    ):
        taking = partial(measures.open_loop, links=count, rate=count / 2, seconds=profile.paced_seconds)
        yield step(measure=measure, of=_among(*names), taking=taking, is_crowd=True)


def _actions(profile: Profile) -> Iterable[Step]:
    for links in profile.acting_links:
        yield Step(
            stage="actions",
            measure=f"actions_{links}",
            rounds=profile.rounds,
            of=lambda one: one.carries is Carries.ACTIONS,
            taking=partial(actions, links=links, rate=profile.action_rate, seconds=profile.acting_seconds),
        )


def _session_crowds(profile: Profile) -> Iterable[Step]:
    step = partial(Step, stage="sessions")
    taking = partial(sessions.idle, count=profile.idle_sessions)
    yield step(measure="session_idle", of=_one_core_relays, taking=taking)
    taking = partial(
        sessions.crowd, links=profile.crowd_sessions, rate=SESSION_RATE, seconds=profile.crowd_seconds
    )
    yield step(measure="session_crowd", of=_among("sessions-workers"), taking=taking, is_crowd=True)
    taking = partial(
        sessions.beside_a_slow_viewer,
        links=profile.slow_sessions,
        rate=SLOW_RATE,
        seconds=profile.slow_seconds,
    )
    yield step(measure="session_slow", of=_among("sessions"), taking=taking)


def _sessions(profile: Profile) -> Iterable[Step]:
    step = partial(Step, stage="sessions")
    said = partial(sessions.deliveries, links=profile.session_links)
    taking = partial(said, messages=profile.session_messages, window=1_000)
    yield step(measure="session_delivery", rounds=profile.rounds, of=_one_core_relays, taking=taking)
    taking = partial(said, messages=10 * profile.session_messages, window=5_000)
    yield step(measure="session_most", rounds=profile.rounds, of=_among("sessions-workers"), taking=taking)
    taking = partial(sessions.new_sessions, count=profile.connections)
    yield step(measure="session_openings", rounds=profile.connection_rounds, of=_relays, taking=taking)


def _chat(profile: Profile) -> Iterable[Step]:
    taking = partial(chat.sends, links=50, messages=profile.chat_messages)
    yield Step(
        stage="chat", measure="chat", rounds=profile.rounds, of=_among("chat", "fastapi-chat"), taking=taking
    )


def _events(profile: Profile) -> Iterable[Step]:
    step = partial(Step, stage="events")
    taking = partial(fanout, links=profile.fanout_links, events=profile.fanout_events)
    yield step(measure="fanout", of=_among("splice", "workers"), taking=taking)
    taking = partial(publishing, events=profile.published_events)
    yield step(measure="publishing", rounds=profile.rounds, of=_among("events"), taking=taking)
    for measure, count, names in (
        ("event_to_worker", profile.held_links, ("splice", "sessions")),
        ("event_to_workers", profile.crowd_links, ("workers", "sessions-workers")),
    ):
        taking = partial(event_to_all, links=count, events=profile.events_to_all)
        yield step(measure=measure, of=_among(*names), taking=taking, is_crowd=True)

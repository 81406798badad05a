"""`python -m config.testing.chaos [--clients 300] [--only NAME]`: tables of what each outage looked like.

Exit status 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from redis.exceptions import RedisError

from config.testing.chaos.changes import Changes
from config.testing.chaos.cluster import Cluster, Part, thaw
from config.testing.chaos.sessions import Sessions, SessionStory
from config.testing.gateway import issue
from config.testing.players import Players, Story, waited_for
from config.testing.publisher import Publisher

FROZEN_SECONDS = 10.0
RESTART_SECONDS = 1.0  # until a supervisor starts again what was killed
IN_FLIGHT_SECONDS = 5.0  # what was sent longer before a kill is answered before it
WELL_SECONDS = 45.0  # the promise: within it, after a part is back, all is as before
UNTOUCHED = {"PostgreSQL", "Valkey", "NATS"}  # their outages end no link and refuse nobody
THE_SERVICE = "the service"  # whose outage touches only who is proxied to it
KEPT = {"gateway-1", "gateway-2", "nginx", "PostgreSQL", "NATS", THE_SERVICE}  # and durable words with them
TOPIC = "experience:chaos"


@dataclass(frozen=True, slots=True)
class Stories:
    """What each crowd saw: those on `/ws/experience`, those of the session service, viewers of agents."""

    proxied: Story
    acting: Story
    viewing: SessionStory


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What one fault looked like. `well_seconds` is from the end of the fault; None: not in time."""

    part: str
    how: str
    stories: Stories
    well_seconds: float | None

    def broken(self) -> list[str]:
        """The promises that it broke."""
        proxied, acting, viewing = self.stories.proxied, self.stories.acting, self.stories.viewing
        found = [*proxied.wrong[:3], *acting.wrong[:3], *viewing.wrong[:3]]
        if self.well_seconds is None:
            found.append(f"not well after {WELL_SECONDS:.0f} s")
        oldest = max(proxied.oldest_unanswered, acting.oldest_unanswered)
        if self.how == "killed" and oldest > IN_FLIGHT_SECONDS:
            found.append(f"a message of {oldest:.0f} s before was lost")
        for story in (proxied, acting):
            if untold := story.missed_on_a_link - story.told_to_resync:
                found.append(f"{len(untold)} clients missed events and were not told to resync")
        if self.part in KEPT and viewing.missed["durable"]:
            found.append("words of durable sessions were missed")
        untouched: list[Story | SessionStory] = [acting, viewing] if self.part == THE_SERVICE else []
        if self.part in UNTOUCHED:
            untouched = [proxied, acting, viewing]
        if any(story.ended or story.refused for story in untouched):
            found.append("links were ended or refused")
        return [f"{self.part} {self.how}: {what}" for what in found]

    def row_of_the_rest(self) -> str:
        """What became of actions and sessions."""
        acting, viewing = self.stories.acting, self.stories.viewing
        return " | ".join(
            [
                f"| {self.part} {self.how}",
                _counted(acting.ended),
                str(acting.unavailable),
                f"{acting.slowest_answer:.1f}",
                _counted(viewing.ended),
                str(viewing.missed["live"]),
                str(viewing.missed["durable"]),
                f"{viewing.not_delivered} |",
            ]
        )

    def row(self) -> str:
        story = self.stories.proxied
        return " | ".join(
            [
                f"| {self.part} {self.how}",
                _counted(story.ended),
                _counted(story.refused),
                f"{story.longest_away:.1f}",
                f"{story.slowest_answer:.1f}",
                str(story.unanswered),
                str(story.events_missed),
                "never |" if self.well_seconds is None else f"{self.well_seconds:.0f} |",
            ]
        )


COLUMNS = (
    "what",
    "links ended",
    "handshakes refused",
    "longest away, s",
    "slowest answer, s",
    "lost in flight",
    "events missed",
    "well after, s",
)
COLUMNS_OF_THE_REST = (
    "what",
    "links of actions ended",
    "actions unavailable",
    "slowest answer, s",
    "sessions ended",
    "live words missed",
    "durable words missed",
    "words of viewers not delivered",
)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in sorted(counts.items())) or "none"


class Events:
    """Publishes a number every half second, for as long as it is not cancelled."""

    def __init__(self, url: str) -> None:
        self.last = -1  # the last one that Valkey took
        self.not_taken = 0
        self._publisher = Publisher(url)

    async def publish(self) -> None:
        try:
            for number in itertools.count():
                try:
                    await self._publisher.publish(TOPIC, {"type": "chaos", "event": number})
                    self.last = number
                except (OSError, RedisError):  # Valkey is away, as told
                    self.not_taken += 1
                await asyncio.sleep(0.5)
        finally:
            await self._publisher.close()


@dataclass(frozen=True, slots=True)
class Crowd:
    """All clients, and those who publish to them."""

    proxied: Players
    acting: Players
    viewing: Sessions
    events: Events
    changes: Changes

    def begin_stories(self) -> Stories:
        return Stories(self.proxied.begin_story(), self.acting.begin_story(), self.viewing.begin_story())

    @property
    def links(self) -> int:
        return len(self.proxied.each) + len(self.acting.each) + len(self.viewing.each)

    def is_well(self, since: float) -> bool:
        """Everybody was answered since, and hears what is published."""
        players = [*self.proxied.each, *self.acting.each]
        return (
            all(player.answered_at >= since and not player.is_behind() for player in players)
            and all(session.heard_at >= since for session in self.viewing.each)
            and min(player.event for player in players) >= self.events.last - 2
            and all(player.changed_at >= since for player in players)
        )


async def outage(cluster: Cluster, crowd: Crowd, part: Part, how: str) -> Outage:
    """Do it, wait until all is well, and tell."""
    stories = crowd.begin_stories()
    if how == "killed":
        part.kill()
        await asyncio.sleep(RESTART_SECONDS)
        await part.start()
    else:
        frozen = part.freeze()
        try:
            await asyncio.sleep(FROZEN_SECONDS)
        finally:
            thaw(frozen)
    begin = time.monotonic()
    well_seconds: float | None = None
    with suppress(TimeoutError):
        await waited_for(partial(is_well, cluster, crowd, begin), within_seconds=WELL_SECONDS)
        well_seconds = time.monotonic() - begin
    return Outage(part=part.name, how=how, stories=stories, well_seconds=well_seconds)


async def is_well(cluster: Cluster, crowd: Crowd, since: float) -> bool:
    """The crowd is, both gateways are ready, and the record has each link once."""
    if not crowd.is_well(since):
        return False
    if not all(await asyncio.gather(*(node.answers("/ready") for node in cluster.nodes))):
        return False
    return await asyncio.to_thread(cluster.live_records) == crowd.links


@asynccontextmanager
async def playing(cluster: Cluster, clients: int) -> AsyncIterator[Crowd]:
    """Of `clients` two thirds are proxied, one sixth acts, one sixth views."""
    address, few = f"ws://127.0.0.1:{cluster.front.port}", clients // 6
    events, changes = Events(cluster.valkey.url), Changes(cluster.nats.url)

    def urls(path: str, name: str, count: int) -> list[str]:
        tokens = [issue(f"{name}-{number}", minutes=120) for number in range(count)]
        return [f"{address}{path}?experience=chaos&token={token}" for token in tokens]

    async with (
        asyncio.TaskGroup() as tasks,
        Players(urls("/ws/experience", "player", clients - 2 * few)) as proxied,
        Players(urls("/ws/v2/experience", "actor", few)) as acting,
        Sessions(few, redis_url=cluster.valkey.url, address=address) as viewing,
    ):
        publishing = [tasks.create_task(each.publish()) for each in (events, changes)]
        yield Crowd(proxied, acting, viewing, events, changes)
        for task in publishing:
            task.cancel()


async def chaos(*, clients: int, only: str) -> list[Outage]:
    """Every fault with `only` in its name, one after another."""
    async with Cluster() as cluster, playing(cluster, clients) as crowd:
        await waited_for(partial(is_well, cluster, crowd, 0.1), within_seconds=WELL_SECONDS)
        say(f"{clients} clients play\n")
        say(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
        outages = []
        for part, how in itertools.product(cluster.parts(), ("frozen", "killed")):
            if only in f"{part.name} {how}":
                outages.append(await outage(cluster, crowd, part, how))
                say(outages[-1].row())
        say(f"\n| {' | '.join(COLUMNS_OF_THE_REST)} |\n{'|---' * len(COLUMNS_OF_THE_REST)}|")
        for each in outages:
            say(each.row_of_the_rest())
        say(f"\n{crowd.events.not_taken} events were not taken by Valkey, as their publisher was told;")
        say(f"{crowd.changes.last + 1} changes were taken by NATS, and heard once each")
    return outages


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m config.testing.chaos")
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--only", default="", help="faults with this in their name, such as 'nginx frozen'")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.testing.settings")
    outages = asyncio.run(chaos(clients=options.clients, only=options.only))
    broken = [line for outage in outages for line in outage.broken()]
    say("\n" + ("\n".join(broken) or "Every promise was kept."))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m config.testing.chaos [--clients 300] [--only NAME]`: a table of what each outage looked like.

Exit status 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from redis.exceptions import RedisError

from config.testing.chaos.cluster import Cluster, Part, thaw
from config.testing.gateway import issue
from config.testing.players import Players, Story, waited_for
from config.testing.publisher import Publisher

FROZEN_SECONDS = 10.0
RESTART_SECONDS = 1.0  # until a supervisor starts again what was killed
IN_FLIGHT_SECONDS = 5.0  # what was sent longer before a kill is answered before it
WELL_SECONDS = 45.0  # the promise: within it, after a part is back, all is as before
UNTOUCHED = {"PostgreSQL", "Valkey"}  # their outages end no link and refuse nobody
TOPIC = "experience:chaos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What one fault looked like. `well_seconds` is from the end of the fault; None: not in time."""

    part: str
    how: str
    story: Story
    well_seconds: float | None

    def broken(self) -> list[str]:
        """The promises that it broke."""
        found = self.story.wrong[:3]
        if self.well_seconds is None:
            found.append(f"not well after {WELL_SECONDS:.0f} s")
        if self.how == "killed" and self.story.oldest_unanswered > IN_FLIGHT_SECONDS:
            found.append(f"a message of {self.story.oldest_unanswered:.0f} s before was lost")
        if untold := self.story.missed_on_a_link - self.story.told_to_resync:
            found.append(f"{len(untold)} clients missed events and were not told to resync")
        if self.part in UNTOUCHED and (self.story.ended or self.story.refused):
            found.append("links were ended or refused")
        return [f"{self.part} {self.how}: {what}" for what in found]

    def row(self) -> str:
        story = self.story
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


async def outage(cluster: Cluster, players: Players, events: Events, part: Part, how: str) -> Outage:
    """Do it, wait until all is well, and tell."""
    story = players.begin_story()
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
    try:
        await waited_for(partial(is_well, cluster, players, events, begin), within_seconds=WELL_SECONDS)
    except TimeoutError:
        return Outage(part=part.name, how=how, story=story, well_seconds=None)
    return Outage(part=part.name, how=how, story=story, well_seconds=time.monotonic() - begin)


async def is_well(cluster: Cluster, players: Players, events: Events, since: float) -> bool:
    """Everybody plays and hears events, both gateways are ready, and the record has each link once."""
    if not all(player.answered_at >= since for player in players.each):
        return False
    if min(player.event for player in players.each) < events.last - 2:
        return False
    if not all(await asyncio.gather(*(node.answers("/ready") for node in cluster.nodes))):
        return False
    return await asyncio.to_thread(cluster.live_records) == len(players.each)


async def chaos(*, clients: int, only: str) -> list[Outage]:
    """Every fault with `only` in its name, one after another."""
    async with Cluster() as cluster, asyncio.TaskGroup() as tasks:
        events = Events(cluster.valkey.url)
        publishing = tasks.create_task(events.publish(), name="chaos:events")
        address = f"ws://127.0.0.1:{cluster.front.port}/ws/experience?experience=chaos&token="
        urls = [address + issue(f"player-{number}", minutes=120) for number in range(clients)]
        async with Players(urls) as players:
            await waited_for(partial(is_well, cluster, players, events, 0.1), within_seconds=WELL_SECONDS)
            say(f"{clients} clients play\n")
            say(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
            outages = []
            for part, how in itertools.product(cluster.parts(), ("frozen", "killed")):
                if only in f"{part.name} {how}":
                    outages.append(await outage(cluster, players, events, part, how))
                    say(outages[-1].row())
        publishing.cancel()
        say(f"\n{events.not_taken} events were not taken by Valkey, as their publisher was told")
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

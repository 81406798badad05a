"""Telling links who else is on their topics, for the kinds of topics that ask for it.

Who comes hears who is there, and everyone on a topic hears who joins and who leaves. Nobody remembers who
that is: a node asks (presence.py) for the links that have come, and asks anew for all of its links when some
word may have been lost: a node was, or Redis, or a word could not be sent. What is said of a topic meanwhile
is held until its links have heard the answer, so that what they know in the end is right.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NoReturn

from proxy.cluster.asking import ask
from proxy.cluster.presence import NAMED, Presence, who_question
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import ALL_NODES, LOOK_AROUND, MOVED, Signal, send_to_topic
from proxy.core.events import Event
from proxy.core.topics import TopicKind
from proxy.core.wire.control_messages import encode
from proxy.engine.calls import wait_at_most
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link

logger = logging.getLogger(__name__)

JOINED, LEFT, PRESENT = "gateway.joined", "gateway.left", "gateway.present"
# Links that one word names; links that wait to be named; topics that are asked about at once.
MOST_IN_A_WORD = 100
MOST_WAITING = 10_000
TOPICS_AT_ONCE = 100
# Several nodes may notice the same loss, and each tells all of them.
LOOK_SECONDS = 1.0
MOST_LOOKS = 8
LAST_SECONDS = 0.5
_LINKS_A_TURN = 500

Named = dict[str, str]


class Comings:
    """A node's own links that come and go, and what the others of their topics are told."""

    _hub: Hub

    def __init__(self, kinds: Iterable[TopicKind], links: Mapping[str, Link]) -> None:
        self._kinds = frozenset(kind.name for kind in kinds if kind.presence)
        self._links = links
        # Topic by topic, in their order: what is to be said, with the links that it is said of.
        self._words: dict[str, list[tuple[str, list[Named]]]] = {}
        self._saying: tuple[str, str] | None = None  # a topic, and a text that is on its way there
        self._waiting = 0
        self._curious: dict[str, set[Link]] = {}  # links that are to hear who is there, by topic
        self._held: dict[str, list[str]] = {}
        self._has_words, self._has_curious = asyncio.Event(), asyncio.Event()
        self._has_lost, self._is_to_look = asyncio.Event(), asyncio.Event()
        self._looks_left = MOST_LOOKS

    @property
    def is_wanted(self) -> bool:
        """Whether any kind of topics asks for it."""
        return len(self._kinds) > 0

    def listen(self, hub: Hub) -> None:
        """Hear of others' links from now on, and of gaps."""
        if self.is_wanted:
            self._hub = hub
            hub.receive(MOVED, self._heard)
            hub.receive(LOOK_AROUND, self._told_to_look)
            hub.on_gap(self.lost)

    async def run(self) -> None:
        """Until cancelled; then tells of the last that went, if Redis takes it at once."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell_forever(), name="comings:tell")
                tasks.create_task(self._call_forever(), name="comings:call")
                tasks.create_task(self._look_forever(), name="comings:look")
                tasks.create_task(self._ask_forever(), name="comings:ask")
        finally:
            await wait_at_most(LAST_SECONDS, self._tell())

    # --- What happens here -----

    def opened(self, link: Link) -> None:
        """The link is live."""
        for topic in self._topics_of(link):
            self._say(JOINED, topic, link)
            self._wonder(topic, link)
            if not self._hub.connected:  # another node that begins may not hear that, nor be asked by us
                self.lost()

    def closed(self, link: Link) -> None:
        """It is no more."""
        for topic in self._topics_of(link):
            self._say(LEFT, topic, link)
            curious = self._curious.get(topic)
            if curious is not None:  # while Redis is away many may come and go
                curious.discard(link)
                if not curious:
                    del self._curious[topic]

    def lost(self) -> None:
        """Words of some node may be lost: every node is to look around."""
        self._has_lost.set()

    def _topics_of(self, link: Link) -> Collection[str]:
        if not self.is_wanted:
            return ()
        return [topic for topic in link.topics if topic.partition(":")[0] in self._kinds]

    def _say(self, kind: str, topic: str, link: Link) -> None:
        if self._waiting >= MOST_WAITING:
            self._give_up()
        runs = self._words.setdefault(topic, [])
        if not runs or runs[-1][0] != kind or len(runs[-1][1]) >= MOST_IN_A_WORD:
            runs.append((kind, []))
        runs[-1][1].append(_named(link.id, link.record.user_id))
        self._waiting += 1
        self._has_words.set()

    def _wonder(self, topic: str, link: Link) -> None:
        self._curious.setdefault(topic, set()).add(link)
        self._has_curious.set()

    # --- Telling others -----

    async def _tell_forever(self) -> NoReturn:
        while True:
            await self._has_words.wait()
            self._has_words.clear()
            await self._tell()

    async def _tell(self) -> None:
        """Say all that waits, and what was being said when that was cancelled."""
        while self._saying is not None or self._words:
            if self._saying is None:
                self._saying = self._next_word()
            topic, text = self._saying
            is_sent = await self._sent(topic, {"type": MOVED, "text": text})
            self._saying = None
            if not is_sent:
                self._give_up()

    def _next_word(self) -> tuple[str, str]:
        topic, runs = next(iter(self._words.items()))
        kind, who = runs.pop(0)
        if not runs:
            del self._words[topic]
        self._waiting -= len(who)
        return topic, encode(type=kind, topic=topic, who=who)

    def _give_up(self) -> None:
        """Redis takes nothing: what waits is forgotten, and asked for once it does."""
        self._words.clear()
        self._waiting = 0
        self.lost()

    async def _call_forever(self) -> NoReturn:
        """Have every node look around once something may be lost, as soon as Redis takes it."""
        while True:
            await self._has_lost.wait()
            await self._hub.until_connected()  # who is asked then is to hear of the links here
            self._has_lost.clear()
            if not await self._sent(ALL_NODES, {"type": LOOK_AROUND}):
                self._has_lost.set()
            await asyncio.sleep(LOOK_SECONDS)

    async def _sent(self, topic: str, signal: Signal) -> bool:
        try:
            await send_to_topic(topic, signal)
        except LayerAway as error:
            logger.debug("who comes and goes cannot be told", extra={"why": repr(error)})
            return False
        return True

    # --- Hearing from others -----

    def _heard(self, signal: Signal, links: Sequence[Link]) -> None:
        held = self._held.get(signal["topic"])
        if held is None:
            self._hub.give(Event(signal["text"]), links)
        else:
            held.append(signal["text"])

    def _told_to_look(self, _: Signal, __: Sequence[Link]) -> None:
        self._is_to_look.set()

    async def _look_forever(self) -> NoReturn:
        while True:
            await self._is_to_look.wait()
            await asyncio.sleep(LOOK_SECONDS)
            self._is_to_look.clear()
            for number, link in enumerate(tuple(self._links.values())):
                for topic in self._topics_of(link):
                    self._wonder(topic, link)
                if number % _LINKS_A_TURN == 0:
                    await asyncio.sleep(0)

    async def _ask_forever(self) -> NoReturn:
        while True:
            await self._has_curious.wait()
            self._has_curious.clear()
            while self._curious:
                await self._hub.until_connected()
                topics = [*self._curious][:TOPICS_AT_ONCE]
                await self._ask({topic: self._curious.pop(topic) for topic in topics})

    async def _ask(self, curious: Mapping[str, Collection[Link]]) -> None:
        """Have links hear who is on each topic, and then what was said of it meanwhile."""
        self._held = {topic: [] for topic in curious}
        try:
            answers = await ask([who_question(topic, named=NAMED) for topic in curious])
            for (topic, links), each in zip(curious.items(), answers, strict=True):
                self._tell_here(topic, links, Presence.of(each, named=NAMED))
            self._look_again(is_due=any(each.silent for each in answers))
        except LayerAway:
            self.lost()
        finally:
            held, self._held = self._held, {}
            for topic, texts in held.items():
                for text in texts:
                    self._hub.deliver(topic, text)

    def _look_again(self, *, is_due: bool) -> None:
        """A node did not answer: it is slow, or lost, which others notice within so many looks."""
        self._looks_left = self._looks_left - 1 if is_due else MOST_LOOKS
        if is_due and self._looks_left > 0:
            self._is_to_look.set()

    def _tell_here(self, topic: str, links: Iterable[Link], found: Presence) -> None:
        who = [_named(each.connection_id, each.user_id) for each in found.who]
        event = Event(encode(type=PRESENT, topic=topic, links=found.links, who=who), source="local")
        self._hub.give(event, [link for link in links if link.id in self._links])


def _named(connection_id: str, user_id: str) -> Named:
    return {"connection": connection_id, "user": user_id}

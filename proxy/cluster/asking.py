"""Asking the nodes that have links on a topic: who asks, and the node that answers.

What is published asks how many links took it; other questions are signals of their own. A node that does not
listen to the topic is not asked. One that is dead does not answer, and nobody has to notice that it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NoReturn

from channels.layers import get_channel_layer

from proxy.cluster.questions import Answers, LayerAway, Place, Question
from proxy.cluster.signals import EVENT, Signal, event_of, published_at
from proxy.cluster.store import Store
from proxy.core.history import History
from proxy.core.topics import check_topic, group_name
from proxy.engine.deliveries import Listener
from proxy.engine.hub import Hub
from proxy.registry import topic_kinds

log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
# Whoever asks more waits for the answers in between, or nodes would have no room for all that comes.
_MOST_AT_ONCE = 1000


def question(
    topic: str, signal: Signal, *, once: str = "", history: History | None = None, is_patient: bool = True
) -> Question:
    """What is asked of the nodes that hear `topic`; with a `history` it is remembered, as events are.

    Raises ValueError where it is no topic.
    """
    group, named = group_name(check_topic(topic, topic_kinds())), {**signal, "topic": topic}
    return Question(group=group, signal=named, once=once, history=history, is_patient=is_patient)


async def ask(questions: Sequence[Question]) -> list[Answers]:
    """What nodes answer to each, in that order; one that is silent for a second is counted as such.

    Raises:
        LayerAway: Redis is away, or does not answer in two seconds. Some of them may have gone out.
    """
    store: Store = get_channel_layer().store
    parts = [await store.ask(part) for part in _parts(questions)]
    return [answers for part in parts for answers in part]


def ask_sync(questions: Sequence[Question]) -> list[Answers]:
    """`ask` for code that is not async."""
    store: Store = get_channel_layer().store
    return [answers for part in _parts(questions) for answers in store.ask_sync(part)]


def _parts(questions: Sequence[Question]) -> list[Sequence[Question]]:
    return [questions[first : first + _MOST_AT_ONCE] for first in range(0, len(questions), _MOST_AT_ONCE)]


class Answering:
    """A node's own answers, on their way to who asks: all of one turn of the loop together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[Place, str] = {}
        self._wake = asyncio.Event()
        self._is_away = False

    def listen(self, hub: Hub) -> None:
        """Hear events, bring them to their links, and answer how many those are."""

        def hear(signal: Signal, links: Sequence[Listener]) -> None:
            hub.give(event_of(signal), links, published_at=published_at(signal))
            self.answer(signal, str(len(links)))

        hub.receive(EVENT, hear)

    def answer(self, signal: Signal, said: str) -> None:
        """Answer the signal, if it asks. While Redis is away, what is too much to keep is not said."""
        place = Place.of(signal)
        if place is not None and len(self._waiting) < _MOST_WAITING:
            self._waiting[place] = said
            self._wake.set()

    async def run(self) -> NoReturn:
        """Bring answers to who asks, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._deliver()

    async def _deliver(self) -> None:
        said, self._waiting = self._waiting, {}
        try:
            await self._store.answer(said)
            self._is_away = False
        except LayerAway as error:
            if not self._is_away:
                log.warning("who asks gets no answers", extra={"answers": len(said), "why": repr(error)})
            self._is_away = True

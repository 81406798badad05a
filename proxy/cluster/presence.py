"""Who is on a topic: the nodes that have links there are asked.

No state is kept for it, so that none is ever wrong: a node that is dead does not answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import islice

from django.utils.asyncio import async_unsafe

from proxy.cluster.asking import Answering, ask, ask_sync, question
from proxy.cluster.questions import Answers, Question
from proxy.cluster.signals import WHO, Signal
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link

# How many are named, unless it is said otherwise, and at most.
NAMED = 1000
MOST_NAMED = 10_000
# To name one costs a microsecond, and others have their turns meanwhile.
_NAMED_A_TURN = 500


@dataclass(frozen=True, slots=True)
class Present:
    """A link that is on a topic, and whose it is."""

    connection_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is on a topic: so many `links`, on so many `nodes`; `who` are as many of them as were to be named.

    `silent` nodes that listen to the topic have not answered in a second (they are frozen, or were lost a
    moment ago), and are not counted.
    """

    nodes: int
    links: int
    who: tuple[Present, ...] = ()
    silent: int = 0

    @property
    def users(self) -> tuple[str, ...]:
        """Whose links those in `who` are, each user once."""
        return tuple(dict.fromkeys(each.user_id for each in self.who))

    @classmethod
    def of(cls, answers: Answers, *, named: int) -> Presence:
        """What the nodes said together."""
        said = [json.loads(each) for each in answers.said]
        who = (Present(*each) for node in said for each in node["who"])
        links = [int(node["links"]) for node in said]
        return cls(sum(count > 0 for count in links), sum(links), tuple(islice(who, named)), answers.silent)


@async_unsafe("In async code it is `await apresence(…)`.")
def presence(topic: str, *, named: int = NAMED) -> Presence:
    """Who is on `topic` now, on any node, of whom at most `named` are named. Waits as `publish`
    does.

    Raises:
        ValueError: there is no such topic, or so many cannot be named.
        LayerAway: Redis is away, or does not answer in two seconds.
        SynchronousOnlyOperation: this is async code, which would wait here as a whole.
    """
    (answers,) = ask_sync([who_question(topic, named=named)])
    return Presence.of(answers, named=named)


async def apresence(topic: str, *, named: int = NAMED) -> Presence:
    """`presence` for async code."""
    (answers,) = await ask([who_question(topic, named=named)])
    return Presence.of(answers, named=named)


def who_question(topic: str, *, named: int) -> Question:
    """What nodes are asked. Raises ValueError."""
    if not 0 <= named <= MOST_NAMED:
        raise ValueError(f"0 to {MOST_NAMED} links can be named, not {named!r}")
    return question(topic, {"type": WHO, "named": named})


class Roll:
    """What a node says of its own links; `live` are the ids of those that are accepted and have not ended."""

    def __init__(self, answering: Answering, live: Container[str]) -> None:
        self._answering, self._live = answering, live

    def listen(self, hub: Hub) -> None:
        """Hear who asks from now on."""
        hub.receive(WHO, self._asked)

    def _asked(self, signal: Signal, links: Sequence[Link]) -> None:
        here = [link for link in links if link.id in self._live]
        self._name(signal, len(here), here[: min(int(signal["named"]), MOST_NAMED)], "")

    def _name(self, signal: Signal, links: int, left: Sequence[Link], told: str) -> None:
        """Name some in this turn of the loop and the others in later ones; then it is an answer."""
        some, left = left[:_NAMED_A_TURN], left[_NAMED_A_TURN:]
        told += json.dumps([[link.id, link.record.user_id] for link in some])[1:-1]
        if left:
            asyncio.get_running_loop().call_soon(self._name, signal, links, left, f"{told},")
        else:
            self._answering.answer(signal, f'{{"links":{links},"who":[{told}]}}')

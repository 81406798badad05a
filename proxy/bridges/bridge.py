"""Brings what another broker publishes to the links of this node, as long as the node runs.

Each node hears the broker by itself, and only of topics that its links hear: what it brings is delivered
here, and goes to no other node. While the broker is away links stay and the bridge dials on, less and less
often; when it is back, whoever may have missed something is told so.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NoReturn, Protocol

from proxy import metrics
from proxy.bridges.inbox import Inbox
from proxy.core import backoff
from proxy.core.topics import EVERYONE, TopicKind
from proxy.engine.calls import call_within
from proxy.engine.rounds import Rounds
from proxy.work import NodeWork, Workplace

logger = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0
# A session that lasted so long ended by a new failure: the waits begin anew.
STEADY_SECONDS = 10.0
SUBSCRIBE_SECONDS = 10.0
# How long a handshake waits for a subscription, below what the hub gives a watcher.
JOIN_SECONDS = 2.0


class Session(Protocol):
    """One time of being connected to a broker.

    Attributes:
        may_have_missed: something may have been published since the session before that nobody will hear.
    """

    may_have_missed: bool

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Hear what is published for `topics`, from the return on."""

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Hear it no more."""

    async def last(self) -> NoReturn:
        """Wait until the broker is away, which is raised, whatever it is."""


class Broker(Protocol):
    """Another system that publishes."""

    @property
    def name(self) -> str:
        """Of the bridge, in logs, metrics and wrapped events."""

    @property
    def kinds(self) -> Collection[str]:
        """The kinds of topics that it leads to, by their names; `everyone` is one here."""

    def session(self, inbox: Inbox) -> AbstractAsyncContextManager[Session]:
        """Connect, and put into `inbox` what comes for the topics that are subscribed to.

        Raises whatever the client library does; what it acquired is given back by then.
        """


@dataclass(frozen=True, slots=True)
class Leads:
    """To which `kinds` of topics, by their names, a bridge leads. `needs_redis`: from the gateway's own."""

    kinds: Collection[str]
    needs_redis: bool = False


_leads: dict[str, Leads] = {}


def bridge(broker: Broker) -> NodeWork:
    """The background work of a node that brings what `broker` has (see `run_on_every_node`)."""
    lead(broker.name, broker.kinds)
    return resumed(lambda place, lost: Bridge(broker, place, lost=lost))


class Resumable(Protocol):
    """A bridge that may be run in place of one that has crashed."""

    @property
    def topics(self) -> set[str]:
        """What it heard, once it has crashed."""

    async def run(self) -> None:
        """Until cancelled, or until something fails that is no failure of its broker."""


def resumed(make: Callable[[Workplace, set[str]], Resumable]) -> NodeWork:
    """The background work of a bridge. `make` is given the topics that one which has crashed heard: what was
    published since then, or waited in it, is lost, and their links are to be told."""
    lost = set[str]()

    async def work(place: Workplace) -> None:
        nonlocal lost
        made = make(place, lost)
        try:
            await made.run()
        except Exception:
            lost = made.topics or lost
            raise

    return work


def lead(name: str, kinds: Collection[str], *, needs_redis: bool = False) -> None:
    """Remember where the bridge `name` leads."""
    _leads[name] = Leads(kinds, needs_redis)


def leads() -> Mapping[str, Leads]:
    """Where each bridge of this process leads, by its name."""
    return dict(_leads)


class Bridge:
    """A TopicWatcher that keeps a broker's subscriptions in line with the topics of the node's links."""

    def __init__(self, broker: Broker, place: Workplace, *, lost: Collection[str] = ()) -> None:
        """`lost`: topics of which something is missing, as their links are told once it hears them again."""
        self._broker, self._place, self._lost = broker, place, set(lost)
        self._inbox = Inbox(broker.name, place)
        self._session: Session | None = None
        self._is_away = False
        # A kind of its own that no watcher is told of: there is always somebody.
        self._wanted = {EVERYONE} & set(broker.kinds)
        self._rounds = Rounds(self._wanted, add=self._subscribe, discard=self._unsubscribe)
        self._connected = metrics.child(metrics.BRIDGE_CONNECTED, broker.name)

    @property
    def topics(self) -> set[str]:
        return self._wanted

    async def run(self) -> None:
        """Until cancelled."""
        kinds = [TopicKind(kind) for kind in self._broker.kinds if kind != EVERYONE]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._place.watch(self, kinds), name="bridge:watch")
            tasks.create_task(self._inbox.deliver_forever(), name="bridge:deliver")
            tasks.create_task(self._hear_forever(), name="bridge:hear")

    async def first_joined(self, topics: Sequence[str]) -> None:
        """Links of this node hear `topics`; returns once the broker knows, at once while it is away.

        Who cannot wait any longer is told of a gap once the broker knows.
        """
        self._wanted.update(topics)
        self._changed(topics)
        if not self._is_away:
            told, _ = await asyncio.wait([self._rounds.next_round()], timeout=JOIN_SECONDS)
            if not told:
                self._lost.update(topics)

    async def last_left(self, topics: Sequence[str]) -> None:
        self._wanted.difference_update(topics)
        self._lost.difference_update(topics)  # who comes later has missed nothing
        self._changed(topics)

    def _changed(self, topics: Sequence[str]) -> None:
        for topic in topics if self._session is not None else ():  # which else begins with all there are
            self._rounds.changed(topic)

    async def _hear_forever(self) -> NoReturn:
        clock = asyncio.get_running_loop().time
        waits = _waits()
        while True:
            began = clock()
            try:
                async with self._broker.session(self._inbox) as session:
                    await self._begin(session)
                    await self._hear(session)
            except Exception as error:  # noqa: BLE001  a broker raises whatever its client library does
                if not self._is_away:
                    extra = {"bridge": self._broker.name, "error": repr(_first(error))}
                    logger.warning("a bridge's broker is away; links go on without what it has", extra=extra)
                self._is_away = True
            finally:
                self._end()
            if clock() - began > STEADY_SECONDS:
                waits = _waits()
            await asyncio.sleep(backoff.jittered(next(waits), fraction=0.5, random=random.random()))  # noqa: S311

    async def _begin(self, session: Session) -> None:
        """Subscribe anew to all that links hear by now. Who may have missed something is told once it would
        hear what is published from then on, and before it does."""
        self._session, was_away = session, self._is_away
        self._inbox.hold()
        self._rounds.begin_anew(self._wanted)
        await self._rounds.settle()
        self._is_away = False
        self._connected.set(1)
        logger.info("a bridge hears its broker", extra={"bridge": self._broker.name, "was_away": was_away})
        if was_away and session.may_have_missed:
            self._place.resync(self._wanted)
        self._inbox.release()

    async def _hear(self, session: Session) -> NoReturn:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._rounds.run(), name="bridge:settle")
            tasks.create_task(session.last(), name="bridge:last")
        raise AssertionError("unreachable: the tasks end by failing")

    def _end(self) -> None:
        self._session = None
        self._inbox.release()
        self._connected.set(0)
        self._rounds.let_go()

    async def _subscribe(self, topics: Sequence[str]) -> None:
        assert self._session is not None  # noqa: S101  rounds are run within a session
        await call_within(SUBSCRIBE_SECONDS, self._session.subscribe(topics))
        if again := self._lost.intersection(topics):
            self._lost -= again
            self._place.resync(again)

    async def _unsubscribe(self, topics: Sequence[str]) -> None:
        assert self._session is not None  # noqa: S101  as above
        await call_within(SUBSCRIBE_SECONDS, self._session.unsubscribe(topics))


def _waits() -> Iterator[float]:
    return backoff.delays(FIRST_WAIT_SECONDS, longest_seconds=LONGEST_WAIT_SECONDS)


def _first(error: BaseException) -> BaseException:
    """What a task group failed of."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

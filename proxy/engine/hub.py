"""Topics, and the local links that listen to them.

The hub owns one channel of the channel layer for the whole process. It adds that channel to a group when the
first local link joins a topic of the group, and discards it when the last one leaves. So an event is received
and decoded once a process, however many links it goes to, and any code that can reach the channel layer can
publish. Several topics may share a group, since each message names its topic. What a process brings along
by itself (a bridge) it delivers without the layer, and it may watch which topics have links at all.

The channel layer may be away (Redis restarts): links stay up, and joins return at once. The hub sends itself
an echo every few seconds; when a call fails or echoes stay out, it lets go of the layer's connections and
starts anew: a new channel, every topic's group added again. Events may have been lost meanwhile, so who asked
(`on_gap`) is called, for clients to be told. It does not wait for the layer to recover by itself, because a
layer whose reader and subscriber reconnect at the same time can stay deaf for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, Protocol, TypeVar

from proxy import metrics
from proxy.core.events import Event
from proxy.core.hook_failures import is_end
from proxy.core.topics import TopicKind, group_name
from proxy.core.wording import in_words
from proxy.engine.calls import call_within
from proxy.engine.deliveries import Deliveries, Listener
from proxy.engine.delivery_times import LastListener
from proxy.engine.rounds import Rounds, Tell

logger = logging.getLogger(__name__)

ECHO = "gateway.echo"
# What a layer that has lost its connection, and has one again by itself, puts into each of its channels.
LOST = "gateway.lost"
_RETRY_SECONDS = 0.5
T = TypeVar("T")


# Called once a message, with the message and the links of its topic; must not block and must not raise.
Receiver = Callable[[Mapping[str, Any], Sequence[Any]], None]


class TopicWatcher(Protocol):
    """Who is told which topics have local links, as a bridge that subscribes for those alone.

    One call at a time, each topic in turn joined and left, however fast links come and go.
    """

    async def first_joined(self, topics: Sequence[str]) -> None:
        """Each of `topics` has a local link now. Its handshake waits for this, a moment."""

    async def last_left(self, topics: Sequence[str]) -> None:
        """None of `topics` has any more."""


class ChannelLayer(Protocol):
    """What the hub needs of a channel layer (Channels' own specification)."""

    async def new_channel(self) -> str: ...
    async def receive(self, channel: str) -> dict[str, Any]: ...
    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
    async def group_send(self, group: str, message: dict[str, Any]) -> None: ...
    async def flush(self) -> None: ...


class BatchingLayer(ChannelLayer, Protocol):
    """A layer that can also change many groups in one call."""

    async def groups_add(self, groups: Sequence[str], channel: str) -> None: ...
    async def groups_discard(self, groups: Sequence[str], channel: str) -> None: ...


class Hub:
    """Brings what arrives on the channel layer to who asked for it, with the local links of its topic.

    Messages are `receive`d by their type; one that nobody asked for is logged.
    """

    def __init__(
        self,
        layer: ChannelLayer | BatchingLayer,
        *,
        own_topic: str,
        echo_seconds: float = 2.0,
        silence_seconds: float = 5.0,
        call_seconds: float = 3.0,
    ) -> None:
        self._layer, self._own_topic = layer, own_topic
        self._receivers: dict[str, Receiver] = {}
        self._tell_gap: list[Callable[[], object]] = []
        self._echo_seconds, self._silence_seconds = echo_seconds, silence_seconds
        self._call_seconds = call_seconds
        # A topic's link, or a set of them: most topics have one, and a set weighs 216 bytes.
        self._links: dict[str, Any] = {}
        self._deliveries = Deliveries()
        self._topics_in: dict[str, int] = {}
        self._channel = ""
        self._groups = Rounds(self._topics_in, add=self._add_groups, discard=self._discard_groups)
        self._watches: list[tuple[frozenset[str], Rounds]] = []
        self._last_echo_at = 0.0
        self._is_connected = asyncio.Event()
        self._owes_word = False
        self.has_connected = False  # once the layer was reached, whatever has become of it since
        self.listen(own_topic)

    # --- Who hears what -----

    def receive(self, message_type: str, receiver: Receiver) -> None:
        """Have `receiver` called with each message of that type that reaches this process."""
        self._receivers[message_type] = receiver

    def on_gap(self, tell: Callable[[], object]) -> None:
        """Have `tell` called whenever messages may have been lost."""
        self._tell_gap.append(tell)

    def listen(self, topic: str) -> None:
        """Hear what is sent to `topic` from now on, whether or not a link does."""
        group = group_name(topic)
        self._topics_in[group] = self._topics_in.get(group, 0) + 1
        if group not in self._groups:
            self._groups.changed(group)

    async def join(self, link: Listener, topics: Iterable[str]) -> None:
        """Let `link` hear `topics`. Returns once layer and watchers know; waits for no layer that is away."""
        topics, is_new = tuple(topics), False
        watches = dict[int, Rounds]()
        for topic in topics:
            if self._add(topic, link):
                self.listen(topic)
            is_new |= group_name(topic) not in self._groups
            for rounds in self._watches_of(topic):
                if topic not in rounds:
                    rounds.changed(topic)
                    watches[id(rounds)] = rounds
        told = [rounds.next_round() for rounds in watches.values()]
        if is_new and self.connected:
            await self._groups.next_round()
        elif is_new and self._is_beginning:
            await self.hears_soon(topics, within_seconds=self._call_seconds, even_while_away=False)
        if told:
            await asyncio.wait(told, timeout=self._call_seconds)

    def leave(self, link: Listener, topics: Iterable[str]) -> None:
        """Let `link` hear `topics` no more; groups with no topics left are given back to the layer."""
        for topic in topics:
            if self._discard(topic, link):
                group = group_name(topic)
                self._topics_in[group] -= 1
                if not self._topics_in[group]:
                    del self._topics_in[group]
                    self._groups.changed(group)
                for rounds in self._watches_of(topic):
                    rounds.changed(topic)

    def hears(self, topics: Iterable[str]) -> bool:
        """Whether the layer has been asked for all of them, and is there."""
        return self.connected and all(group_name(topic) in self._groups for topic in topics)

    async def hears_soon(
        self, topics: Sequence[str], *, within_seconds: float, even_while_away: bool = True
    ) -> bool:
        """Whether `hears` comes true in that time. If not, a gap is told once the layer is reached.

        Without `even_while_away` it waits for no layer that was reached before, or is known to be away.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                while not self.hears(topics) and (even_while_away or self._is_beginning):
                    await self._groups.next_round()
        self._owes_word |= not self.hears(topics)
        return self.hears(topics)

    async def watch(self, watcher: TopicWatcher, kinds: Collection[TopicKind]) -> NoReturn:
        """Tell `watcher` of the first and the last local link of each topic of `kinds`, until cancelled.

        It is told of the topics that there are first. What it raises, or takes longer for than a call of the
        layer may, is logged, and told no second time: who has lost its own connection ends, and watches anew.
        """
        names = frozenset(kind.name for kind in kinds)
        rounds = Rounds(
            self._links, add=self._guarded(watcher.first_joined), discard=self._guarded(watcher.last_left)
        )
        rounds.begin_anew(topic for topic in self._links if _kind(topic) in names)
        watch = (names, rounds)
        self._watches.append(watch)
        try:
            await rounds.run()
        finally:
            self._watches.remove(watch)
            rounds.let_go()

    def _guarded(self, tell: Tell) -> Tell:
        async def told(topics: Sequence[str]) -> None:
            try:
                await self._call(tell(topics))
            except asyncio.CancelledError:
                raise  # the watch's: one that the watcher makes up has another name by now
            except BaseException as error:
                if is_end(error):
                    raise
                logger.exception("a watcher of topics failed", extra={"topics": len(topics)})

        return told

    def _watches_of(self, topic: str) -> Iterable[Rounds]:
        if not self._watches:
            return ()
        kind = _kind(topic)
        return [rounds for names, rounds in self._watches if kind in names]

    def _add(self, topic: str, link: Any) -> bool:
        """True if `link` is the first of `topic`."""
        found = self._links.get(topic)
        if found is None:
            self._links[topic] = link
            return True
        if type(found) is set:
            found.add(link)
        elif found is not link:
            self._links[topic] = {found, link}
        return False

    def _discard(self, topic: str, link: Any) -> bool:
        """True if `link` was the last of `topic`."""
        found = self._links.get(topic)
        if type(found) is set:
            found.discard(link)
            if len(found) == 1:
                self._links[topic] = found.pop()
        elif found is link:
            del self._links[topic]
            return True
        return False

    def _links_of(self, topic: str) -> tuple[Any, ...]:
        found = self._links.get(topic)
        if type(found) is set:
            return tuple(found)
        return () if found is None else (found,)

    # --- What they hear -----

    def deliver(self, topic: str, text: str) -> None:
        """Give the local links of `topic` an event, `text`, without the layer: no other node hears of it.

        It comes after all that has come by the layer until now, and before all that comes later.
        """
        self.give(Event(text, source="local"), self._links_of(topic))

    def deliver_to_any(self, topics: Iterable[str], text: str) -> None:
        """`deliver` to the local links of any of `topics`, of which each hears it once."""
        links = {link for topic in topics for link in self._links_of(topic)}
        self.give(Event(text, source="local"), tuple(links))

    def give(self, event: Event, links: Sequence[Listener], *, published_at: float | None = None) -> None:
        """Give each of `links` an event, behind all that the hub was to give it before.

        With `published_at`, in Unix seconds, it is measured how long that took.
        """
        hearers = links
        if links and published_at is not None:
            hearers = (*links, LastListener(published_at))
        self._deliveries.give(event, hearers)
        metrics.child(metrics.EVENTS_TOTAL, event.source, "delivered").inc(len(links))

    def hurry(self, link: Listener) -> None:
        """Give it what it has not got yet, at once, as it is about to end."""
        self._deliveries.hurry(link)

    # --- The layer -----

    @property
    def _is_beginning(self) -> bool:
        """Whether it has not been reached yet, nor is known to be away."""
        return not (self.has_connected or self._owes_word)

    @property
    def connected(self) -> bool:
        """Whether what is sent to the topics of the links here is heard."""
        return self._is_connected.is_set()

    async def until_connected(self) -> None:
        """Returns once it is."""
        await self._is_connected.wait()

    async def run(self) -> None:
        """Hear what is published, and start anew whenever the layer fails, until cancelled."""
        try:
            while True:
                try:
                    await self._hear()
                except Exception as error:  # noqa: BLE001  a layer raises whatever its client library does
                    self._away(error)
                await self._let_go()
                await asyncio.sleep(_RETRY_SECONDS)
        finally:  # nobody settles a join any more
            self._is_connected.clear()
            self._groups.let_go()

    async def _hear(self) -> NoReturn:
        """One time of hearing, from a new channel to the first failure, which is raised."""
        self._channel = await self._call(self._layer.new_channel())
        self._groups.begin_anew(self._topics_in)
        await self._groups.settle()
        self._last_echo_at = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive_forever(self._channel), name="hub:receive")
            tasks.create_task(self._groups.run(), name="hub:settle")
            tasks.create_task(self._echo_forever(), name="hub:echo")
            self._back()
        raise AssertionError("unreachable: the tasks end by failing")

    def _back(self) -> None:
        self._is_connected.set()
        if self.has_connected or self._owes_word:
            logger.warning("channel layer is back; events may have been lost meanwhile")
            for tell in self._tell_gap:
                tell()
        self.has_connected, self._owes_word = True, False

    def _away(self, error: Exception) -> None:
        is_news = self.connected or self._is_beginning
        if is_news:
            logger.warning(
                "channel layer is away; links go on without events", extra={"error": in_words(error)}
            )
        self._owes_word |= not self.has_connected  # it begins in an outage, as which it ends for all nodes
        self._is_connected.clear()
        self._groups.let_go()

    async def _let_go(self) -> None:
        """Drop the layer's connections, so that the next channel starts on new ones."""
        try:
            await self._call(self._layer.flush())
        except Exception as error:  # noqa: BLE001  as above
            logger.debug("the channel layer did not flush", extra={"error": in_words(error)})

    async def _receive_forever(self, channel: str) -> NoReturn:
        while True:
            self._receive_one(await self._layer.receive(channel))

    async def _add_groups(self, groups: Sequence[str]) -> None:
        if hasattr(self._layer, "groups_add"):
            await self._call(self._layer.groups_add(groups, self._channel))
            return
        for group in groups:
            await self._call(self._layer.group_add(group, self._channel))

    async def _discard_groups(self, groups: Sequence[str]) -> None:
        if hasattr(self._layer, "groups_discard"):
            await self._call(self._layer.groups_discard(groups, self._channel))
            return
        for group in groups:
            await self._call(self._layer.group_discard(group, self._channel))

    async def _echo_forever(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            await self._call(self._layer.group_send(group_name(self._own_topic), {"type": ECHO}))
            began = loop.time()
            await asyncio.sleep(self._echo_seconds)
            if loop.time() - began > 2 * self._echo_seconds:  # this process stood still, and heard nothing
                self._last_echo_at = loop.time()
            if loop.time() - self._last_echo_at > self._silence_seconds:
                raise TimeoutError("no echo")

    async def _call(self, call: Awaitable[T]) -> T:
        """One call of the layer, under a deadline."""
        return await call_within(self._call_seconds, call)

    def _receive_one(self, message: Mapping[str, Any]) -> None:
        kind = message.get("type")
        if kind == ECHO:
            self._last_echo_at = asyncio.get_running_loop().time()
            return
        if kind == LOST:
            raise ConnectionError("the layer's connection was lost; it is there again")
        receiver = self._receivers.get(kind) if isinstance(kind, str) else None
        topic = message.get("topic")
        if receiver is None or not isinstance(topic, str):
            logger.warning("unknown message on the channel layer", extra={"message_type": str(kind)[:64]})
            return
        try:
            receiver(message, self._links_of(topic))
        except Exception:
            logger.exception("a message of the channel layer could not be delivered")


def _kind(topic: str) -> str:
    return topic.partition(":")[0]

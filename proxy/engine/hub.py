"""Topics, and the local links that listen to them.

The hub owns one channel of the channel layer for the whole process. It adds that channel to a group when the
first local link joins a topic of the group, and discards it when the last one leaves. So an event is received
and decoded once a process, however many links it goes to, and any code that can reach the channel layer can
publish. Several topics may share a group, since each message names its topic.

The channel layer may be away (Redis restarts): links stay up, and joins return at once. The hub sends itself
an echo every few seconds; when a call fails or echoes stay out, it lets go of the layer's connections and
starts anew: a new channel, every topic's group added again. Events may have been lost meanwhile, so `on_gap`
is called for clients to be told. It does not wait for the layer to recover by itself, because a layer whose
reader and subscriber reconnect at the same time can stay deaf for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

from proxy.engine.calls import call_within

logger = logging.getLogger(__name__)

ECHO = "gateway.echo"
_RETRY_SECONDS = 0.5
T = TypeVar("T")


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
    """Delivers what arrives on the channel layer to the local links of its topic.

    `receivers` maps an allowed message type to what handles it: it is called once a message, with the message
    and the links of its topic, must not block and must not raise. Any other type is counted and logged.
    """

    def __init__(
        self,
        layer: ChannelLayer | BatchingLayer,
        *,
        own_topic: str,
        group_name: Callable[[str], str],
        receivers: Mapping[str, Callable[[Mapping[str, Any], Iterable[Any]], None]],
        on_gap: Callable[[], None] = lambda: None,
        echo_seconds: float = 2.0,
        silence_seconds: float = 5.0,
        call_seconds: float = 3.0,
    ) -> None:
        self._layer, self._own_topic, self._group_name = layer, own_topic, group_name
        self._receivers, self._on_gap = receivers, on_gap
        self._echo_seconds, self._silence_seconds = echo_seconds, silence_seconds
        self._call_seconds = call_seconds
        # A topic's link, or a set of them: most topics have one, and a set weighs 216 bytes.
        self._links: dict[str, Any] = {}
        self._topics_in: dict[str, int] = {group_name(own_topic): 1}
        self._joined, self._unsettled = set[str](), set[str]()
        self._dirty = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._last_echo_at = 0.0
        self._was_connected = self.connected = False
        self.unknown_messages = 0

    async def join(self, link: Any, topics: Iterable[str]) -> None:
        """Let `link` hear `topics`. Returns once the layer knows, or at once while the layer is away."""
        fresh = False
        for topic in topics:
            group = self._group_name(topic)
            if self._add(topic, link):
                self._topics_in[group] = self._topics_in.get(group, 0) + 1
            if group not in self._joined:
                self._unsettled.add(group)
                fresh = True
        if fresh and self.connected:
            await self._settle()

    def leave(self, link: Any, topics: Iterable[str]) -> None:
        """Let `link` hear `topics` no more; groups with no topics left are given back to the layer."""
        for topic in topics:
            if self._discard(topic, link):
                group = self._group_name(topic)
                self._topics_in[group] -= 1
                if not self._topics_in[group]:
                    del self._topics_in[group]
                    self._unsettled.add(group)
                    self._dirty.set()

    def _add(self, topic: str, link: Any) -> bool:
        """True if `link` is the first of `topic`."""
        found = self._links.setdefault(topic, link)
        if type(found) is set:
            found.add(link)
        elif found is not link:
            self._links[topic] = {found, link}
        else:
            return True
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

    async def _settle(self) -> None:
        """Wait for the round in which the groups that this link needs are added."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._dirty.set()
        await waiter

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
            self.connected = False
            self._answer_all()

    async def _hear(self) -> NoReturn:
        """One time of hearing, from a new channel to the first failure, which is raised."""
        channel = await self._call(self._layer.new_channel())
        self._joined.clear()
        self._unsettled = set(self._topics_in)
        await self._bring_in_line(channel)
        self._last_echo_at = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive_forever(channel), name="hub:receive")
            tasks.create_task(self._settle_forever(channel), name="hub:settle")
            tasks.create_task(self._echo_forever(), name="hub:echo")
            self._back()
            self._dirty.set()  # for what joined while nobody was connected yet
        raise AssertionError("unreachable: the tasks end by failing")

    def _back(self) -> None:
        self.connected = True
        if self._was_connected:
            logger.warning("channel layer is back; events may have been lost meanwhile")
            self._on_gap()
        self._was_connected = True

    def _away(self, error: Exception) -> None:
        if self.connected:
            logger.warning("channel layer is away; links go on without events", extra={"error": repr(error)})
        self.connected = False
        self._answer_all()

    def _answer_all(self) -> None:
        waiters, self._waiters = self._waiters, []
        _answer(waiters)

    async def _let_go(self) -> None:
        """Drop the layer's connections, so that the next channel starts on new ones."""
        try:
            await self._call(self._layer.flush())
        except Exception as error:  # noqa: BLE001  as above
            logger.debug("the channel layer did not flush", extra={"error": repr(error)})

    async def _receive_forever(self, channel: str) -> NoReturn:
        while True:
            self._receive_one(await self._layer.receive(channel))

    async def _settle_forever(self, channel: str) -> NoReturn:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._bring_in_line(channel)

    async def _bring_in_line(self, channel: str) -> None:
        """One round: add and discard what differs now, then answer who waited for it.

        What joins meanwhile has the next round, so that a storm of joins keeps nobody waiting for its end.
        """
        groups, self._unsettled = self._unsettled, set()
        waiters, self._waiters = self._waiters, []
        try:
            added = [group for group in groups if group in self._topics_in and group not in self._joined]
            gone = [group for group in groups if group not in self._topics_in and group in self._joined]
            await self._add_groups(added, channel)
            self._joined.update(added)
            self._joined.difference_update(gone)
            await self._discard_groups(gone, channel)
        finally:
            _answer(waiters)

    async def _add_groups(self, groups: Sequence[str], channel: str) -> None:
        if hasattr(self._layer, "groups_add"):
            await self._call(self._layer.groups_add(groups, channel))
            return
        for group in groups:
            await self._call(self._layer.group_add(group, channel))

    async def _discard_groups(self, groups: Sequence[str], channel: str) -> None:
        if hasattr(self._layer, "groups_discard"):
            await self._call(self._layer.groups_discard(groups, channel))
            return
        for group in groups:
            await self._call(self._layer.group_discard(group, channel))

    async def _echo_forever(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            await self._call(self._layer.group_send(self._group_name(self._own_topic), {"type": ECHO}))
            await asyncio.sleep(self._echo_seconds)
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
        receiver = self._receivers.get(kind) if isinstance(kind, str) else None
        topic = message.get("topic")
        if receiver is None or not isinstance(topic, str):
            self.unknown_messages += 1
            logger.warning("unknown message on the channel layer", extra={"message_type": str(kind)[:64]})
            return
        try:
            receiver(message, self._links_of(topic))
        except Exception:
            logger.exception("a message of the channel layer could not be delivered")

    @property
    def has_connected(self) -> bool:
        """True once the layer was reached, whatever has become of it since."""
        return self._was_connected

    @property
    def topics(self) -> int:
        """How many topics have local links."""
        return len(self._links)


def _answer(waiters: Iterable[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)

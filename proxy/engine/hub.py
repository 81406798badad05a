"""Topics, and the local links that listen to them.

The hub owns one channel of the channel layer for the whole process. It adds that channel to a topic's group
when the first local link joins the topic, and discards it when the last one leaves. So an event is received
and decoded once a process, however many links it goes to, and any code that can reach the channel layer can
publish.

The channel layer may be away (Redis restarts): links stay up; joins wait in `_unsettled` and are retried by
`run()`. The hub sends itself an echo every few seconds; when echoes come back after a silence, events may
have been lost in between, and `on_gap` is called so that clients can be told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

logger = logging.getLogger(__name__)

ECHO = "gateway.echo"


class ChannelLayer(Protocol):
    """What the hub needs of a channel layer (Channels' own specification)."""

    async def new_channel(self) -> str: ...
    async def receive(self, channel: str) -> dict[str, Any]: ...
    async def group_add(self, group: str, channel: str) -> None: ...
    async def group_discard(self, group: str, channel: str) -> None: ...
    async def group_send(self, group: str, message: dict[str, Any]) -> None: ...


class Hub:
    """Delivers what arrives on the channel layer to the local links of its topic.

    `receivers` maps an allowed message type to what handles it: it is called once a message, with the message
    and the links of its topic, must not block and must not raise. Any other type is counted and logged.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        *,
        own_topic: str,
        group_name: Callable[[str], str],
        receivers: Mapping[str, Callable[[Mapping[str, Any], Iterable[Any]], None]],
        on_gap: Callable[[], None] = lambda: None,
        echo_seconds: float = 2.0,
        silence_seconds: float = 5.0,
        settle_seconds: float = 3.0,
    ) -> None:
        self._layer, self._own_topic, self._group_name = layer, own_topic, group_name
        self._receivers, self._on_gap = receivers, on_gap
        self._echo_seconds, self._silence_seconds = echo_seconds, silence_seconds
        self._settle_seconds = settle_seconds
        self._links: dict[str, set[Any]] = {own_topic: set()}
        self._joined: set[str] = set()
        self._unsettled: set[str] = {own_topic}
        self._channel: str | None = None
        self._lock = asyncio.Lock()
        self._dirty = asyncio.Event()
        self._last_echo_at: float | None = None
        self.connected = False
        self.unknown_messages = 0

    async def join(self, link: Any, topics: Iterable[str]) -> None:
        """Let `link` hear `topics`. Returns once the layer knows, or at once while the layer is away."""
        fresh = False
        for topic in topics:
            links = self._links.get(topic)
            if links is None:
                links = self._links[topic] = set()
            links.add(link)
            if topic not in self._joined:
                self._unsettled.add(topic)
                fresh = True
        if fresh and self.connected:
            await self._settle()

    def leave(self, link: Any, topics: Iterable[str]) -> None:
        """Let `link` hear `topics` no more; topics with no links left are given back to the layer."""
        for topic in topics:
            links = self._links.get(topic)
            if links is None:
                continue
            links.discard(link)
            if not links and topic != self._own_topic:
                del self._links[topic]
                self._unsettled.add(topic)
        if self._unsettled:
            self._dirty.set()

    async def _settle(self) -> None:
        """Bring the layer's groups in line with the local links; what fails stays for the next round."""
        try:
            async with asyncio.timeout(self._settle_seconds), self._lock:
                while self._unsettled and self._channel is not None:
                    topic = self._unsettled.pop()
                    try:
                        await self._settle_topic(topic, self._channel)
                    except BaseException:
                        self._unsettled.add(topic)
                        raise
        except Exception as error:  # noqa: BLE001  a layer raises whatever its client library does
            self._away(error)

    async def _settle_topic(self, topic: str, channel: str) -> None:
        if topic in self._links and topic not in self._joined:
            await self._layer.group_add(self._group_name(topic), channel)
            self._joined.add(topic)
        elif topic not in self._links and topic in self._joined:
            self._joined.discard(topic)
            await self._layer.group_discard(self._group_name(topic), channel)

    def _away(self, error: BaseException) -> None:
        if self.connected:
            logger.warning("channel layer is away; links go on without events", extra={"error": repr(error)})
        self.connected = False

    async def run(self) -> None:
        """Keep the channel, the groups and the echo going until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive_forever(), name="hub:receive")
            tasks.create_task(self._echo_forever(), name="hub:echo")
            tasks.create_task(self._settle_forever(), name="hub:settle")

    async def _receive_forever(self) -> None:
        while True:
            if self._channel is None:
                await self._open_channel()
                continue
            self._receive_one(await self._layer.receive(self._channel))

    async def _open_channel(self) -> None:
        try:
            async with asyncio.timeout(self._settle_seconds):
                self._channel = await self._layer.new_channel()
        except Exception as error:  # noqa: BLE001  as above
            self._away(error)
            await asyncio.sleep(self._echo_seconds / 2)
            return
        self.connected = True
        await self._settle()

    async def _settle_forever(self) -> None:
        """Give back the groups of topics that lost their last link, off their way out."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self.connected:
                await self._settle()

    async def _echo_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._echo_seconds)
            if self._channel is None:
                continue
            await self._settle()
            try:
                async with asyncio.timeout(self._settle_seconds):
                    await self._layer.group_send(self._group_name(self._own_topic), {"type": ECHO})
            except Exception as error:  # noqa: BLE001  as above
                self._away(error)
            last = self._last_echo_at
            if self.connected and last is not None and loop.time() - last > self._silence_seconds:
                self._away(TimeoutError("no echo"))

    def _echoed(self) -> None:
        was_away, self.connected = not self.connected, True
        first, self._last_echo_at = self._last_echo_at is None, asyncio.get_running_loop().time()
        if was_away and not first:
            logger.warning("channel layer is back; events may have been lost meanwhile")
            self._on_gap()

    def _receive_one(self, message: Mapping[str, Any]) -> None:
        kind = message.get("type")
        if kind == ECHO:
            self._echoed()
            return
        receiver = self._receivers.get(kind) if isinstance(kind, str) else None
        topic = message.get("topic")
        if receiver is None or not isinstance(topic, str):
            self.unknown_messages += 1
            logger.warning("unknown message on the channel layer", extra={"message_type": str(kind)[:64]})
            return
        try:
            receiver(message, tuple(self._links.get(topic, ())))
        except Exception:
            logger.exception("a message of the channel layer could not be delivered")

    @property
    def topics(self) -> int:
        """How many topics have local links."""
        return len(self._links)

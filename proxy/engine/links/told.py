"""A live link as plain values: what another process needs, beside the two sockets, to go on with it.

`Splice.pause` stops reading. Once all that was written has left the process, `Splice.tell` says where the
link stands, to the byte. `Splice.leave` lets go of the sockets; a Splice that is made with what was told goes
on. Moments are told as seconds from now: the clocks of two event loops have nothing in common. Who speaks TLS
cannot be told: its keys and its cipher's state are the process's, whoever else has the socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from proxy.core.events import Event
from proxy.core.records import ConnectionRecord, LinkCounters
from proxy.engine.links.link import Link
from proxy.engine.links.spliced_leg import SplicedLeg
from proxy.engine.links.wheel import NOT_DUE, TICK_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldLeg:
    """Plain values by name: of a leg, of its moments (seconds from now), and of its scanner.

    `outbox`: the text and the source of each event that waits.
    """

    state: dict[str, float]
    moments: dict[str, float]
    scanner: dict[str, Any]
    outbox: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, leg: SplicedLeg) -> Self:
        """Raises ValueError for one that speaks TLS."""
        if leg.transport.get_extra_info("ssl_object") is not None:
            raise ValueError(f"the {leg.by}'s leg speaks TLS, and its keys stay in this process")
        now, outbox = leg.splice.loop.time(), leg.outbox
        return cls(
            state={name: getattr(leg, name) for name in leg.STATE},
            moments={name: getattr(leg, name) - now for name in leg.MOMENTS if getattr(leg, name)},
            scanner=leg.scanner.told(),
            outbox=() if outbox is None else tuple((each.text, each.source) for each in outbox.events()),
        )

    def take_up(self, leg: SplicedLeg) -> None:
        """Have a leg that was just made, and has read nothing yet, stand where the told one did."""
        now = leg.splice.loop.time()
        leg.scanner.go_on(self.scanner)
        for name, value in self.state.items():
            setattr(leg, name, value)
        for name, seconds in self.moments.items():
            setattr(leg, name, now + seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldSplice:
    """Both legs, and for how long no message has crossed."""

    down: ToldLeg
    up: ToldLeg
    idle_seconds: float

    def take_up(self, down: SplicedLeg, up: SplicedLeg) -> None:
        """Have two legs that were just joined go on: what waited waits, who was to be read later is."""
        self.down.take_up(down)
        self.up.take_up(up)
        for leg, told in ((down, self.down), (up, self.up)):
            for text, source in told.outbox:
                leg.inject(Event(text, source))
            if told.state["_pause_seconds"]:
                leg.hold(told.state["_pause_seconds"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldLink:
    """What is known of a link: its record, what has crossed, and how far the metrics have got.

    Times are in ISO 8601; the last activity is told in seconds from now.
    """

    record: dict[str, Any]
    counters: dict[str, Any]
    counted: dict[str, Any]
    topics: tuple[str, ...]
    expires_in_seconds: float | None

    @classmethod
    def of(cls, link: Link) -> Self:
        now, counters = asyncio.get_running_loop().time(), asdict(link.counters)
        if link.counters.last_activity:
            counters["last_activity"] -= now
        record = asdict(link.record)
        for name, value in record.items():
            record[name] = value.isoformat() if isinstance(value, datetime) else value
        return cls(
            record=record,
            counters=counters,
            counted=asdict(link.counted),
            topics=link.topics,
            expires_in_seconds=None if link.slot == NOT_DUE else link.slot * TICK_SECONDS - now,
        )

    def link(self, *, phrase: Callable[[str], str] | None = None) -> Link:
        """A link that goes on with all that; its stream is not there yet."""
        now, record = asyncio.get_running_loop().time(), dict(self.record)
        for name in ("opened_at", "last_activity_at"):
            record[name] = None if record[name] is None else datetime.fromisoformat(record[name])
        link = Link(ConnectionRecord(**record), topics=self.topics, phrase=phrase)
        link.counters, link.counted = LinkCounters(**self.counters), LinkCounters(**self.counted)
        if link.counters.last_activity:
            link.counters.last_activity += now
        if self.expires_in_seconds is not None:
            link.expire_in(self.expires_in_seconds)
        return link

"""What all nodes did, a second at a time: what each told of it, added up once all have, or are late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

from proxy.core.samples import Sample, of_nodes, of_time, taken_seconds

# What a node tells still counts so long after the first that told of the same second.
LATE_SECONDS = 2.0
# Of a second that a node tells nothing of, its links and memory are those that it told of last, for so long:
# they did not go because it was late.
STANDS_SECONDS = 5
# A node whose clock is off by more is taken to tell of the second in which it was heard.
CLOCKS_DIFFER_SECONDS = 1.0
# A node counts what crosses its links every five seconds: of one second alone there may be nothing.
LATELY_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSample:
    """What one node tells: who it is, how it is called, its state (a word), and what it did."""

    node_id: str
    name: str
    state: str
    sample: Sample

    def of_second(self, heard_at: float) -> NodeSample:
        """As of one second, the last of those that it tells of; `heard_at`, in Unix seconds, is on a clock
        that all nodes share."""
        end = self.sample.at + self.sample.seconds
        if abs(heard_at - end) > CLOCKS_DIFFER_SECONDS:
            end = int(heard_at)
        elif self.sample.seconds == 1:
            return self
        return replace(self, sample=replace(self.sample, at=end - 1, seconds=1))

    def told(self) -> dict[str, Any]:
        """For a page."""
        return {
            "id": self.node_id,
            "name": self.name,
            "state": self.state,
            "seconds": self.sample.seconds,
            "links": sum(self.sample.links.values()),
            "messages": self.sample.messages_in + self.sample.messages_out,
            "loop_lag_seconds": round(self.sample.loop_lag_seconds, 4),
            "resident_bytes": self.sample.resident_bytes,
        }


@dataclass(frozen=True, slots=True)
class Second:
    """What all did in one second, and what each of them."""

    total: Sample
    nodes: tuple[NodeSample, ...]

    @property
    def at(self) -> int:
        return self.total.at

    def told(self) -> dict[str, Any]:
        """For a page."""
        total = self.total
        return {
            "at": total.at,
            "seconds": total.seconds,
            "links": dict(total.links),
            "opens": dict(total.opens),
            "closes": dict(total.closes),
            "refusals": dict(total.refusals),
            "messages_in": total.messages_in,
            "messages_out": total.messages_out,
            "bytes_in": total.bytes_in,
            "bytes_out": total.bytes_out,
            "dial_p95_seconds": taken_seconds(total.dials, 0.95),
            "delivery_p99_seconds": taken_seconds(total.deliveries, 0.99),
            "loop_lag_seconds": round(total.loop_lag_seconds, 4),
            "resident_bytes": total.resident_bytes,
            "nodes": [node.told() for node in self.nodes],
        }


class Seconds:
    """Adds up what nodes tell. `now` is any clock that only goes on.

    A second is due once each node that told of one of the three before has told of it, or of a later one;
    once others have told of what came `LATE_SECONDS` after it; or when so long has passed since it was first
    told of. What is told of it later than that is left out, but for the links and memory of who told nothing
    in time, which stand as they stood.
    """

    def __init__(self) -> None:
        self._open: dict[int, list[NodeSample]] = {}
        self._since: dict[int, float] = {}
        self._latest: dict[str, int] = {}  # the second that each node told of last
        self._stands: dict[str, Sample] = {}  # how each stood then
        self._newest = self._given = 0

    def take(self, told: NodeSample, *, now: float) -> None:
        """Count what a node tells of one second."""
        at = told.sample.at
        self._newest = max(self._newest, at)
        if told.node_id not in self._stands or at >= self._stands[told.node_id].at:
            self._stands[told.node_id] = told.sample
        self._latest[told.node_id] = max(self._latest.get(told.node_id, 0), at)
        if at > self._given:
            self._open.setdefault(at, []).append(told)
            self._since.setdefault(at, now)

    def due(self, now: float) -> Iterator[Second]:
        """Those that are complete, the earliest first; each is told once."""
        for at in sorted(self._open):
            if not self._is_due(at, now):
                break
            self._given = at
            del self._since[at]
            yield self._with_who_is_late(added_up(self._open.pop(at)))

    def _with_who_is_late(self, second: Second) -> Second:
        at, heard = second.at, {node.node_id for node in second.nodes}
        self._stands = {
            node: sample for node, sample in self._stands.items() if sample.at >= at - STANDS_SECONDS
        }
        late = [
            Sample(at=at, links=sample.links, resident_bytes=sample.resident_bytes)
            for node, sample in self._stands.items()
            if node not in heard
        ]
        return replace(second, total=of_nodes([second.total, *late])) if late else second

    def wait_seconds(self, now: float) -> float | None:
        """Until another is due, if nobody tells anything more; None: none is."""
        return max(0.0, self._since[min(self._since)] + LATE_SECONDS - now) if self._since else None

    def _is_due(self, at: int, now: float) -> bool:
        if self._newest - at > LATE_SECONDS or now - self._since[at] >= LATE_SECONDS:
            return True
        lately = at - LATE_SECONDS - 1
        self._latest = {node: latest for node, latest in self._latest.items() if latest >= lately}
        return all(latest >= at for latest in self._latest.values())


def lately(seconds: Sequence[Second]) -> Second:
    """The last `LATELY_SECONDS` of those, as one, each node's, too: what commands, pages and programs are
    told of now. Raises ValueError for none.
    """
    since = max((second.at for second in seconds), default=0) - LATELY_SECONDS
    last = [second for second in seconds if second.at > since]
    by_node = defaultdict[str, list[NodeSample]](list)
    for node in (node for second in last for node in second.nodes):
        by_node[node.node_id].append(node)
    nodes = (replace(told[-1], sample=of_time([each.sample for each in told])) for told in by_node.values())
    return Second(of_time([second.total for second in last]), tuple(nodes))


def added_up(told: Sequence[NodeSample]) -> Second:
    """What nodes tell of the same second; one that has told twice did both. Raises ValueError for nothing."""
    by_node = groupby(sorted(told, key=attrgetter("node_id")), key=attrgetter("node_id"))
    nodes = sorted((_together(list(of_one)) for _, of_one in by_node), key=attrgetter("name", "node_id"))
    return Second(of_nodes([node.sample for node in nodes]), tuple(nodes))


def _together(told: Sequence[NodeSample]) -> NodeSample:
    """Of samples of the same second `of_time` takes the first for the last."""
    *_, last = told
    return last if len(told) == 1 else replace(last, sample=of_time([each.sample for each in told[::-1]]))

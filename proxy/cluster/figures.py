"""The figures of this node, and of all: told each second, added up for pages, written down each minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.cluster.charts import Charts
from proxy.cluster.live import LiveSeconds
from proxy.cluster.minutes import MinuteWriter
from proxy.cluster.samples import MemorySamples, RedisSamples, Samples
from proxy.core.samples import Sample
from proxy.core.seconds import NodeSample
from proxy.engine.background import Work
from proxy.engine.redis.commands import RedisCommands
from proxy.engine.sampler import Sampler
from proxy.tables.executor import DatabaseExecutor


class Figures:
    """What one node has to do with them. `state` is asked each second, for a word."""

    def __init__(
        self,
        commands: RedisCommands | None,
        url: str,
        database: DatabaseExecutor,
        *,
        node_id: str,
        name: str,
        state: Callable[[], str],
    ) -> None:
        """`commands` go to the Redis at `url`; None: there is none."""
        samples: Samples = MemorySamples() if commands is None else RedisSamples(commands, url)
        self._samples, self._node_id, self._name, self._state = samples, node_id, name, state
        self._writer = MinuteWriter(samples, database, node_id=node_id)
        self.live = LiveSeconds(samples)
        self.charts = Charts(self.live)

    def work(self) -> Iterator[tuple[str, Work]]:
        """What the node runs, each by its name."""
        yield "sampler", Sampler(self._tell).run
        yield "minutes", self._writer.run
        yield "live", self.live.run

    def _tell(self, sample: Sample) -> None:
        told = NodeSample(node_id=self._node_id, name=self._name, state=self._state(), sample=sample)
        self._samples.tell(told)

"""What all nodes did in the last seconds, for a process that is none of them: a command in a shell, say."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from proxy.cluster.samples import AT_ONCE, ToldSamples, position_of
from proxy.core.samples import of_time
from proxy.core.seconds import NodeSample, Second, Seconds

# A node counts what crosses its links every five seconds: of one second alone there may be nothing.
LATELY_SECONDS = 10


async def lately(url: str) -> Second | None:
    """The last seconds that all nodes have told of to the Redis at `url`, as one, each node's, too.

    None where nobody tells anything. Raises LayerAway.
    """
    samples, seconds = ToldSamples(url), Seconds()
    position, told = position_of(time.time() - LATELY_SECONDS - 2), AT_ONCE
    try:
        while told == AT_ONCE:
            heard = await samples.read(position)
            told = len(heard)
            for position, each in heard:  # noqa: B007  where the next read begins
                if each is not None:
                    seconds.take(each, now=0.0)
    finally:
        await samples.close()
    whole = list(seconds.due(0.0)) or list(seconds.due(float("inf")))
    return _together(whole[-LATELY_SECONDS:]) if whole else None


def _together(seconds: Sequence[Second]) -> Second:
    by_node = defaultdict[str, list[NodeSample]](list)
    for node in (node for second in seconds for node in second.nodes):
        by_node[node.node_id].append(node)
    nodes = (replace(told[-1], sample=of_time([each.sample for each in told])) for told in by_node.values())
    return Second(of_time([second.total for second in seconds]), tuple(nodes))

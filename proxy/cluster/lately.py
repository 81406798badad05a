"""What all nodes did in the last seconds, for a process that is none of them: a command in a shell, say."""

from __future__ import annotations

import time

from proxy.cluster.samples import AT_ONCE, ToldSamples, position_of
from proxy.core import seconds as of_nodes
from proxy.core.seconds import LATELY_SECONDS, Second, Seconds


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
    return of_nodes.lately(whole) if whole else None

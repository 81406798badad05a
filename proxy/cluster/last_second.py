"""What all nodes did last, for a process that is none of them: a command in a shell, say."""

from __future__ import annotations

import time

from proxy.cluster.samples import AT_ONCE, ToldSamples, position_of
from proxy.core.seconds import Second, Seconds

_LATELY_SECONDS = 5.0


async def last_second(url: str) -> Second | None:
    """The last second that all nodes have told of to the Redis at `url`; None where nobody tells anything.

    Raises LayerAway.
    """
    samples, seconds = ToldSamples(url), Seconds()
    position, told = position_of(time.time() - _LATELY_SECONDS), AT_ONCE
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
    return whole[-1] if whole else None

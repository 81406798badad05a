"""What a node says of each second is what its metrics have counted in it."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from proxy import metrics
from proxy.core.samples import TIME_BOUNDS, Sample, of_time, taken_seconds
from proxy.engine.sampler import Sampler, read_totals, sample_of


def count_something() -> None:
    metrics.child(metrics.CONNECTIONS_TOTAL, "sampled", "accepted").inc(3)
    metrics.child(metrics.CONNECTIONS_TOTAL, "sampled", "overloaded").inc()
    metrics.child(metrics.CLOSES_TOTAL, "sampled", "kicked").inc(2)
    metrics.child(metrics.CLOSES_TOTAL, "another", "kicked").inc()
    metrics.child(metrics.REJECTIONS_TOTAL, "sampled", "overloaded").inc()
    metrics.child(metrics.MESSAGES_TOTAL, "sampled", "in").inc(7)
    metrics.child(metrics.BYTES_TOTAL, "sampled", "out").inc(700)
    for seconds in (0.04, 0.04, 99.0):
        metrics.child(metrics.DIAL_SECONDS, "sampled").observe(seconds)
        metrics.EVENT_DELIVERY_SECONDS.observe(seconds / 2)


def test_what_was_counted_between_two_readings_is_the_sample() -> None:
    count_something()  # before: none of this
    before = read_totals()
    count_something()
    sample = sample_of(before, read_totals(), at=60, seconds=1)
    assert (sample.opens, sample.closes, sample.refusals) == (
        {"sampled": 3},
        {"kicked": 3},
        {"overloaded": 1},
    )
    assert (sample.messages_in, sample.messages_out, sample.bytes_in, sample.bytes_out) == (7, 0, 0, 700)
    assert sum(sample.dials) == 3
    assert sample.dials[TIME_BOUNDS.index(0.05)] == 2
    assert sample.dials[-1] == 1
    assert taken_seconds(sample.dials, 0.5) == 0.025 + 0.025 * 0.75
    assert sample.deliveries[TIME_BOUNDS.index(0.025)] == 2
    assert sum(sample.deliveries) == 3


async def test_each_second_is_told_once_and_none_is_left_out() -> None:
    heard: list[Sample] = []
    three = asyncio.Event()

    def tell(sample: Sample) -> None:
        heard.append(sample)
        if len(heard) == 3:
            three.set()

    before = read_totals()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        sampling = tasks.create_task(Sampler(tell).run())
        await asyncio.sleep(0)
        count_something()
        await three.wait()
        sampling.cancel()
    for earlier, later in pairwise(heard):
        assert later.at == earlier.at + earlier.seconds
    assert of_time(heard).opens.get("sampled") == 3
    assert before.opens != read_totals().opens

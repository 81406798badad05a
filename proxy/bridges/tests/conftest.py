"""A stream of a real JetStream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import nats.aio.client
import pytest
from nats.js import JetStreamContext

from config.testing.servers import JetStreamServer


@pytest.fixture
async def stream(jetstream: JetStreamServer) -> AsyncIterator[JetStreamContext]:
    client = nats.aio.client.Client()
    await client.connect(jetstream.url)
    context = client.jetstream()
    await context.add_stream(name="A", subjects=["a.>"])
    yield context
    await client.close()

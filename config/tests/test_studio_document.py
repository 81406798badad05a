"""docs/studio-protocol.md, played through a running gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.gateway import Gateway
from config.testing.studio import StudioInstance
from config.tests.conftest import MakeGateway

DOCUMENT = documents.read("studio-protocol.md")
VARIES = ("x-request-id", "x-forwarded-host")


@pytest.fixture
def gateway(tmp_path: Path, make_gateway: MakeGateway) -> Iterator[Gateway]:
    studio = StudioInstance("studio-1", tmp_path)
    try:
        studio.start()
        yield make_gateway(STUDIO_WS_URLS=studio.url)
    finally:
        studio.program.kill()


def same_each_time(said: dict[str, object]) -> dict[str, object]:
    headers = said.get("headers")
    return said | {"headers": {**headers, **dict.fromkeys(VARIES)}} if isinstance(headers, dict) else said


async def test_the_reference_studio_answers_as_its_document_shows(gateway: Gateway) -> None:
    played = [example for example in examples(DOCUMENT) if example.kind in {"client", "service"}]
    assert len(played) == 8
    url = gateway.url("/ws").replace("experience=wylding-woods&", "")
    async with asyncio.timeout(20), gateway.connect(url) as client:
        for example in played:
            if example.kind == "client":
                await client.send(example.text)
            else:
                said = same_each_time(json.loads(await client.recv()))
                assert said == same_each_time(example.fields())


async def test_the_reference_studio_fails_as_its_document_says(gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        for how, then in table(DOCUMENT, "how", "then"):
            async with gateway.connect(gateway.url("/ws")) as client:
                await client.send(json.dumps({"type": "fail", "how": how}))
                if "1011" in then:
                    with pytest.raises(ConnectionClosed):
                        await client.recv()
                    assert client.close_code == 1011
                else:
                    assert json.loads(await client.recv()) == {"type": "ack"}
                    await client.send(json.dumps({"type": "fail", "how": "recover"}))
                    assert json.loads(await client.recv()) == {"type": "ack"}

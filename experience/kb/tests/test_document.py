"""docs/kb-protocol.md says what the service does: its examples are played, top to bottom, by a new user."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from config.testing import documents
from config.testing.documents import examples
from config.testing.starts import BASE_DIR
from experience.kb import protocol
from experience.kb.game import Player
from experience.kb.tests.serving import KbProgram
from experience.kb.world import WYLDING_WOODS

DOCUMENT = documents.read("kb-protocol.md")
VOLATILE = ("connection_id", "user_id", "server_timestamp")


def comparable(message: dict[str, Any]) -> dict[str, Any]:
    """The message, with what differs each time replaced by its type; a pong's timestamp is an echo."""
    volatile = VOLATILE if message["type"] == "pong" else (*VOLATILE, "timestamp")
    return {name: type(value) if name in volatile else value for name, value in message.items()}


async def test_every_example_of_the_document_is_what_the_service_does(kb: KbProgram, token: str) -> None:
    played = [example for example in examples(DOCUMENT) if example.kind in ("client", "service")]
    assert len(played) > 20
    async with asyncio.timeout(20), connect(kb.url(token), proxy=None) as socket:
        for example in played:
            if example.kind == "client":
                await socket.send(example.text)
                continue
            said = json.loads(await socket.recv())
            assert comparable(said) == comparable(example.fields())
            assert list(said) == list(example.fields()), "the document shows the fields in their order"


async def test_the_documents_refusal_is_the_services(kb: KbProgram) -> None:
    (refusal,) = (example for example in examples(DOCUMENT) if example.kind.startswith("refusal"))
    with pytest.raises(InvalidStatus) as refused:
        async with asyncio.timeout(30):
            await connect(f"ws://{kb.address}/ws/experience?experience=wylding-woods", proxy=None)

    assert refused.value.response.status_code == int(refusal.kind.split()[1])
    assert json.loads(refused.value.response.body or b"") == refusal.fields()


def test_the_documents_event_is_the_one_that_is_published() -> None:
    (event,) = (example.fields() for example in examples(DOCUMENT) if example.kind == "event")
    player = Player(inventory=("bottle_of_mist",), quest_stage="active", version=1)
    assert protocol.state_changed(WYLDING_WOODS, player, timestamp=event["timestamp"]) == event


def test_the_document_names_every_code_that_clients_can_get() -> None:
    sources = [BASE_DIR / "experience" / "kb" / name for name in ("answers.py", "game.py", "protocol.py")]
    pattern = r'(?:MoveRefused|InvalidMessage|protocol\.error)\(\s*"(\w+)"'
    codes = {code for source in sources for code in re.findall(pattern, source.read_text(encoding="utf-8"))}
    assert len(codes) == 11
    assert {code for code in codes if f"`{code}`" not in DOCUMENT} == set()

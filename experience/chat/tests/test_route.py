"""The chat's route on both ways that frames flow, before a service that a test writes for itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from config.testing.gateway import Gateway, issue
from experience.chat.messages import (
    ConversationTyping,
    MessageCreated,
    MessageSend,
    Ping,
    Pong,
    ReadSet,
    ServicePing,
    StoredMessage,
    TypingSet,
    encode,
)

PATH = "/v1/chat/ws"
LAST = encode(Ping())
ENV = {"CHAT_MASKED_WORDS": "heck", "CHAT_ERROR_RATE": "300/m", "CHAT_MAX_MESSAGE_BYTES": "20000"}


@pytest.fixture(params=["daphne", "serve"], scope="module")
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway.running(request.param, tmp_path_factory.mktemp("gateway"), ENV) as gateway:
        yield gateway


class Service:
    """What stands behind the gateway: notes what it hears, and says pong to the ping that ends a test."""

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []
        self.requests: list[Request] = []
        self.link: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def __call__(self, link: ServerConnection) -> None:
        assert link.request is not None
        self.requests.append(link.request)
        self.link.put_nowait(link)
        with suppress(ConnectionClosed):
            async for message in link:
                if message == LAST:
                    await link.send('{"type":"pong"}')
                else:
                    self.heard.append(message)


@asynccontextmanager
async def linked(
    gateway: Gateway, *, user: str = "alice", **options: Any
) -> AsyncIterator[tuple[ClientConnection, Service]]:
    service = Service()
    async with asyncio.timeout(30), gateway.serving(service):
        async with gateway.connect(gateway.url(PATH, token=issue(user)), **options) as client:
            yield client, service


def closed_with(gateway: Gateway, code: int) -> int:
    """Stock Daphne can say few of them."""
    return code if gateway.kind == "serve" else 3900 + code


async def answers(client: ClientConnection) -> list[dict[str, Any]]:
    """All that is said until the service has answered a ping behind it."""
    await client.send(LAST)
    said = []
    while True:
        said.append(json.loads(await client.recv()))
        if said[-1] == {"type": "pong"}:
            return said[:-1]


def raw(**fields: Any) -> str:
    return json.dumps({"type": "message.send", "conversation_id": "c1", "text": "t"} | fields)


VALID: list[str | bytes | list[str]] = [
    encode(MessageSend("c1", "hello", "k-1")),
    ' {"text" : "spaced",\n\t"conversation_id":"c1" , "type":"message.send"} ',
    '{"typ\\u0065":"message.send","conversation_id":"c1","text":"\\u0068i \\ud83d\\ude00 \\"q\\" \\\\"}',
    encode(MessageSend("c1", "\u202eright to left\u202c \u2067גם\u2069 👩‍👩‍👧 \t\r\n")),
    encode(MessageSend("c1", "x" * 4000)),
    encode(ReadSet("c1", "c1.7")),
    encode(TypingSet("c1", "on")),
    encode(Pong()),
    b"\x00\xff binary",
    b'{"type":"message.send"}',
    ['{"type":"message.send","conv', 'ersation_id":"c1","te', "", 'xt":"in parts"}'],
]
INVALID: list[tuple[str | list[str], str, str | None]] = [
    ("", "invalid_json", None),
    ("hello", "invalid_json", None),
    ('{"type":"ping"', "invalid_json", None),
    ('\ufeff{"type":"ping"}', "invalid_json", None),
    ('{"type":"ping"} ping', "invalid_json", None),
    ('{"type":"ping"}\x00', "invalid_json", None),
    ('{"type":"ping","at":NaN}', "invalid_json", None),
    (['{"type":"message.send","conversation_id":', '"c1","text":"line\nbreak"}'], "invalid_json", None),
    ("[]", "validation_error", None),
    ("{}", "validation_error", "type"),
    ('{"type":"message.sent"}', "validation_error", "type"),
    ('{"type":"message.created","conversation_id":"c1"}', "validation_error", "type"),
    ('{"type":"ping","at":1e400}', "validation_error", "at"),
    ('{"type":"ping","at":' + "9" * 5000 + "}", "validation_error", "at"),
    ('{"type":"ping","type":"ping"}', "validation_error", "type"),
    ('{"type":"ping","typ\\u0065":"message.send"}', "validation_error", "type"),
    (raw()[:-1] + ',"conversation_id":"c2"}', "validation_error", "conversation_id"),
    (raw()[:-1] + ',"conversation\\u005fid":"c2"}', "validation_error", "conversation_id"),
    ([raw()[:-1] + ',"te', 'xt":"twice"}'], "validation_error", "text"),
    (raw(text="\x00"), "validation_error", "text"),
    (raw(text="\x1b[2J"), "validation_error", "text"),
    (raw(text="\ud800"), "validation_error", "text"),
    (raw(text="\udfff\ud800"), "validation_error", "text"),
    (raw(text="x" * 4001), "validation_error", "text"),
    (raw(text=""), "validation_error", "text"),
    (raw(text=7), "validation_error", "text"),
    (raw(conversation_id="\u202ec1"), "validation_error", "conversation_id"),
    (raw(conversation_id="c" * 129), "validation_error", "conversation_id"),
    (raw(idempotency_key=None), "validation_error", "idempotency_key"),
    (raw(sender_id="bob"), "validation_error", "sender_id"),
    ('{"type":"ping","at":' + "[" * 5000 + "]" * 5000 + "}", "validation_error", None),
    ('{"type":"typing.set","conversation_id":"c1","state":"maybe"}', "validation_error", "state"),
    ('{"type":"read.set","conversation_id":"c1"}', "validation_error", "up_to_message_id"),
]


async def test_valid_messages_go_through_as_they_came(gateway: Gateway) -> None:
    async with linked(gateway) as (client, service):
        for message in VALID:
            await client.send(message)
        assert await answers(client) == []
        whole = ["".join(each) if isinstance(each, list) else each for each in VALID]
        assert service.heard == whole


async def test_invalid_ones_are_answered_and_the_socket_stays(gateway: Gateway) -> None:
    async with linked(gateway) as (client, service):
        for message, code, field in INVALID:
            await client.send(message)
            (error,) = await answers(client)
            shown = (str(message)[:80], error["code"], error.get("field"))
            assert shown == (str(message)[:80], code, field)
            assert error["type"] == "error"
            assert field is None or error["message"].startswith(f"{field}: ")
        assert service.heard == []


async def test_a_client_that_offers_compression_is_held_to_the_same(gateway: Gateway) -> None:
    async with linked(gateway, compression="deflate") as (client, service):
        await client.send(raw(text="x" * 3000))
        await client.send(raw(text="\x00" * 3000))
        (error,) = await answers(client)
        assert error["code"] == "validation_error"
        assert service.heard == [raw(text="x" * 3000)]


async def test_a_message_that_is_too_big_closes_the_link(gateway: Gateway) -> None:
    async with linked(gateway) as (client, service):
        for part in (raw(text="x" * 30_000), [raw(text="x" * 15_000), "x" * 15_000]):
            async with gateway.connect(gateway.url(PATH)) as other:
                await other.send(part)
                await other.wait_closed()
                assert other.close_code == closed_with(gateway, 1009)
        assert await answers(client) == []
        assert service.heard == []


async def test_what_the_service_says_is_let_through_only_as_messages(gateway: Gateway) -> None:
    stored = StoredMessage("c1.1", "bob", "hi 👋\n", 1_800_000_000)
    good: list[str | bytes] = [
        encode(MessageCreated("c1", stored)),
        encode(MessageCreated("c1", stored, "k"))[:-1] + ',"edited":{"by":["bob"]}}',
        encode(ConversationTyping("c1", "bob", "off")),
        encode(ServicePing()),
        b"\xff binary",
    ]
    bad = [
        "no JSON",
        '{"type":"gateway.closing"}',
        '{"type":"message.created","conversation_id":"c1","message":{"id":"c1.1"}}',
        '{"type":"pong","more":{"a":1,"a":2}}',
        encode(MessageCreated("c1", stored)).replace("1800000000", "1800000000000"),
    ]
    async with linked(gateway) as (client, service):
        link = await service.link.get()
        for n, message in enumerate(good):
            await link.send(bad[n])
            await link.send(message)
        assert [await client.recv() for _ in good] == good
        assert await answers(client) == []
    await said_by_metrics(gateway, 'gateway_chat_invalid_messages_total{code="invalid_json",direction="out"}')
    await said_by_metrics(gateway, 'gateway_chat_messages_total{direction="in",type="ping"}')
    await said_by_metrics(gateway, 'gateway_chat_message_size_bytes_count{direction="out"}')


async def said_by_metrics(gateway: Gateway, name: str) -> None:
    """Once what was counted is written down."""
    async with asyncio.timeout(20):
        while True:
            _, text = await gateway.get("/metrics")
            if any(line.startswith(name) and float(line.split()[-1]) > 0 for line in text.splitlines()):
                return
            await asyncio.sleep(0.2)


async def test_listed_words_are_masked_before_the_service_reads_them(gateway: Gateway) -> None:
    async with linked(gateway) as (client, service):
        await client.send(raw(text="What the HECK?", idempotency_key="k"))
        assert await answers(client) == []
        (heard,) = map(json.loads, service.heard)
        assert heard == json.loads(raw(text="What the ****?", idempotency_key="k"))


async def test_the_service_is_asked_with_the_token_and_the_conversation(gateway: Gateway) -> None:
    service, token = Service(), issue("alice")
    async with asyncio.timeout(30), gateway.serving(service):
        url = gateway.url(PATH, token=None, conversation_id="c1", secret="x")
        for how in (
            {"additional_headers": {"Authorization": f"Bearer {token}"}},
            {"subprotocols": ["bearer", token]},
        ):
            async with gateway.connect(url, **how) as client:
                assert await answers(client) == []
        async with gateway.connect(gateway.url(PATH, token=token, conversation_id="c1")) as client:
            assert await answers(client) == []
    asked = [urlsplit(request.path) for request in service.requests]
    assert [each.path for each in asked] == [PATH] * 3
    assert [dict(parse_qsl(each.query)) for each in asked] == [{"token": token, "conversation_id": "c1"}] * 3


async def test_who_has_no_token_or_no_part_in_it_is_refused(gateway: Gateway) -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(403, "no participant\n")

    async with asyncio.timeout(30), gateway.serving(Service(), process_request=refuse):
        for token, status in ((None, 401), ("none", 401), (issue("alice"), 403)):
            with pytest.raises(InvalidStatus) as refused:
                async with gateway.connect(gateway.url(PATH, token=token, conversation_id="c1")):
                    pass
            assert refused.value.response.status_code == (403 if gateway.kind == "daphne" else status)


@pytest.fixture(params=["daphne", "serve"], scope="module")
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that allows little."""
    rates = {
        "CHAT_ERROR_RATE": "3/m",
        "CHAT_MESSAGE_RATE_PER_USER": "8/h",
        "CHAT_MESSAGE_RATE_PER_CONNECTION": "6/h",
    }
    with Gateway.running(request.param, tmp_path_factory.mktemp("gateway"), rates) as gateway:
        yield gateway


async def test_who_makes_mistake_after_mistake_is_closed(strict: Gateway) -> None:
    async with linked(strict, user="careless") as (client, service):
        for _ in range(4):
            await client.send("{")
        for _ in range(3):
            assert json.loads(await client.recv())["code"] == "invalid_json"
        await client.wait_closed()
        assert client.close_code == closed_with(strict, 1008)
        assert strict.kind == "daphne" or client.close_reason == "too many invalid messages"
        assert service.heard == []


async def test_rates_of_a_link_and_of_a_user_are_answered(strict: Gateway) -> None:
    async with linked(strict, user="hasty") as (client, service):
        async with strict.connect(strict.url(PATH, token=issue("hasty"))) as second:
            bounds = []
            for link in (client, second):
                for n in range(7):
                    await link.send(raw(text=f"{n}"))
                error = json.loads(await link.recv())
                assert (error["type"], error["code"]) == ("error", "rate_limited")
                assert error["retry_after_ms"] > 0
                bounds.append(error["bound"])
            assert bounds == ["messages_per_connection", "messages_per_user"]
            await client.close()
            await second.close()
        async with asyncio.timeout(20):
            while len(service.heard) < 8:
                await asyncio.sleep(0.02)
        assert len(service.heard) == 8

"""docs/protocol.md says what the gateway does: its examples are played, its tables compared with the code."""

from __future__ import annotations

import asyncio
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus

from config.testing import documents
from config.testing.documents import Example, examples, table
from config.testing.gateway import Gateway, issue
from config.tests.conftest import MakeGateway
from experience.routes import ROUTES
from proxy.core import errors
from proxy.core.closes import MEANINGS, ComeBack
from proxy.core.errors import TOKEN_REASONS, GatewayError
from proxy.core.principal import Principal
from proxy.core.tickets import TICKET_REASONS, TicketRefused
from proxy.core.topic_rules import Full
from proxy.socket.scope import identity_headers

DOCUMENT = documents.read("protocol.md")
EXAMPLES = list(examples(DOCUMENT))


def filled(text: str) -> str:
    return text.replace("TOKEN", issue("42")).replace("EXPIRED", issue("42", minutes=-60))


def url_of(gateway: Gateway, example: Example, *more: str) -> str:
    path = filled(example.kind.split()[2])
    return (
        f"ws://127.0.0.1:{gateway.port}" + path + "".join(f"{'&' if '?' in path else '?'}{m}" for m in more)
    )


def of_kind(kind: str, *, least: int) -> list[Example]:
    found = [example for example in EXAMPLES if example.kind.startswith(kind)]
    assert len(found) >= least
    return found


async def test_every_refusal_of_the_document_is_the_gateways(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    async with asyncio.timeout(40):
        for example in of_kind("refusal", least=6):
            with pytest.raises(InvalidStatus) as refused:
                async with gateway.connect(url_of(gateway, example)):
                    pass
            response = refused.value.response
            assert response.status_code == int(example.kind.split()[1]), example
            assert json.loads(response.body or b"") == example.fields()
            assert response.headers["X-Request-Id"]
            assert ("Retry-After" in response.headers) is ("retry_after_ms" in example.fields())


async def test_every_close_of_the_document_is_the_gateways(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    async with asyncio.timeout(40):
        for example in of_kind("close", least=4):
            async with gateway.connect(url_of(gateway, example, "refuse=close")) as client:
                await client.wait_closed()
            assert (str(client.close_code), client.close_reason) == (example.kind.split()[1], example.text)


async def test_control_messages_are_answered_as_the_document_shows(make_gateway: MakeGateway) -> None:
    gateway, forwarded = make_gateway(), []

    async def listen(upstream: ServerConnection) -> None:
        async for message in upstream:
            forwarded.append(message)

    played = [example for example in EXAMPLES if example.kind in {"client", "gateway"}]
    assert len(played) >= 6
    async with gateway.serving(listen) as url, asyncio.timeout(40), gateway.connect(url) as client:
        for example in played:
            if example.kind == "client":
                await client.send(filled(example.text))
                continue
            said, shown = json.loads(await client.recv()), example.fields()
            assert list(said) == list(shown)
            assert {**said, "expires_at": None} == {**shown, "expires_at": None}
    assert forwarded == []


def python_client() -> dict[str, Any]:
    """The names that the document's Python example defines."""
    (example,) = (example for example in EXAMPLES if example.language == "python")
    names: dict[str, Any] = {}
    exec(compile(example.text, "protocol.md", "exec"), names)
    return names


def test_the_documents_client_comes_back_as_the_table_says() -> None:
    wait_seconds = python_client()["wait_seconds"]
    for code, meaning in MEANINGS.items():
        assert (wait_seconds(code, "", 0) is None) is (meaning.come_back is ComeBack.NO)
        named = wait_seconds(code, "at most 5; retry in 5000 ms", 0)
        assert (named is not None and named >= 5) is (meaning.come_back is ComeBack.WHEN_TOLD)
    for code in range(1000, 1015):  # as stock Daphne says them
        assert (wait_seconds(code + 3900, "", 0) is None) is (wait_seconds(code, "", 0) is None)
    assert wait_seconds(4010, "", 0) == 0 < wait_seconds(4010, "", 1)
    assert 15 <= wait_seconds(1006, "", 99) <= 30


async def test_the_documents_client_stays_connected_over_failures_and_an_expired_token(
    make_gateway: MakeGateway,
) -> None:
    gateway, heard, asked = make_gateway(MAX_CONNECTIONS_PER_USER="1"), [], []
    endings = [1011, 4001]

    async def speak(upstream: ServerConnection) -> None:
        await upstream.send(f"hello, {len(endings)} to go")
        await upstream.close(endings.pop(0), "so it goes")

    async def get_token(fresh: bool) -> str:
        asked.append(fresh)
        return issue("42", minutes=60 if fresh or len(asked) > 1 else -60)

    async def on_message(message: str) -> None:
        heard.append(message)

    url = gateway.url(token=None)
    async with gateway.serving(speak), asyncio.timeout(40):
        last = await python_client()["stay"](url, get_token, on_message)
    assert (last, heard) == (4001, ["hello, 2 to go", "hello, 1 to go"])
    assert asked[:2] == [False, True]


@pytest.mark.parametrize(("steady_seconds", "attempts"), [(0, [0, 0]), (60, [0, 1])])
async def test_the_documents_client_begins_anew_after_a_socket_that_lived(
    make_gateway: MakeGateway, steady_seconds: float, attempts: list[int]
) -> None:
    gateway, client, waited = make_gateway(), python_client(), []
    client["STEADY_SECONDS"], wait_seconds = steady_seconds, client["wait_seconds"]
    endings = [1011, 1011, 4001]

    def note(code: int, reason: str, attempt: int) -> float | None:
        waited.append(attempt)
        return None if wait_seconds(code, reason, attempt) is None else 0

    async def hang_up(upstream: ServerConnection) -> None:
        await upstream.close(endings.pop(0))

    async def get_token(_: bool) -> str:
        return issue("42")

    client["wait_seconds"] = note
    async with gateway.serving(hang_up), asyncio.timeout(40):
        assert await client["stay"](gateway.url(token=None), get_token, None) == 4001
    assert waited[:2] == attempts


# --- Tables -----
def test_the_table_of_headers_is_what_a_service_is_told() -> None:
    scope = {"headers": [(b"host", b"h")], "client": None, "client_address": "192.0.2.1", "scheme": "ws"}
    subject: Any = SimpleNamespace(principal=Principal(user_id="7"))
    told = {"x-request-id", *(name for name, _ in identity_headers(scope, subject))}
    rows = table(DOCUMENT, "header", "is", "for")
    assert {name.lower() for names, _, _ in rows for name in names.split(", ")} == told


def test_the_table_of_closes_is_the_codes() -> None:
    rows = table(DOCUMENT, "code", "when", "come back?")
    assert rows == [(str(code), m.when, m.come_back.value) for code, m in MEANINGS.items()]


def test_the_table_of_refusals_has_every_failure_and_no_other() -> None:
    def kinds(root: type[GatewayError]) -> set[type[GatewayError]]:
        return {root}.union(*map(kinds, root.__subclasses__()))

    rows = table(DOCUMENT, "status", "code", "when")
    shown = {(status, code) for statuses, code, _ in rows for status in statuses.split(", ")}
    homes = {errors.__name__, TicketRefused.__module__, Full.__module__}
    ours = {(str(kind.status), kind.code) for kind in kinds(GatewayError) if kind.__module__ in homes}
    assert shown - {("401", "service_refused")} == ours


def test_the_table_of_bad_tokens_is_the_codes() -> None:
    assert table(DOCUMENT, "label", "message") == list(TOKEN_REASONS.items())


def test_the_table_of_bad_tickets_is_the_codes() -> None:
    rows = table(DOCUMENT, "label of a ticket", "message", "come back?")
    assert {label: message for label, message, _ in rows} == TICKET_REASONS
    for label, _, code in rows:
        assert code.endswith(f": {TicketRefused(label).close.code}")


def test_the_table_of_what_tickets_open_is_the_routes() -> None:
    rows = table(DOCUMENT, "route", "opens")
    ours = {each.name: [f"/{path}" for path in each.paths] for each in ROUTES if each.authenticate is None}
    assert {name: paths.split(", ") for name, paths in rows} == ours


def test_every_path_of_a_route_is_named() -> None:
    for route in ROUTES:
        for path in route.paths:
            named = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
            assert f"`/{named}`" in DOCUMENT


def test_limits_and_their_defaults_are_those_of_the_settings() -> None:
    settings = {row[0]: row[1] for row in _rows(documents.read("settings.md"))}
    for _, default, setting, _ in table(DOCUMENT, "limit", "default", "setting", "beyond it"):
        assert default.removesuffix(" bytes").removesuffix(" s") == settings[setting], setting


def _rows(document: str) -> list[list[str]]:
    lines = (line.strip("|").split("|") for line in document.splitlines() if line.startswith("| `"))
    return [[cell.strip().replace("`", "") for cell in line] for line in lines]


@pytest.mark.parametrize(
    ("path", "settings", "negotiated"),
    [
        ("/ws/experience", {}, False),
        ("/socket.io/", {}, True),
        ("/socket.io/", {"MESSAGE_RATE_POLICY": "close"}, True),
        ("/ws", {}, True),
        ("/ws", {"MESSAGE_RATE_POLICY": "wait"}, True),
        ("/ws", {"STUDIO_RESUME": "reconnect"}, False),
    ],
)
async def test_compression_is_negotiated_where_the_document_says(
    make_gateway: MakeGateway, path: str, settings: dict[str, str], negotiated: bool
) -> None:
    async def wait(upstream: ServerConnection) -> None:
        await upstream.wait_closed()

    async with asyncio.timeout(20), serve(wait, "127.0.0.1", 0) as service:
        port = service.sockets[0].getsockname()[1]
        gateway = make_gateway(
            KB_SERVICE_URL=f"http://127.0.0.1:{port}", STUDIO_WS_URLS=f"ws://127.0.0.1:{port}", **settings
        )
        async with gateway.connect(gateway.url(path), compression="deflate") as client:
            assert client.response is not None
            told = client.response.headers.get("Sec-WebSocket-Extensions", "")
            assert bool(told) is negotiated
            assert ("client_no_context_takeover" in told) is (path == "/ws" and not settings)

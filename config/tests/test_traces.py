"""Traces of handshakes, of a running gateway: what a collector gets, what services and logs are told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus

from config.testing import starts
from config.testing.collector import Collector
from config.testing.gateway import Gateway, issue
from config.tests.conftest import MakeGateway

OTHERS = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def traced_to(collector: Collector) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}


class Service:
    """Notes the headers of those that it lets in, and says one word to each."""

    def __init__(self) -> None:
        self.traceparents: list[str] = []

    async def __call__(self, upstream: ServerConnection) -> None:
        assert upstream.request is not None
        self.traceparents += upstream.request.headers.get_all("traceparent")
        await upstream.send("here")
        await upstream.wait_closed()


def is_kept(traceparent: str) -> bool:
    """Its flag `sampled`; beside it may stand `random`, of the second level of the specification."""
    return bool(int(traceparent[-2:], 16) & 1)


def lines(gateway: Gateway, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in gateway.program.output.splitlines() if line.startswith("{")]
    return [each for each in found if each["event"] == event]


async def come_in(gateway: Gateway, token: str = "", **headers: str) -> None:
    """And leave; a refusal is none of this test's business."""
    with suppress(InvalidStatus):
        async with gateway.connect(gateway.url(token=token), additional_headers=headers) as client:
            assert await client.recv() == "here"


async def line_of(gateway: Gateway, event: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while not (found := lines(gateway, event)):
            await asyncio.sleep(0.02)
    return found[-1]


async def test_a_handshake_is_a_span_with_one_each_for_auth_admission_and_dial(
    make_gateway: MakeGateway, collector: Collector
) -> None:
    gateway, service = make_gateway(**traced_to(collector), LOG_FORMAT="json"), Service()
    token = issue("a-secret-user", email="secret@example.com")
    async with gateway.serving(service), asyncio.timeout(60):
        await come_in(gateway, token, traceparent=OTHERS)
        opened, closed = await line_of(gateway, "link opened"), await line_of(gateway, "link closed")
    spans = await asyncio.to_thread(collector.trace, opened["trace_id"])

    assert closed["trace_id"] == opened["trace_id"] != "a" * 32
    handshake = spans["handshake"]
    assert set(spans) == {"handshake", "auth", "admission", "dial"}
    assert {spans[name].parent_id for name in ("auth", "admission", "dial")} == {handshake.span_id}
    assert (handshake.parent_id, spans["dial"].is_client) == ("", True)
    assert not any(span.is_error for span in spans.values())
    assert 0 < spans["dial"].seconds < handshake.seconds
    assert handshake.attributes == {
        "sluicegate.route": "experience",
        "sluicegate.request_id": opened["request_id"],
        "sluicegate.upstream": opened["upstream"],
        "sluicegate.connection_id": opened["connection_id"],
        "sluicegate.outcome": "accepted",
    }
    assert [told[:-2] for told in service.traceparents] == [
        f"00-{opened['trace_id']}-{spans['dial'].span_id}-"
    ]
    assert is_kept(service.traceparents[0])
    assert collector.services == {"sluicegate"}
    for secret in (token.rpartition(".")[2], token.split(".")[1], "a-secret-user", "secret@example.com"):
        assert secret.encode() not in b"".join(collector.bodies)


async def test_a_refused_handshake_says_where_it_ended(
    make_gateway: MakeGateway, collector: Collector
) -> None:
    gateway = make_gateway(**traced_to(collector), LOG_FORMAT="json")
    async with asyncio.timeout(60):
        await come_in(gateway, issue() + "x")
        refused = await line_of(gateway, "handshake refused")
        unauthenticated = await asyncio.to_thread(collector.trace, refused["trace_id"])
        await come_in(gateway, issue())  # its service is away
        while (away := await line_of(gateway, "handshake refused")) == refused:
            await asyncio.sleep(0.02)
        failed = await asyncio.to_thread(collector.trace, away["trace_id"])

    assert set(unauthenticated) == {"handshake", "auth"}
    assert unauthenticated["auth"].attributes == {"error.type": "TokenRefused"}
    assert unauthenticated["handshake"].attributes["sluicegate.outcome"] == "authentication_failed"
    assert [unauthenticated[name].is_error for name in ("auth", "handshake")] == [True, False]
    assert [failed[name].is_error for name in ("auth", "dial", "handshake")] == [False, True, True]
    assert failed["handshake"].attributes["sluicegate.outcome"] == "upstream_unavailable"


async def test_a_trace_goes_on_where_settings_say_that_the_proxies_in_front_make_it(
    make_gateway: MakeGateway, collector: Collector
) -> None:
    env = traced_to(collector) | {"TRACEPARENT_FROM_PROXIES": "true", "TRUSTED_PROXIES": "127.0.0.1"}
    gateway, service = make_gateway(**env), Service()
    async with gateway.serving(service), asyncio.timeout(60):
        await come_in(gateway, issue(), traceparent=OTHERS)
        spans = await asyncio.to_thread(collector.trace, "a" * 32)
        await come_in(gateway, issue(), traceparent="00-zz-and-no-more")

    assert spans["handshake"].parent_id == "b" * 16
    assert service.traceparents[0][:-2] == f"00-{'a' * 32}-{spans['dial'].span_id}-"
    assert len(service.traceparents[1]) == len(OTHERS)


async def test_only_a_trusted_proxy_is_believed_whatever_settings_say_of_its_traces(
    make_gateway: MakeGateway, collector: Collector
) -> None:
    env = traced_to(collector) | {"TRACEPARENT_FROM_PROXIES": "true", "OTEL_TRACES_SAMPLER": "always_off"}
    gateway, service = make_gateway(**env), Service()
    async with gateway.serving(service), asyncio.timeout(60):
        await come_in(gateway, issue(), traceparent=OTHERS)

    (told,) = service.traceparents
    assert not is_kept(told)  # as the sampler says
    assert "a" * 32 not in told
    gateway.close()
    assert collector.spans == []


@pytest.mark.long  # two hundred handshakes
async def test_a_collector_that_hangs_holds_up_no_client_and_no_end(
    make_gateway: MakeGateway, collector: Collector
) -> None:
    collector.answers.clear()
    gateway, service = make_gateway(**traced_to(collector), OTEL_BSP_MAX_QUEUE_SIZE="100"), Service()
    async with gateway.serving(service), asyncio.timeout(60):
        for _ in range(200):  # four spans each: more than may wait
            await come_in(gateway, issue())
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.to_thread(gateway.stop) == 0
        assert loop.time() - began < 15
    assert len(service.traceparents) == 200


async def test_a_collector_that_takes_nothing_is_told_of_once_and_so_is_its_return(
    make_gateway: MakeGateway, collector: Collector
) -> None:
    """Without its URL and headers, which may hold what nobody may see; each span is counted."""
    env = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces?key=s3cret-in-url",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=s3cret%20key",
        "OTEL_RESOURCE_ATTRIBUTES": "team=a,service.name=ours",
    }
    gateway, service = make_gateway(**env, OTEL_BSP_SCHEDULE_DELAY="50", LOG_FORMAT="json"), Service()
    collector.status = 400
    async with gateway.serving(service), asyncio.timeout(60):
        for number in range(1, 4):
            await come_in(gateway, issue())
            while await lost_spans(gateway) < 4 * number:
                await asyncio.sleep(0.05)
        collector.status = 200
        await come_in(gateway, issue())
        back = await line_of(gateway, "spans are taken again")

    (away,) = lines(gateway, "spans are not taken by the collector")
    assert (away["level"], back["dropped"]) == ("warning", 12)
    assert not [
        line for line in gateway.program.output.splitlines() if "s3cret" in line or "opentelem" in line
    ]
    assert (collector.keys, collector.services) == ({"s3cret key"}, {"ours"})


async def lost_spans(gateway: Gateway) -> float:
    _, told = await gateway.get("/metrics")
    return sum(
        sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if sample.name == "gateway_websocket_spans_lost_total"
    )


async def test_without_an_endpoint_nobody_is_told_of_a_trace(make_gateway: MakeGateway) -> None:
    gateway, service = make_gateway(LOG_FORMAT="json"), Service()
    async with gateway.serving(service), asyncio.timeout(60):
        await come_in(gateway, issue())
        opened = await line_of(gateway, "link opened")

    assert service.traceparents == []
    assert "trace_id" not in opened


def started(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A fresh process that says `code` when Django and the consumer are imported."""
    begin = (
        "import sys; NONE = sys.modules.update(opentelemetry=None) if sys.argv[1:] else None; import django"
    )
    words = [sys.executable, "-c", f"{begin}; django.setup(); import proxy.socket.consumer; {code}"]
    keys = {"SECRET_KEY": "s" * 64, "JWT_SIGNING_KEY": "k" * 64, "DJANGO_SETTINGS_MODULE": "config.settings"}
    without = ["without"] if env.pop("WITHOUT", "") else []
    return starts.run([*words, *without], env=keys | env, timeout=50)


def test_nothing_of_opentelemetry_is_imported_until_somebody_wants_it() -> None:
    """Of what makes and ships spans: redis-py imports the part for metrics where it finds it."""
    spans = "('opentelemetry.sdk.trace', 'opentelemetry.exporter')"
    ran = started(f"print([name for name in sys.modules if name.startswith({spans})])")
    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr


def test_the_gateway_runs_without_it_and_says_what_is_missing_for_traces() -> None:
    assert started("print('runs')", WITHOUT="1").stdout == "runs\n"
    ran = started("", WITHOUT="1", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    line = "OTEL_EXPORTER_OTLP_ENDPOINT: must be unset, or requirements/otel.txt installed"
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert line in ran.stderr

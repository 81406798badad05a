"""Small ASGI applications for HTTP, one a path: requests of every kind, and what the tests want to know."""

from __future__ import annotations

import asyncio
import gc
import json
import os

from websockets.protocol import Protocol

from proxy import metrics
from proxy.engine.links.splice import Splice
from proxy.server.clients import Client
from proxy.server.handshake import PendingAnswer
from proxy.server.tests.noted import COUNTS, SEEN, STATE, count


async def http_seen(scope, receive, send, query):
    """The next event reported under `key`, as soon as there is one."""
    await answer(send, await SEEN[query["key"]].get())


async def http_open_gate(scope, receive, send, query):
    SEEN["gate" + query["key"]].put_nowait({})
    await answer(send, {})


async def http_counts(scope, receive, send, query):
    await answer(send, COUNTS | counted_here())


async def http_ready(scope, receive, send, query):
    await answer(send, STATE, status=200 if STATE["ready"] else 503)


def request_drain() -> None:
    """What `serve` puts here."""


async def http_drain(scope, receive, send, query):
    """As staff does it: this process, and none after it."""
    STATE["drained_by_staff"] = True
    request_drain()
    await answer(send, {})


async def http_pid(scope, receive, send, query):
    await answer(
        send,
        {"pid": os.getpid(), "rss_bytes": rss_bytes(), "metrics": os.environ.get("PROMETHEUS_MULTIPROC_DIR")},
    )


async def http_memory(scope, receive, send, query):
    """What is in use once the garbage is gone."""
    gc.collect()
    links = sum(isinstance(found, Client | Splice | PendingAnswer) for found in gc.get_objects())
    files = len(os.listdir("/proc/self/fd"))
    await answer(send, {"rss_bytes": rss_bytes(), "files": files, "links": links})


async def http_uncollected(scope, receive, send, query):
    """How many of the library's protocols there are. From the first time on the collector takes none."""
    gc.disable()
    await answer(send, sum(isinstance(found, Protocol) for found in gc.get_objects()))


async def http_slow(scope, receive, send, query):
    """Ends once somebody asks for /open-gate, whether or not its client still waits, as a thread would."""
    count("slow")
    await SEEN["gate" + query["key"]].get()
    count("slow_ended")
    await answer(send, {})


async def http_big(scope, receive, send, query):
    await answer(send, "x" * 20_000_000)


async def http_stream(scope, receive, send, query):
    """Begins an answer and never ends it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.Event().wait()


async def http_events(scope, receive, send, query):
    """A stream of events, the first of them so large, until its client is gone."""
    count("events")
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * int(query.get("first", 0)), "more_body": True})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
            await asyncio.sleep(0.1)
    finally:
        count("events_ended")


async def http_begin_and_raise(scope, receive, send, query):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    raise RuntimeError("as the test wants it")


async def http_raise(scope, receive, send, query):
    raise RuntimeError("as the test wants it")


async def http_body(scope, receive, send, query):
    await answer(send, {"root_path": scope["root_path"], "size": len((await receive())["body"])})


def rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def answer(send, value, status=200):
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def counted_here() -> dict[str, float]:
    """What the server counts under no route, by the metric's name and its other label."""
    counted: dict[str, float] = {}
    for metric in (metrics.REJECTIONS_TOTAL, metrics.ERRORS_TOTAL, metrics.SLOW_CONSUMERS_TOTAL):
        (family,) = metric.collect()
        for sample in family.samples:
            name, labels = sample.name.removeprefix("gateway_websocket_"), sample.labels.values()
            if name.endswith("_total"):
                counted[" ".join([name, *(label for label in labels if label != "none")])] = sample.value
    return counted

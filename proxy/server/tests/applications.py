"""Small ASGI applications, one a path, that the tests talk to; what they saw is asked for over HTTP."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs

from proxy import metrics
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import ClientLeft, Draining, GatewayError, Overloaded
from proxy.core.hook_failures import HookFailed
from proxy.engine.links.splice import Splice
from proxy.server.clients import Client
from proxy.server.handshake import PendingAnswer
from proxy.server.options import Hooks
from proxy.server.workers import Line

SEEN: defaultdict[str, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)
COUNTS: dict[str, int] = {}
STATE = {"ready": True, "drained_by_staff": False}


def count(what: str) -> None:
    COUNTS[what] = COUNTS.get(what, 0) + 1


class TestHooks(Hooks):
    """What a node would say, by STATE; and whether the stop was clean, on stdout."""

    __test__ = False

    def __init__(self, line: Line | None) -> None:
        self._line = line

    def on_serving(self) -> None:
        if self._line is not None:
            self._line.serves(on_lost=request_drain)

    def refusal(self, links: int) -> GatewayError | None:
        if not STATE["ready"]:
            return Draining()
        return Overloaded() if links >= STATE["max_connections"] else None

    def on_draining(self) -> None:
        STATE["ready"] = False

    async def others_accept(self) -> bool:
        return self._line is not None and await self._line.others_accept(for_good=STATE["drained_by_staff"])

    async def on_stopped(self) -> None:
        print("stopped", flush=True)  # noqa: T201


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


def report(query: dict[str, str], event: dict[str, Any]) -> None:
    if "key" in query:
        SEEN[query["key"]].put_nowait(event)


async def application(scope, receive, send):
    """Dispatch by path; `?key=` names what the application reports as seen."""
    name = scope["path"].strip("/").partition("/")[0].replace("-", "_")
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    await globals()[f"{scope['type']}_{name}"](scope, receive, send, query)


# --- WebSocket -----


async def websocket_echo(scope, receive, send, query):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] != "websocket.disconnect":
        event.pop("type")
        await send({"type": "websocket.send", **event})
    report(query, event)


async def websocket_send_much_and_close(scope, receive, send, query):
    """Six megabytes, then a close."""
    await receive()
    await send({"type": "websocket.accept"})
    for _ in range(24):
        await send({"type": "websocket.send", "bytes": bytes(256 * 1024)})
    await send({"type": "websocket.close", "code": 4000, "reason": "done!"})


async def websocket_pid(scope, receive, send, query):
    """Says which process it is, then echoes."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(os.getpid())})
    while (event := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": event["text"]})


async def websocket_splice(scope, receive, send, query):
    """Joins the client with the upstream `to`, and leaves; its life reports the end."""
    from proxy.core.limits import LinkLimits
    from proxy.core.records import LinkCounters
    from proxy.engine.links.terms import SpliceRequest, Terms
    from proxy.engine.pools.dial import DialRequest, Target
    from proxy.engine.pools.rawdial import dial_raw

    await receive()
    waiting = asyncio.ensure_future(receive())  # as an application does that watches its client meanwhile
    limits = LinkLimits(close_timeout_seconds=1.0)
    asked = DialRequest(query=query.get("query", ""))
    upstream = await dial_raw(Target(query["to"]), asked)
    terms = Terms(limits=limits, counters=LinkCounters(), control=True, life=Life(query))
    await send({"type": "websocket.accept", "sluicegate.splice": SpliceRequest(upstream, terms)})
    waiting.cancel()


class Life:
    """Answers control messages of a spliced link, and reports its end."""

    def __init__(self, query: dict[str, str]) -> None:
        self._query = query

    def joined(self, stream: object) -> None: ...

    def control(self, text: str) -> str:
        return f"control: {text}"

    def failed(self, error: HookFailed) -> None: ...

    def ended(self, close: Close, by: ClosedBy) -> None:
        report(self._query, {"code": close.code, "reason": close.reason, "sluicegate.closed_by": by})


async def websocket_break_clock(scope, receive, send, query):
    """Has the server fail whenever its clock looks at this leg."""
    await receive()
    await send({"type": "websocket.accept"})
    send.__self__.leg._moved_at = None
    report(query, await receive())


async def websocket_go_on(scope, receive, send, query):
    """Accepts, hands over to an echo that ends as the query says, and returns or raises."""

    async def echo():
        while (event := await receive())["type"] != "websocket.disconnect":
            if event["text"] == "raise":
                raise RuntimeError("as the test wants it")
            if event["text"] == "return":
                return
            await send({"type": "websocket.send", "text": event["text"]})
        report(query, event)

    await receive()
    await send({"type": "websocket.accept"})
    scope["extensions"]["sluicegate.splice"]["go_on_with"](echo())
    if query.get("then") == "raise":
        raise RuntimeError("as the test wants it")


async def websocket_scope(scope, receive, send, query):
    await receive()
    await send({"type": "websocket.accept"})
    shown = {
        key: value.decode() if isinstance(value, bytes) else value
        for key, value in scope.items()
        if key not in {"headers", "extensions"}
    }
    shown["extensions"] = sorted(scope["extensions"])
    shown["headers"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    await send({"type": "websocket.send", "text": json.dumps(shown)})
    await receive()


async def websocket_accept(scope, receive, send, query):
    """Accepts as the query says."""
    await receive()
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": query.get("subprotocol"),
            "headers": [(b"x-node", b"n1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")],
        }
    )
    await receive()


async def websocket_bad_header(scope, receive, send, query):
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-a", b"1\r\nx-b: 2")]})


async def websocket_deny(scope, receive, send, query):
    await receive()
    status = int(query["status"])
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"7")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b'{"code": ', "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b'"denied"}'})
    report(query, await receive())


async def websocket_reject(scope, receive, send, query):
    await receive()
    await send({"type": "websocket.close"})
    report(query, await receive())


async def websocket_close(scope, receive, send, query):
    """Closes with the query's code and reason."""
    await receive()
    await send({"type": "websocket.accept"})
    code = int(query["code"]) if "code" in query else None
    await send({"type": "websocket.close", "code": code, "reason": query.get("reason", "")})
    report(query, await receive())


async def websocket_raise(scope, receive, send, query):
    await receive()
    if query.get("when") == "after":
        await send({"type": "websocket.accept"})
    raise RuntimeError("as the test wants it")


async def websocket_return(scope, receive, send, query):
    await receive()
    if query.get("when") == "after":
        await send({"type": "websocket.accept"})


async def websocket_ponder(scope, receive, send, query):
    """Never answers; reports what it receives after `connect`."""
    await receive()
    SEEN["pondering" + query["key"]].put_nowait({"type": "pondering"})
    SEEN[query["key"]].put_nowait(await receive())


async def websocket_dial_late(scope, receive, send, query):
    """Begins to dial once its client has left."""
    await receive()
    SEEN["pondering" + query["key"]].put_nowait({"type": "pondering"})
    await receive()
    try:
        await scope["extensions"]["sluicegate.splice"]["until_left"](asyncio.sleep(60))
    except ClientLeft:
        report(query, {"type": "client left"})


async def websocket_vanish(scope, receive, send, query):
    """Waits for its client to leave."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def websocket_gate(scope, receive, send, query):
    """Accepts once somebody asks for /open-gate with the same key; then echoes."""
    SEEN["pondering" + query["key"]].put_nowait({"type": "pondering"})
    await SEEN["gate" + query["key"]].get()
    await websocket_echo(scope, receive, send, query)


async def websocket_deaf(scope, receive, send, query):
    """Accepts and does not receive until told; then counts what comes until `end`."""
    await receive()
    await send({"type": "websocket.accept"})
    await SEEN["gate" + query["key"]].get()
    messages = size = 0
    while (event := await receive())["type"] != "websocket.disconnect":
        if event.get("text") == "end":
            await send({"type": "websocket.send", "text": json.dumps([messages, size])})
            continue
        messages, size = messages + 1, size + len(event.get("bytes") or event.get("text") or "")


async def websocket_flood(scope, receive, send, query):
    """Sends messages of `size` bytes, numbered, `count` of them; reports each that has been sent."""
    await receive()
    await send({"type": "websocket.accept"})
    size = int(query["size"])
    for number in range(int(query["count"])):
        await send({"type": "websocket.send", "bytes": number.to_bytes(4, "big") + bytes(size - 4)})
        COUNTS["flooded" + query["key"]] = number + 1
    SEEN[query["key"]].put_nowait(await receive())


async def websocket_stubborn(scope, receive, send, query):
    """Does not end when its socket is gone."""
    await receive()
    await send({"type": "websocket.accept"})
    try:
        await asyncio.Event().wait()
    finally:
        SEEN[query["key"]].put_nowait({"type": "cancelled"})


async def websocket_cancelled_receive(scope, receive, send, query):
    """Cancels receive() over and over: no event may be lost."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
        try:
            event = await task
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            continue
        if event["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": event["text"]})


# --- HTTP -----


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

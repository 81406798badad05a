"""Small ASGI applications for WebSockets, one a path, that the tests talk to; what they saw is `noted`."""

from __future__ import annotations

import asyncio
import json
import os

from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import ClientLeft
from proxy.core.hook_failures import HookFailed
from proxy.server.tests.noted import COUNTS, SEEN, report


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


async def websocket_burst(scope, receive, send, query):
    """Once told, sends `count` numbers of `size` bytes without waiting between them; then may `close`."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    for number in range(int(query["count"])):
        await send({"type": "websocket.send", "text": str(number).rjust(int(query["size"]))})
    if "close" in query:
        await send({"type": "websocket.close", "code": int(query["close"])})
    await receive()


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

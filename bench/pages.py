"""What it costs a node that staff look at what all nodes do: CPU of its process, while 19 others tell theirs.

`python -m bench.pages [--seconds 20]` starts a node, its Valkey and its PostgreSQL, measures, and stops them:
pages that hear seconds, and pages that get none, and ask for rows, charts and marks again and again instead.
The record has 10,000 live links and as many past ones, of 20 nodes; each page has a session of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import httpx
from redis.asyncio import Redis

from config.testing.gateway import Gateway
from config.testing.servers import PostgresServer, ValkeyServer

OTHERS, PAGES, SETTLE_SECONDS = 19, 30, 5.0
PAGE = "/admin/proxy/live/"
# As the scripts of the page do without seconds: the page itself (2.5 s after the last, looked at each 0.4 s),
# and what its charts are made of.
ASK_SECONDS, CHART_SECONDS = 2.7, 10.0
# A node of 10,000 links on six routes, in a busy second.
SAMPLE = (
    '{"links": {"a": 1700, "b": 1700, "c": 1700, "d": 1700, "e": 1700, "f": 1500}, "opens": {"a": 12}, '
    '"closes": {"client_closed": 9, "idle": 1}, "refusals": {"token_expired": 2}, "messages_in": 5000, '
    '"messages_out": 5000, "bytes_in": 1000000, "bytes_out": 1000000, '
    '"dials": [0, 1, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], '
    '"loop_lag_seconds": 0.002, "resident_bytes": 300000000}'
)
LOG_IN = f"""
from datetime import timedelta
from django.utils import timezone
from proxy.models import Connection, Node
from proxy.tests.rows import connection
Node.objects.bulk_create(
    Node(
        id=f"{{number:032}}", host=f"gateway-{{number}}", pid=42, started_at=timezone.now(),
        heartbeat_at=timezone.now() + timedelta(hours=1),
    )
    for number in range({OTHERS})
)
Connection.objects.bulk_create(
    connection(f"c{{at}}", age_seconds=at, closed=at % 2 == 1, node_id=f"{{at % {OTHERS}:032}}")
    for at in range(20_000)
)
from django.contrib.auth import SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
ada = User.objects.create(username="ada", password="none", is_staff=True, is_superuser=True)
for _ in range({PAGES}):
    session = SessionStore()
    session[SESSION_KEY] = str(ada.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = ada.get_session_auth_hash()
    session.create()
    print("session", session.session_key)
"""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(what: str, pid: int, seconds: float) -> None:
    await asyncio.sleep(SETTLE_SECONDS)
    began, before = time.monotonic(), cpu_seconds(pid)
    await asyncio.sleep(seconds)
    share = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    print(f"{what}: {100 * share:.2f} % of a core", flush=True)


async def tell(url: str) -> None:
    """What the other nodes tell, until cancelled."""
    async with Redis.from_url(url) as redis:
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            sample = f"[{int(time.time()) - 1}, 1, {SAMPLE}]"
            pipeline = redis.pipeline(transaction=False)
            for number in range(OTHERS):
                fields = {"node": f"{number:032}", "name": f"gateway-{number}:42", "state": "running"}
                pipeline.xadd("gateway:samples", {**fields, "sample": sample}, maxlen=20_000)
            await pipeline.execute()


async def listen(browser: httpx.AsyncClient) -> None:
    async with browser.stream("GET", f"{PAGE}events/") as answer:
        answer.raise_for_status()
        async for _ in answer.aiter_raw():
            pass


async def poll(browser: httpx.AsyncClient, number: int) -> None:
    """A page that gets no seconds; each began at another time."""
    await asyncio.sleep(ASK_SECONDS * number / PAGES)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask(browser, "", ASK_SECONDS), name="rows")
        for what in ("series", "marks"):
            tasks.create_task(ask(browser, f"{what}/?span=15m", CHART_SECONDS), name=what)


async def ask(browser: httpx.AsyncClient, what: str, pause_seconds: float) -> None:
    headers = {} if what else {"X-Asked-Again": "1"}
    while True:
        answer = await browser.get(PAGE + what, headers=headers)
        assert answer.status_code in {200, 304}, answer
        if not what and "etag" in answer.headers:
            headers["If-None-Match"] = answer.headers["etag"]
        await asyncio.sleep(pause_seconds)


async def look(gateway: Gateway, valkey: ValkeyServer, sessions: Sequence[str], seconds: float) -> None:
    await gateway.wait_until_ready(redis=True)
    pid = gateway.program.pid
    await measure("one node, nobody looks", pid, seconds)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        browsers = [await stack.enter_async_context(browser_of(gateway, session)) for session in sessions]
        others = tasks.create_task(tell(valkey.url), name="others")
        await measure(f"{OTHERS} more nodes, nobody looks", pid, seconds)
        for pages in (1, PAGES):
            looking = [tasks.create_task(listen(browser)) for browser in browsers[:pages]]
            await measure(f"{OTHERS} more nodes, pages that hear seconds: {pages}", pid, seconds)
            await ended(looking)
        for pages in (1, PAGES):
            looking = [tasks.create_task(poll(each, at)) for at, each in enumerate(browsers[:pages])]
            await measure(f"{OTHERS} more nodes, pages that ask instead: {pages}", pid, seconds)
            await ended(looking)
        others.cancel()


def browser_of(gateway: Gateway, session: str) -> httpx.AsyncClient:
    base_url = f"http://127.0.0.1:{gateway.port}"
    return httpx.AsyncClient(base_url=base_url, cookies={"sessionid": session}, timeout=60, trust_env=False)


async def ended(looking: Sequence[asyncio.Task[None]]) -> None:
    for task in looking:
        task.cancel()
    await asyncio.wait(looking)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="each measure")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        valkey, postgres = ValkeyServer(Path(directory)), PostgresServer()
        for server in (valkey, postgres):
            server.start()
            stack.callback(server.stop)
        env = {"REDIS_URL": valkey.url, "DATABASE_URL": postgres.create_database()}
        gateway = Gateway("serve", Path(directory), env)
        stack.callback(gateway.close)
        gateway.migrate()
        printed = gateway.manage("shell", "-v0", "-c", LOG_IN).stdout.splitlines()
        sessions = [line.split()[1] for line in printed if line.startswith("session ")]
        gateway.start()
        asyncio.run(look(gateway, valkey, sessions, seconds))


if __name__ == "__main__":
    main()

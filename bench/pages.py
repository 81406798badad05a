"""What it costs a node that staff look at what all nodes do: CPU of its process, while 19 others tell theirs.

`python -m bench.pages [--seconds 20]` starts a node and its Valkey, measures, and stops them. How many links
the nodes have makes no difference: what is told is read from metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
from redis.asyncio import Redis

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer

OTHERS, PAGES, SETTLE_SECONDS = 19, 30, 5.0
EVENTS = "/admin/proxy/live/events/"
# A node of 10,000 links on six routes, in a busy second.
SAMPLE = (
    '{"links": {"a": 1700, "b": 1700, "c": 1700, "d": 1700, "e": 1700, "f": 1500}, "opens": {"a": 12}, '
    '"closes": {"client_closed": 9, "idle": 1}, "refusals": {"token_expired": 2}, "messages_in": 5000, '
    '"messages_out": 5000, "bytes_in": 1000000, "bytes_out": 1000000, '
    '"dials": [0, 1, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], '
    '"loop_lag_seconds": 0.002, "resident_bytes": 300000000}'
)
LOG_IN = """
from django.contrib.auth import SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
ada = User.objects.create(username="ada", password="none", is_staff=True, is_superuser=True)
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


async def listen(browser: httpx.AsyncClient, url: str) -> None:
    async with browser.stream("GET", url) as answer:
        answer.raise_for_status()
        async for _ in answer.aiter_raw():
            pass


async def look(gateway: Gateway, valkey: ValkeyServer, session: str, seconds: float) -> None:
    await gateway.wait_until_ready(redis=True)
    url, pid = f"http://127.0.0.1:{gateway.port}{EVENTS}", gateway.program.pid
    await measure("one node, nobody looks", pid, seconds)
    browser = httpx.AsyncClient(cookies={"sessionid": session}, timeout=60, trust_env=False)
    with suppress(asyncio.CancelledError):
        async with browser, asyncio.TaskGroup() as tasks:
            tasks.create_task(tell(valkey.url), name="others")
            await measure(f"{OTHERS} more nodes, nobody looks", pid, seconds)
            for pages in (1, PAGES - 1):
                for number in range(pages):
                    tasks.create_task(listen(browser, url), name=f"page:{number}")
                await measure(f"{OTHERS} more nodes, pages: {1 if pages == 1 else PAGES}", pid, seconds)
            raise asyncio.CancelledError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="each measure")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory:
        valkey = ValkeyServer(Path(directory))
        valkey.start()
        try:
            gateway = Gateway("serve", Path(directory), {"REDIS_URL": valkey.url})
            gateway.migrate()
            session = gateway.manage("shell", "-v0", "-c", LOG_IN).stdout.rpartition("session ")[2].strip()
            gateway.start()
            try:
                asyncio.run(look(gateway, valkey, session, seconds))
            finally:
                gateway.close()
        finally:
            valkey.stop()


if __name__ == "__main__":
    main()

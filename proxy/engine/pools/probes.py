"""Active health checks: every member of a pool is asked again and again whether it is well."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import random
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from proxy.core.captures import blanks_of
from proxy.core.errors import NotFound
from proxy.core.pools.health import Probe, ProbeKind
from proxy.core.routes import at_path, own_path
from proxy.engine.calls import call_within, wait_at_most
from proxy.engine.pools.dial import Target, connect_socket, tls_for
from proxy.engine.pools.members import Member
from proxy.engine.pools.pool import Pool
from proxy.engine.pools.resolving import is_our_own

logger = logging.getLogger(__name__)

USER_AGENT = "sluicegate-probe"
PROBE_USER = "gateway-probe"
# Alive, and careful about whom it serves.
_KNOWS_US_NOT = frozenset({401, 403, 429})
# What a probe by message listens to before it has its answer; greetings, say.
_MOST_HEARD, _MOST_HEARD_BYTES = 100, 1 << 16


class ProbeFailed(Exception):
    """The member is not well; str() says why."""


async def probe_forever(pool: Pool) -> None:
    """Probe the members of a pool, each in a task of its own, for as long as it is a member; until cancelled.

    One that failed a dial is probed at once. Returns at once where the upstream declares no probe.
    """
    probe = pool.upstream.probe
    if probe is None:
        return
    watched: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as tasks:
        while True:
            pool.changed.clear()
            members = {member.url: member for member in pool.all_members() if not member.removed}
            for url in watched.keys() - members.keys():
                watched.pop(url).cancel()
            for url in members.keys() - watched.keys():
                watching = _watch(pool, members[url], probe)
                watched[url] = tasks.create_task(watching, name=f"probe:{url}")
            await pool.changed.wait()


async def _watch(pool: Pool, member: Member, probe: Probe) -> None:
    await asyncio.sleep(random() * probe.jitter_fraction * probe.failing_seconds)  # noqa: S311
    while True:
        member.suspected.clear()
        await probe_once(pool, member, probe)
        assert member.health is not None  # noqa: S101  the upstream declares a probe
        await wait_at_most(member.health.seconds_to_next(random=random()), member.suspected.wait())  # noqa: S311
        # However often dials fail, probes do not come faster than this.
        await asyncio.sleep(probe.failing_seconds * 0.1)


async def probe_once(pool: Pool, member: Member, probe: Probe) -> None:
    """Ask once, and note the answer; one that is too late for a dial is too late for a probe."""
    seconds = min(probe.timeout_seconds, pool.dial_seconds)
    target = Target(url_of(member.url, probe), member.addresses, seconds=seconds)
    try:
        await call_within(seconds, _PROBES[probe.kind](target, probe))
    except Exception as error:  # noqa: BLE001  whatever it raises, the member is not well
        if is_our_own(error):
            return  # it says nothing about the member
        why = f"probe: {type(error).__name__}: {error}".removesuffix(": ")
        changed = member.probed(ok=False, why=why)
    else:
        why, changed = "", member.probed(ok=True)
    if changed:
        fields = {"pool": pool.name, "member": member.url, "healthy": member.healthy, "why": why}
        logger.warning("upstream member changed", extra=fields)


def url_of(member_url: str, probe: Probe) -> str:
    """What is asked of the member there; a probe's WebSocket says whose it is, unless its path has a query.

    A path that is filled for each client is nobody's without one.
    """
    path = probe.path or ("" if blanks_of(member_url) else own_path(member_url)) or probe.default_path
    if probe.kind is not ProbeKind.HTTP and "?" not in path:
        path += f"?user_id={PROBE_USER}"
    return at_path(member_url, path)


async def probe_websocket(target: Target, probe: Probe) -> None:
    """A handshake, a ping, its pong; or a refusal that says that the member is there, and what it wants.

    The caller sets the deadline.
    """
    try:
        await _ping(target)
    except InvalidStatus as refused:
        status = refused.response.status_code
        # A path that nobody configured is a guess: not to know it is no illness (a Socket.IO server's /ws).
        if status not in _KNOWS_US_NOT and (status != NotFound.status or probe.path):
            raise ProbeFailed(f"answered {status}") from None


async def _ping(target: Target) -> None:
    async with _connected(target) as connection:
        await (await connection.ping())


async def probe_message(target: Target, probe: Probe) -> None:
    """A handshake, a message, its answer. That it refuses whom it does not know does not make it well.

    The caller sets the deadline. Raises ProbeFailed: it answered something else, over and over.
    """
    async with _connected(target) as connection:
        await connection.send(probe.says)
        for _ in range(_MOST_HEARD):
            if probe.is_answer(await connection.recv()):
                return
    raise ProbeFailed(f"said {_MOST_HEARD} things, none of which is {probe.expects}")


@asynccontextmanager
async def _connected(target: Target) -> AsyncIterator[ClientConnection]:
    """Whatever comes of it, and whoever is cancelled while it closes, no socket is left."""
    connection = await connect(
        target.url,
        sock=await connect_socket(target),
        ssl=tls_for(target.url),
        open_timeout=None,
        user_agent_header=USER_AGENT,
        compression=None,
        proxy=None,
        ping_interval=None,
        close_timeout=1,
        max_queue=1,
        max_size=_MOST_HEARD_BYTES,
    )
    try:
        yield connection
        await connection.close()
    finally:
        connection.transport.abort()


async def probe_http(target: Target, _: Probe) -> None:
    """A GET that answers 2xx, 401, 403 or 429. Raises ProbeFailed, OSError."""
    parts = urlsplit(target.url)
    tls = tls_for(target.url)
    reader, writer = await asyncio.open_connection(
        sock=await connect_socket(target),
        ssl=tls,
        server_hostname=None if tls is None else parts.hostname,
    )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: {USER_AGENT}\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        words = (await reader.readline()).split(maxsplit=2)
    finally:
        writer.close()
    is_http = len(words) >= 2 and words[0].startswith(b"HTTP/") and words[1].isdigit()
    if not is_http or not (words[1].startswith(b"2") or int(words[1]) in _KNOWS_US_NOT):
        raise ProbeFailed(f"answered {b' '.join(words[:2]).decode('latin-1') or 'nothing'}")


_PROBES: dict[ProbeKind, Callable[[Target, Probe], Awaitable[None]]] = {
    ProbeKind.WEBSOCKET: probe_websocket,
    ProbeKind.HTTP: probe_http,
    ProbeKind.MESSAGE: probe_message,
}

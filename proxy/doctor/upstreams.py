"""The members of each pool, as this host reaches them: name, TCP, TLS, and what their probe asks for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from proxy import registry
from proxy.core import judging
from proxy.core.findings import Amiss, Finding, ok, unused
from proxy.core.human import milliseconds
from proxy.core.pools.health import Probe, ProbeKind
from proxy.core.routes import MemberSpec, Upstream, upstream_url
from proxy.doctor.trial import Trial, address_of, why
from proxy.engine.pools.dial import Target, connect_socket, tls_for, words_for_clients
from proxy.engine.pools.probes import USER_AGENT, ProbeFailed, probe_http, url_of

_BODY_BYTES = 4096
_NO_TCP = "Start it, or correct its URL; is there a firewall between it and this host?"
_SILENT = "It hangs, or something in between swallows the request: see its log."
_NO_TLS = "Have it send a chain that this machine's authorities vouch for, for the name in its URL."
_NO_ANSWER = "Is it a WebSocket service, and does the URL's scheme fit (ws, wss)? See its log."


def trials(members: Mapping[str, Sequence[MemberSpec]]) -> list[Trial]:
    """One for each member of each pool: those of staff's own, by the pool's name, or the declared ones."""
    found = []
    for upstream in registry.upstreams():
        specs = members.get(upstream.name) or upstream.declared()
        if not specs:
            found.append(Trial(part=upstream.name, look=partial(_look_at_none, upstream)))
        for spec in specs:
            needs = [upstream.setting] if upstream.setting else []
            found.append(Trial(part=upstream.name, look=partial(_look, upstream, spec.url), needs=needs))
    return found


async def _look_at_none(upstream: Upstream) -> Sequence[Finding]:
    where = upstream.setting or "the Pools page of admin"
    return [unused(upstream.name, f"has no member: {where} names none")]


async def _look(upstream: Upstream, member_url: str) -> Sequence[Finding]:
    """Raises Amiss, which names the member and how far we got."""
    probe = upstream.probe
    url = member_url if probe is None else url_of(upstream_url(member_url), probe)
    target = Target(url.partition("?")[0])
    at = address_of(url.partition("?")[0])
    reached = await _reach(target, at)
    if probe is None:
        return [ok(upstream.name, f"{at}: {reached}; it has no probe to be asked by")]
    began = time.monotonic()
    status, words = await _asked(url, target, probe, at)
    told = f"{at}: {reached}, "
    if status == 0:
        kind = "health answers" if probe.kind is ProbeKind.HTTP else "handshake and ping"
        return [ok(upstream.name, f"{told}{kind} in {milliseconds(time.monotonic() - began)}")]
    judged = judging.handshake_status(
        upstream.name, status, words=words, passes_token=_passes_token(upstream)
    )
    return [Finding(judged.part, judged.outcome, told + judged.seen, judged.hint)]


def _passes_token(upstream: Upstream) -> bool:
    return any("token" in each.forward.query for each in registry.routes() if each.upstream is upstream)


async def _reach(target: Target, at: str) -> str:
    """A TCP connection, which is closed at once; how long its name and it took. Raises Amiss."""
    began = time.monotonic()
    try:
        await target.addresses.in_turn()
    except OSError as error:
        hint = "Correct the host's name in its URL, or this machine's resolver (/etc/resolv.conf)."
        raise Amiss(f"{at}: {error}", hint=hint) from None
    resolved = time.monotonic()
    try:
        (await connect_socket(target)).close()
    except OSError as error:
        raise Amiss(f"{at}: {why(error)}", hint=_NO_TCP) from None
    tcp = f"TCP in {milliseconds(time.monotonic() - resolved)}"
    return tcp if target.addresses.is_fixed else f"name in {milliseconds(resolved - began)}, {tcp}"


async def _asked(url: str, target: Target, probe: Probe, at: str) -> tuple[int, str]:
    """What it answered to what its probe asks for, and its words: 0 where all is well. Raises Amiss."""
    try:
        async with asyncio.timeout(probe.timeout_seconds):
            await (
                probe_http(Target(url), probe) if probe.kind is ProbeKind.HTTP else _shake_hands(url, target)
            )
    except InvalidStatus as refused:
        body = bytes(refused.response.body or b"")[:_BODY_BYTES]
        return refused.response.status_code, words_for_clients(body)
    except ProbeFailed as refused:
        status = str(refused).rpartition(" ")[2]
        if status.isdigit():
            return int(status), ""
        raise Amiss(f"{at}: took the connection, and {refused}", hint=_NO_ANSWER) from None
    except (InvalidHandshake, ConnectionClosed, EOFError, OSError) as error:
        raise _failure(error, url, probe, at) from None
    return 0, ""


def _failure(error: Exception, url: str, probe: Probe, at: str) -> Amiss:
    """Of a member that took a TCP connection, and then did that."""
    if isinstance(error, TimeoutError):
        seen, hint = f"did not answer in {probe.timeout_seconds:g} s", _SILENT
    elif isinstance(error, OSError):
        seen, hint = why(error), _NO_TLS if _is_tls(url) else _NO_TCP
    else:
        seen, hint = _garbled(error), _NO_ANSWER
    return Amiss(f"{at}: took the connection, and {seen}", hint=hint)


def _garbled(error: Exception) -> str:
    """What the library says of an answer that is none: its cause knows more."""
    cause = error.__cause__ or error
    if isinstance(cause, EOFError | ConnectionClosed):
        return "closed it without an answer"
    return f"answered what is no WebSocket handshake ({cause})"


def _is_tls(url: str) -> bool:
    return urlsplit(url).scheme in {"wss", "https"}


async def _shake_hands(url: str, target: Target) -> None:
    """A handshake, a ping and its pong; no message. Raises what `websockets` does."""
    connection: ClientConnection = await connect(
        url,
        sock=await connect_socket(target),
        ssl=tls_for(url),
        open_timeout=None,
        user_agent_header=USER_AGENT,
        compression=None,
        proxy=None,
        ping_interval=None,
        close_timeout=1,
    )
    try:
        await (await connection.ping())
        await connection.close()
    finally:
        connection.transport.abort()

"""The gateway's Redis: is it there, does it let us do what nodes do, is what is published heard?"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from proxy.core import judging
from proxy.core.findings import Amiss, Finding, failed, ok, unused
from proxy.core.human import milliseconds
from proxy.doctor.trial import address_of, why
from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.connection import Connection, LoginRefused
from proxy.engine.redis.pipeline import CommandRefused, Pipeline

PART = "redis"
HINT = "Start it, or correct REDIS_URL."
_SCRIPT = (Path(__file__).parent / "allowed.lua").read_text(encoding="utf-8")
_ALLOW = "Let the user of REDIS_URL run it: ACL SETUSER … ~gateway:* &* +@all -@admin -@dangerous +info."


async def look() -> Sequence[Finding]:
    """Raises Amiss, OSError."""
    url = settings.REDIS_URL
    if not url:
        return [unused(PART, "REDIS_URL is unset: this is one process")]
    pipeline = Pipeline(RedisAddress.parse(url))
    try:
        return await _seen(pipeline, at=address_of(url))
    except LoginRefused as refused:
        hint = "Correct user, password and database in REDIS_URL; / ? # @ of a password are percent-encoded."
        raise Amiss(f"{address_of(url)} refuses us: {refused}", hint=hint) from None
    except CommandRefused as refused:
        raise Amiss(f"{address_of(url)}: {refused}", hint=_ALLOW) from None
    except OSError as error:
        raise Amiss(f"{address_of(url)}: {why(error)}") from None
    finally:
        with suppress(OSError):
            await pipeline.close()


async def _seen(pipeline: Pipeline, *, at: str) -> list[Finding]:
    await pipeline.call("PING")  # which connects
    began = time.monotonic()
    await pipeline.call("PING")
    seconds = time.monotonic() - began
    info = _fields(await pipeline.call("INFO"))
    version = judging.redis_version(PART, info, seconds=seconds)
    found = [Finding(PART, version.outcome, f"{at}: {version.seen}", version.hint)]
    if (refuses := judging.redis_writes("redis writes", info)) is not None:
        return [*found, refuses]
    found.append(judging.redis_memory("redis memory", info))
    for part, step in (("redis clock", _clock), ("redis rights", _rights), ("redis pub/sub", _round_trip)):
        try:
            found.append(await step(pipeline))
        except CommandRefused as refused:
            found.append(failed(part, str(refused), _ALLOW))
    return found


def _fields(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value.strip() for name, colon, value in lines if colon}


async def _clock(pipeline: Pipeline) -> Finding:
    began = time.time()
    seconds, microseconds = await pipeline.call("TIME")
    ended = time.time()
    ahead = int(seconds) + int(microseconds) / 1e6 - (began + ended) / 2
    return judging.clock("redis clock", ahead_seconds=ahead, unsure_seconds=(ended - began) / 2)


async def _rights(pipeline: Pipeline) -> Finding:
    """Whether all commands of nodes' scripts may be run, in one script whose keys are gone when it ends."""
    key = f"gateway:doctor:{uuid.uuid4().hex}"
    refused = [
        word.decode(errors="replace") for word in await pipeline.call("EVAL", _SCRIPT, "2", key, f"{key}:2")
    ]
    if refused:
        return failed("redis rights", f"may not run {', '.join(refused)}", _ALLOW)
    return ok("redis rights", "all commands of the gateway may be run")


async def _round_trip(pipeline: Pipeline) -> Finding:
    """Whether what one connection publishes another one hears."""
    heard: asyncio.Queue[object] = asyncio.Queue()
    channel, word = f"gateway__group__doctor.{uuid.uuid4().hex}", uuid.uuid4().hex.encode()
    listener = await Connection.open(
        RedisAddress.parse(settings.REDIS_URL), take=heard.put_nowait, on_room=lambda: None
    )
    try:
        listener.send("SUBSCRIBE", channel)
        subscribed = await heard.get()
        if isinstance(subscribed, Exception):
            return failed("redis pub/sub", f"may not subscribe: {subscribed}", _ALLOW)
        began = time.monotonic()
        await pipeline.call("PUBLISH", channel, word)
        said = await heard.get()
    finally:
        listener.abort()
    if not isinstance(said, list) or said[-1] != word:
        return failed("redis pub/sub", "heard something else than was published", "Is a proxy in between?")
    return ok("redis pub/sub", f"heard what was published after {milliseconds(time.monotonic() - began)}")

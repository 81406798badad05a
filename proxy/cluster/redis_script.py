"""Running the admission script in the Redis that settings name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import NoScriptError


class RedisScript:
    """One script on one connection; loaded at its first use, and again when Redis has forgotten it."""

    def __init__(self, script: str) -> None:
        options: dict[str, Any] = dict(settings.REDIS_HOST)
        self._redis: Any = Redis.from_url(options.pop("address"), **options)
        self._script = script
        self._digest: str | None = None

    async def __call__(self, words: Sequence[str]) -> Sequence[Any]:
        """The script's answer to `words` as ARGV. Raises what redis-py does."""
        if self._digest is None:
            self._digest = await self._redis.script_load(self._script)
        try:
            answer: Sequence[Any] = await self._redis.execute_command("EVALSHA", self._digest, 0, *words)
        except NoScriptError:
            self._digest = await self._redis.script_load(self._script)
            answer = await self._redis.execute_command("EVALSHA", self._digest, 0, *words)
        return answer

    async def close(self) -> None:
        await self._redis.aclose()

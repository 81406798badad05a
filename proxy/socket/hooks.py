"""Asking a route's own code, under a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from proxy.core.errors import UpstreamTimeout
from proxy.core.hook_failures import calling_hook

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")


async def ask(
    hook: Callable[[AskedT], Awaitable[AnswerT] | AnswerT], about: AskedT, *, name: str, within_seconds: float
) -> AnswerT:
    """What the route's `hook` called `name` answers, which may have to wait for it.

    Raises:
        GatewayError: its own; HookFailed for whatever else it raises; UpstreamTimeout when it takes too long.
    """
    try:
        async with asyncio.timeout(within_seconds):
            with calling_hook(name):
                answer = hook(about)
                return await answer if isawaitable(answer) else answer
    except TimeoutError:
        raise UpstreamTimeout(f"the route's {name} took more than {within_seconds:g} s") from None

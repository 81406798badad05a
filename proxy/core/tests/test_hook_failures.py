"""What a route's own code raises: its failure, or an end that is none of its doing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from proxy.core.closes import Close, ClosedBy
from proxy.core.farewells import last_words
from proxy.core.hook_failures import HookFailed, calling_hook


class Odd(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize("error", [ValueError(), Odd()])
def test_whatever_a_hook_raises_names_the_hook(error: BaseException) -> None:
    with pytest.raises(HookFailed, match="topics") as failed, calling_hook("topics"):
        raise error
    assert failed.value.__cause__ is error


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_end_of_the_process_or_of_a_coroutine_is_no_failure_of_a_hook(end: type[BaseException]) -> None:
    def farewell(_: Close) -> tuple[str, ...]:
        raise end

    with pytest.raises(end), calling_hook("topics"):
        farewell(Close())
    with pytest.raises(end):
        last_words(farewell, Close(4001, "kicked"), ClosedBy.GATEWAY, failed=list[HookFailed]().append)


async def test_a_cancellation_out_of_code_that_awaits_nothing_is_a_failure_whatever_its_task_is_at() -> None:
    def farewell(_: Close) -> tuple[str, ...]:
        raise asyncio.CancelledError

    async def ending() -> list[HookFailed]:
        failures = list[HookFailed]()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        last_words(farewell, Close(4001, "kicked"), ClosedBy.GATEWAY, failed=failures.append)
        return failures

    task = asyncio.create_task(ending())
    await asyncio.sleep(0)
    task.cancel()
    (failed,) = await task
    assert failed.hook == "farewell"

"""A call of a route's own code: whatever that raises is an error of the gateway's, which names the hook."""

from __future__ import annotations

from asyncio import CancelledError, current_task, get_running_loop
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.core.errors import GatewayError

_ENDS = (KeyboardInterrupt, SystemExit)  # of the process: no failure, wherever they come


class HookFailed(GatewayError):
    """A route's own code raised something else than a GatewayError, which is the cause. `hook` names it."""

    def __init__(self, hook: str) -> None:
        super().__init__(f"the route's {hook} failed")
        self.hook = hook

    @classmethod
    def because(cls, hook: str, cause: BaseException) -> HookFailed:
        """As if raised from `cause`. Raises that itself where it is no failure but an end."""
        if is_end(cause):
            raise cause
        error = cls(hook)
        error.__cause__ = cause
        return error


def failure_of(hook: str, error: BaseException) -> GatewayError:
    """What it is that `hook` raised `error`: that one, if clients can be told of it; else HookFailed."""
    if not isinstance(error, GatewayError):
        return HookFailed.because(hook, error)
    try:
        error.check()
    except Exception as mistake:  # noqa: BLE001  its fields are a product's
        return HookFailed.because(hook, mistake)
    return error


def is_end(error: BaseException) -> bool:
    """Whether the process ends, or its loop has and what that left waiting is closed: no failure.

    While a loop runs nobody closes what it waits for: whose code raises GeneratorExit then has made it up.
    """
    return isinstance(error, _ENDS) or (isinstance(error, GeneratorExit) and not _is_loop_running())


def is_cancelled() -> bool:
    """Whether somebody wants this task to end; else a cancellation was made up by who raised it."""
    task = current_task() if _is_loop_running() else None
    return task is not None and task.cancelling() > 0


def _is_loop_running() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def calling_hook(name: str, *may_raise: type[Exception]) -> Iterator[None]:
    """Around a call of a route's own code: what it raises is a GatewayError, its own or HookFailed."""
    try:
        yield
    except may_raise:
        raise
    except BaseException as error:
        if isinstance(error, CancelledError) and is_cancelled():
            raise  # whoever waits for the hook does so no more
        failure = failure_of(name, error)
        if failure is error:
            raise
        raise failure from failure.__cause__

"""A call of a route's own code: whatever that raises is an error of the gateway's, which names the hook."""

from __future__ import annotations

from asyncio import CancelledError, current_task
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.core.errors import GatewayError


class HookFailed(GatewayError):
    """A route's own code raised something else than a GatewayError, which is the cause. `hook` names it."""

    def __init__(self, hook: str) -> None:
        super().__init__(f"the route's {hook} failed")
        self.hook = hook

    @classmethod
    def because(cls, hook: str, cause: BaseException) -> HookFailed:
        """As if raised from `cause`. Raises that itself where it is not the code's, but our task's end."""
        if isinstance(cause, GeneratorExit) or (isinstance(cause, CancelledError) and _is_cancelled()):
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


def _is_cancelled() -> bool:
    """Whether somebody wants this task to end; else a cancellation was made up by who raised it."""
    try:
        task = current_task()
    except RuntimeError:  # there is no loop, and so no task
        return False
    return task is not None and task.cancelling() > 0


@contextmanager
def calling_hook(name: str, *may_raise: type[Exception]) -> Iterator[None]:
    """Around a call of a route's own code: what it raises is a GatewayError, its own or HookFailed."""
    try:
        yield
    except may_raise:
        raise
    except BaseException as error:
        failure = failure_of(name, error)
        if failure is error:
            raise
        raise failure from failure.__cause__

"""What the server offers an application beside plain ASGI: `scope["extensions"]["sluicegate.splice"]`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from proxy.core.errors import ClientLeft

T = TypeVar("T")


class SpliceOffer:
    """A `websocket.accept` may carry a `SpliceRequest`; and who dials for it need not watch the client."""

    __slots__ = ("_has_left", "_waiting")

    def __init__(self) -> None:
        self._has_left = False
        self._waiting: asyncio.Task[object] | None = None

    async def until_left(self, connecting: Coroutine[Any, Any, T]) -> T:
        """What `connecting` gives, in the caller's task; it is cancelled as soon as nobody waits for it.

        Raises:
            ClientLeft: the client has gone, or the server has answered in the application's place. Where that
                came first, `connecting` does not begin.
            CancelledError: this task was cancelled by others, a client that left as well or not.
        """
        if self._has_left:
            connecting.close()
            raise ClientLeft
        self._waiting = task = asyncio.current_task()
        try:
            return await connecting
        except asyncio.CancelledError:
            if self._has_left and task is not None and not task.uncancel():
                raise ClientLeft from None
            raise
        finally:
            self._waiting = None

    def leave(self) -> None:
        """For the server: nobody waits for the application's answer any more."""
        self._has_left = True
        if self._waiting is not None:
            self._waiting.cancel()

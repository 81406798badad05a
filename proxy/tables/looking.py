"""Looking at the database again and again, for whoever must not wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from django.db import Error

from proxy.engine.calls import wait_at_most

logger = logging.getLogger(__name__)


async def look_forever(
    look: Callable[[], Awaitable[object]], *, seconds: float, fails: str, wake: asyncio.Event | None = None
) -> NoReturn:
    """Call `look` now, every so many seconds, and whenever `wake` is set, until cancelled.

    While the database is away it raises django.db.Error or OSError (TimeoutError is one), which is logged
    once an outage, in the words of `fails`. What else it raises is no outage, and raised.
    """
    wake = asyncio.Event() if wake is None else wake
    is_away = False
    while True:
        wake.clear()
        try:
            await look()
        except (Error, OSError) as error:
            if not is_away:
                logger.warning(fails, extra={"why": repr(error)})
            is_away = True
        else:
            is_away = False
        await wait_at_most(seconds, wake.wait())

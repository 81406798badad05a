"""What every client of a test does about its link: opens it, and comes back once it has ended."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

OPEN_SECONDS = 15.0
COME_BACK_SECONDS = (0.2, 1.0)
_RETRY_AFTER = re.compile(r"retry in (\d+) ms")


class LinksStory(Protocol):
    """Where it is told: handshakes that were `refused`, by status and code or by failure, and links that have
    `ended`, by close code."""

    refused: Counter[str]
    ended: Counter[str]


def linked(url: str, *, headers: Mapping[str, str]) -> AbstractAsyncContextManager[ClientConnection]:
    """A link of a client that says nothing by itself."""
    return connect(
        url,
        additional_headers=headers,
        compression=None,
        proxy=None,
        open_timeout=OPEN_SECONDS,
        close_timeout=1,
        ping_interval=None,
    )


async def come_back_forever(
    play_one_link: Callable[[], Awaitable[object]], story: Callable[[], LinksStory]
) -> NoReturn:
    """Play one link after another until cancelled, with a pause between them, which a close may set.

    A link ends with what its client library raises.
    """
    while True:
        pause = random.uniform(*COME_BACK_SECONDS)
        try:
            await play_one_link()
        except InvalidStatus as refused:
            story().refused[refusal(refused)] += 1
        except (InvalidHandshake, OSError, EOFError) as failed:
            story().refused[type(failed).__name__] += 1
        except ConnectionClosed as ended:
            asked = _RETRY_AFTER.search(ended.rcvd.reason) if ended.rcvd is not None else None
            pause = pause if asked is None else int(asked[1]) / 1000
            story().ended[str(ended.rcvd.code if ended.rcvd is not None else 1006)] += 1
        await asyncio.sleep(pause)


def refusal(refused: InvalidStatus) -> str:
    """Status and code; without a code it was nginx that spoke."""
    try:
        code = json.loads(refused.response.body or b"")["code"]
    except (ValueError, KeyError, TypeError):
        code = "by nginx"
    return f"{refused.response.status_code} {code}"

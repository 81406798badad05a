"""Where a member's host is: its addresses, looked up beside the dials and not by them.

A lookup runs in a thread of its own that nobody joins, since a resolver may hang for half a minute: one
thread a host at most, however many dials there are.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

# Addresses older than this are looked up again, while dials go on with what is known.
FRESH_SECONDS = 10.0
# However often all of them fail, lookups do not follow each other faster than this.
AGAIN_SECONDS = 1.0

LookUp = Callable[[str], Sequence[str]]


class HostUnknown(OSError):
    """The name does not resolve; str() says why."""


def look_up(host: str) -> list[str]:
    """The addresses of `host`, by the system's resolver. Blocks. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Addresses:
    """The addresses of one host. What was known stays in use while the name does not resolve any more.

    `is_fixed`: the host is an address, and there is nothing to look up.
    """

    __slots__ = (
        "_clock",
        "_failed",
        "_known",
        "_look_up",
        "_looked_at",
        "_lookup",
        "_why",
        "host",
        "is_fixed",
    )

    def __init__(
        self, host: str, *, look_up: LookUp = look_up, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.host, self._look_up, self._clock = host, look_up, clock
        self._known: tuple[str, ...] = ()
        self._failed: set[str] = set()
        self._why = ""
        self._looked_at = float("-inf")
        self._lookup: asyncio.Future[None] | None = None
        self.is_fixed = _is_address(host)
        if self.is_fixed:
            self._known, self._looked_at = (host,), float("inf")

    async def in_turn(self, *, anew: bool = False) -> list[str]:
        """All addresses, in the order in which to try them: mixed, and what failed lately last.

        Waits for a lookup only if nothing is known, or, with `anew`, if what is known is not quite fresh.

        Raises:
            HostUnknown: none is known.
        """
        age_seconds = self._clock() - self._looked_at
        if age_seconds > (AGAIN_SECONDS if anew or not self._known else FRESH_SECONDS):
            self._start_lookup()
        if self._lookup is not None and (anew or not self._known):
            await asyncio.shield(self._lookup)
        if not self._known:
            raise HostUnknown(f"{self.host} does not resolve: {self._why}")
        if len(self._known) == 1:
            return list(self._known)
        mixed = random.sample(self._known, len(self._known))
        return sorted(mixed, key=self._failed.__contains__)

    def failed(self, address: str) -> None:
        """It took no connection: the others come first, until the next lookup."""
        self._failed.add(address)

    def _start_lookup(self) -> None:
        if self._lookup is None:
            loop = asyncio.get_running_loop()
            self._lookup = loop.create_future()
            thread = threading.Thread(
                target=self._run, args=(loop,), name=f"resolve:{self.host}", daemon=True
            )
            thread.start()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread: nothing of the loop's is touched but by `call_soon_threadsafe`."""
        try:
            found, why = tuple(self._look_up(self.host)), "no addresses"
        except (OSError, UnicodeError) as error:
            found, why = (), str(error)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._looked, found, why)

    def _looked(self, found: tuple[str, ...], why: str) -> None:
        self._looked_at, self._why = self._clock(), why
        self._failed.clear()
        if found:
            self._known = found
        lookup, self._lookup = self._lookup, None
        if lookup is not None and not lookup.done():
            lookup.set_result(None)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

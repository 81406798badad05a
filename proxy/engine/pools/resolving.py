"""Where a member's host is: its addresses, looked up beside the dials and not by them.

A lookup runs in a thread of its own that nobody joins, since a resolver may hang for half a minute: one
thread a host at most, however many dials there are.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from proxy import metrics

# Addresses older than this are looked up again, while dials go on with what is known.
FRESH_SECONDS = 10.0
# However often all of them fail, lookups do not follow each other faster than this.
AGAIN_SECONDS = 1.0

# An address that took no connection comes last, as long as its name lists it. One dial in so long tries it.
FAILED_SECONDS = 60.0

logger = logging.getLogger(__name__)

LookUp = Callable[[str], Sequence[str]]


# Errors of our own kernel and resolver: they say nothing about a member.
_OWN_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, socket.EAI_MEMORY})


class HostUnknown(OSError):
    """The name does not resolve; str() says why."""


class CannotLookUp(HostUnknown):
    """This node cannot look the name up; str() says why."""


def is_our_own(error: BaseException) -> bool:
    """Whether it is this machine that can open no socket or look up no name: no member is to blame."""
    return isinstance(error, CannotLookUp) or (isinstance(error, OSError) and error.errno in _OWN_ERRORS)


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
        "_failure",
        "_known",
        "_look_up",
        "_looked_at",
        "_lookup",
        "_why",
        "host",
        "is_fixed",
    )

    def __init__(
        self,
        host: str,
        *,
        look_up: LookUp = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host, self._look_up, self._clock = host, look_up, clock
        self._known: tuple[str, ...] = ()
        self._failed: dict[str, float] = {}  # when to try it again
        self._failure: type[HostUnknown] = HostUnknown
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
            HostUnknown: none is known; CannotLookUp, if that is this node's own fault.
        """
        age_seconds = self._clock() - self._looked_at
        if age_seconds > (AGAIN_SECONDS if anew or not self._known else FRESH_SECONDS):
            self._start_lookup()
        if self._lookup is not None and (anew or not self._known):
            await asyncio.shield(self._lookup)
        if not self._known:
            raise self._failure(f"{self.host} does not resolve: {self._why}")
        if len(self._known) == 1:
            return list(self._known)
        mixed = random.sample(self._known, len(self._known))
        again = self._to_try_again()
        return sorted(mixed, key=lambda each: (each != again, each in self._failed))

    def failed(self, address: str) -> None:
        """It took no connection: the others come first."""
        self._failed[address] = self._clock() + FAILED_SECONDS

    def reached(self, address: str) -> None:
        """It took one. If all had failed, none of them is better than another now."""
        if self._failed.keys() >= set(self._known):
            self._failed.clear()
        self._failed.pop(address, None)

    def _to_try_again(self) -> str | None:
        """One that failed long enough ago, for whoever asks: who asks next must not wait for it, too."""
        now = self._clock()
        again = next((address for address, due in self._failed.items() if due <= now), None)
        if again is not None:
            self.failed(again)
        return again

    def _start_lookup(self) -> None:
        if self._lookup is not None:
            return
        loop = asyncio.get_running_loop()
        self._lookup = loop.create_future()
        thread = threading.Thread(target=self._run, args=(loop,), name=f"resolve:{self.host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # this machine has no thread left
            self._crashed(str(error))

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread: nothing of the loop's is touched but by `call_soon_threadsafe`."""
        try:
            found, why = tuple(self._look_up(self.host)), "no addresses"
        except Exception as error:  # noqa: BLE001  the thread's edge; _crashed logs it
            if is_our_own(error) or not isinstance(error, OSError | UnicodeError):
                self._tell(loop, self._crashed, f"{type(error).__name__}: {error}")
                return
            found, why = (), str(error)
        self._tell(loop, self._looked, found, why)

    @staticmethod
    def _tell(loop: asyncio.AbstractEventLoop, hear: Callable[..., None], *words: object) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(hear, *words)

    def _crashed(self, why: str) -> None:
        """It is this node that cannot look up. As after any lookup, a later dial tries again."""
        logger.error("a lookup failed", extra={"host": self.host, "why": why})
        metrics.child(metrics.BACKGROUND_CRASHES_TOTAL, "resolving").inc()
        self._looked((), why, CannotLookUp)

    def _looked(self, found: tuple[str, ...], why: str, failure: type[HostUnknown] = HostUnknown) -> None:
        self._looked_at, self._failure, self._why = self._clock(), failure, why
        if found:
            self._known = found
            self._failed = {address: due for address, due in self._failed.items() if address in found}
        lookup, self._lookup = self._lookup, None
        if lookup is not None and not lookup.done():
            lookup.set_result(None)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

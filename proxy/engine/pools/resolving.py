"""Where a member's host is: its addresses, looked up beside the dials and not by them.

A lookup runs in a thread of its own: one a host at most, however many dials there are.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import random
import socket
import time
from collections.abc import Callable, Sequence

from proxy import metrics
from proxy.engine.calls import in_own_thread

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


# Addresses; and where there are none, how to say so, and why.
_Found = tuple[tuple[str, ...], type[HostUnknown], str]


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
        self._lookup: asyncio.Future[_Found] | None = None
        self.is_fixed = _is_address(host)
        if self.is_fixed:
            self._known, self._looked_at = (host,), float("inf")

    async def in_turn(self, *, anew: bool = False) -> list[str]:
        """All addresses, in the order in which to try them: mixed, and what failed lately last.

        Waits for a lookup only if nothing is known, or, with `anew`, if what is known is not quite fresh.
        Raises HostUnknown; CannotLookUp, where that is this node's own fault.
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
        try:
            self._lookup = in_own_thread(self._find, name=f"resolve:{self.host}", heard=self._looked)
        except RuntimeError as error:  # this machine has no thread left
            self._looked(((), CannotLookUp, str(error)))

    def _find(self) -> _Found:
        """In the thread."""
        try:
            return tuple(self._look_up(self.host)), HostUnknown, "no addresses"
        except Exception as error:  # noqa: BLE001  the thread's edge; _looked logs it
            if is_our_own(error) or not isinstance(error, OSError | UnicodeError):
                return (), CannotLookUp, f"{type(error).__name__}: {error}"
            return (), HostUnknown, str(error)

    def _looked(self, looked: _Found) -> None:
        """Take in what was found. However it went, a later dial tries again."""
        found, self._failure, self._why = looked
        self._lookup, self._looked_at = None, self._clock()
        if self._failure is CannotLookUp:
            logger.error("a lookup failed", extra={"host": self.host, "why": self._why})
            metrics.child(metrics.BACKGROUND_CRASHES_TOTAL, "resolving").inc()
        if found:
            self._known = found
            self._failed = {address: due for address, due in self._failed.items() if address in found}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""How a server is about to be started, where that matters to checks: `serve` tells, before they are asked."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from proxy.core.addresses import parse_address

# What a worker may take to end once its drain is over.
STOP_GRACE_SECONDS = 40.0
# What checks are tagged with that every start asks, be it with DEBUG.
START = "start"
# What `manage.py` takes for this machine.
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", ".localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """`host` is what is listened on; None: nobody knows, for a socket that was inherited."""

    host: str | None
    workers: int = 1

    @property
    def is_for_others(self) -> bool:
        """Whether other machines can reach it."""
        return self.host is not None and not is_this_machine(self.host)


_told: list[Start] = []


def tell(start: Start) -> None:
    """Have checks judge that start, in place of the one that settings describe."""
    _told[:] = [start]


def start() -> Start:
    return _told[0] if _told else Start(host=settings.GATEWAY_HOST)


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address leads to this machine alone."""
    address = parse_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)

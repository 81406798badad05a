"""Which links one node holds for each key (an address, a user): counted caps, oldest first."""

from __future__ import annotations

import ipaddress


class LeaseBook:
    """Link ids by key, in order of their start. A key with no links is not kept: as big as the live links."""

    def __init__(self) -> None:
        self._links: dict[str, dict[str, None]] = {}

    def add(self, key: str, link_id: str) -> None:
        self._links.setdefault(key, {})[link_id] = None

    def remove(self, key: str, link_id: str) -> None:
        links = self._links.get(key)
        if links is not None:
            links.pop(link_id, None)
            if not links:
                del self._links[key]

    def count(self, key: str) -> int:
        return len(self._links.get(key, ()))

    def oldest(self, key: str) -> str | None:
        return next(iter(self._links.get(key, ())), None)


def address_key(address: str) -> str:
    """What of an address is counted: all of IPv4, the /64 of IPv6, since one client owns all of that."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, 64), strict=False))
    except ValueError:
        return address

"""Who is kept out: users, addresses and networks, each until a time or for good."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.core.addresses import Address, Network, parse_address

# What stands before the IPv4 address in an IPv4-mapped one.
_MAPPED_BITS = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRule:
    """One block: of a user, of a network (an address is a network of one), or of that user from there only.

    `until` is Unix seconds, None for good.
    """

    user_id: str = ""
    network: Network | None = None
    until: float | None = None


class Blocklist:
    """Many rules, asked once a handshake: a look-up for the user and one a prefix length in use.

    Immutable; a change of the rules makes a new list.
    """

    def __init__(self, rules: Iterable[BlockRule] = ()) -> None:
        self._users: dict[str, float] = {}
        self._networks: dict[tuple[int, int], dict[int, float]] = {}
        self._pairs: dict[str, list[tuple[Network, float]]] = {}
        self.rules = 0
        for rule in rules:
            self._add(rule)

    def _add(self, rule: BlockRule) -> None:
        until = math.inf if rule.until is None else rule.until
        network = rule.network
        if network is not None and rule.user_id:
            self._pairs.setdefault(rule.user_id, []).append((network, until))
        elif network is not None:
            same_length = self._networks.setdefault((network.version, network.prefixlen), {})
            bits = int(network.network_address)
            same_length[bits] = max(until, same_length.get(bits, 0.0))
        elif rule.user_id:
            self._users[rule.user_id] = max(until, self._users.get(rule.user_id, 0.0))
        else:
            return
        self.rules += 1

    def blocks(self, *, user_id: str, address: str, now: float) -> bool:
        """Whether a client is kept out at `now` (Unix seconds); `address` may be "" when there is none."""
        if user_id and self._users.get(user_id, 0.0) > now:
            return True
        if not (self._networks or self._pairs):
            return False
        parsed = parse_address(address)
        if parsed is None:
            return False
        if any(
            until > now and parsed in network for network, until in self._pairs.get(user_id, ()) if user_id
        ):
            return True
        return self._blocks_address(parsed, now)

    def _blocks_address(self, address: Address, now: float) -> bool:
        bits = int(address)
        for (version, prefix_length), networks in self._networks.items():
            if version != address.version:
                continue
            host_bits = address.max_prefixlen - prefix_length
            if networks.get(bits >> host_bits << host_bits, 0.0) > now:
                return True
        return False


def networks_around(text: str) -> list[str]:
    """Every network that has all of the address or network in `text`, as blocks are written, itself included.

    Raises ValueError for what is neither.
    """
    address = parse_address(text) if "/" not in text else None
    network = parse_network(text if address is None else str(address))
    return [str(network.supernet(new_prefix=bits)) for bits in range(network.prefixlen + 1)]


def parse_network(text: str) -> Network:
    """The network in `text`: `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`. Host bits may be set.

    An IPv4-mapped one (`::ffff:192.0.2.1`) becomes IPv4, as clients' addresses do. Raises ValueError.
    """
    network = ipaddress.ip_network(text.strip(), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network

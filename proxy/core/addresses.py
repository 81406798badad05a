"""Which address a connection really came from, seen through the proxies that we trust."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# More hops than any real chain has; what a client piled up to the left of them is not read.
MAX_HOPS = 32


def parse_address(text: str) -> Address | None:
    """The address in `text`, in its one canonical form; None when it holds none.

    Takes what peers and X-Forwarded-For hold: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`,
    `[2001:db8::1]:443`.
    An IPv4-mapped address becomes IPv4 and a zone (`%eth0`) is dropped, so that one client has one address.
    """
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def address_key(address: str) -> str:
    """What of an address is counted: all of IPv4, the /64 of IPv6, since one client owns all of that."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, 64), strict=False))
    except ValueError:
        return address


def site_key(address: str) -> str:
    """The /48 of an IPv6 address, which one customer may have all of; "" for what is none."""
    if ":" not in address:
        return ""
    try:
        return str(ipaddress.ip_network((address, 48), strict=False))
    except ValueError:
        return ""


def is_trusted(address: Address | None, proxies: Sequence[Network]) -> bool:
    """True if `address` is one of our own proxies, whose forwarding headers may be believed."""
    return address is not None and any(address in network for network in proxies)


def client_address(
    peer: str | None,
    *,
    forwarded_for: Iterable[str],
    real_ip: str | None,
    proxies: Sequence[Network],
    trusts_unix: bool = False,
) -> str:
    """The client's address, or "" when nobody says it (a test, a Unix socket that is not trusted).

    `forwarded_for` holds the values of the X-Forwarded-For headers in order of arrival. Each proxy appends
    the peer that it saw, so the chain is read from the right, past every trusted hop: what stands left of the
    first other one is the client's claim. `real_ip` counts only where a trusted peer sent none of them. A hop
    that is no address ends the walk at the last one. With `trusts_unix` a peer without any is a proxy, too.
    """
    address = parse_address(peer) if peer else None
    if address is None and not trusts_unix:
        return ""
    if address is not None and not is_trusted(address, proxies):
        return str(address)
    for claimed in _claims(forwarded_for, real_ip):
        address = claimed
        if not is_trusted(claimed, proxies):
            break
    return "" if address is None else str(address)


def _claims(forwarded_for: Iterable[str], real_ip: str | None) -> Iterator[Address]:
    """What each hop says of the one before it, nearest first, up to the first that says no address."""
    hops = ",".join(forwarded_for).rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    if not any(hop.strip() for hop in hops):
        hops = [real_ip or ""]
    for hop in reversed(hops):
        claimed = parse_address(hop)
        if claimed is None:
            return
        yield claimed

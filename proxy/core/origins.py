"""Which web pages may open a socket here (RFC 6454, RFC 6455 section 10.2).

A browser names the page's origin and cannot lie about it; native clients send none and are not judged by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme and host in lower case. An unwritten `port` is the scheme's own, None if it has none."""

    scheme: str
    host: str
    port: int | None


def parse_origin(text: str) -> Origin | None:
    """The origin in `text`, None for anything else (`null`, a path, user info)."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS.get(match["scheme"])
    return Origin(match["scheme"], match["host"], port)


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """One entry of ALLOWED_ORIGINS: any origin, the opaque `null`, one origin, or all sub-domains of one.

    `https://*.example.com` takes sub-domains of any depth, but not `https://example.com` itself.
    """

    origin: Origin | None
    any: bool = False
    subdomains: bool = False

    @classmethod
    def parse(cls, text: str) -> OriginPattern:
        """Raises ValueError with what an entry looks like."""
        if text in {"*", "null"}:
            return cls(None, any=text == "*")
        origin = parse_origin(text.replace("://*.", "://", 1))
        if origin is None:
            raise ValueError(f"an origin is like https://example.com or https://*.example.com; got {text!r}")
        return cls(origin, subdomains="://*." in text)

    def matches(self, origin: Origin | None) -> bool:
        """`origin` None stands for an opaque one."""
        if self.any or origin is None or self.origin is None:
            return self.any or origin is self.origin
        if (origin.scheme, origin.port) != (self.origin.scheme, self.origin.port):
            return False
        if self.subdomains:
            return origin.host.endswith(f".{self.origin.host}")
        return origin.host == self.origin.host


def _host_name(host_header: str) -> str:
    try:
        return urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return ""


def is_origin_allowed(
    header: str | None, *, host: str, allowed: Iterable[OriginPattern], loopback: bool = False
) -> bool:
    """May a page of the origin in `header` connect? None, no Origin header, is a native client: yes.

    Pages from the same host name as the request's Host header may, on any port and scheme: a development
    server beside the gateway works at once. So may what `allowed` lists; with `loopback`, so may pages of the
    visitor's own machine, on any port: development servers, by any name.
    """
    if header is None:
        return True
    origin = parse_origin(header)
    if origin is None and header != "null":
        return any(pattern.any for pattern in allowed)
    if loopback and origin is not None and (origin.host in _LOOPBACK or origin.host.endswith(".localhost")):
        return True
    if origin is not None and origin.host.strip("[]") == _host_name(host):
        return True
    return any(pattern.matches(origin) for pattern in allowed)

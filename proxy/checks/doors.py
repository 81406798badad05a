"""Who is let in that should not be, or kept out that should."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  Django's name

from proxy import registry
from proxy.checks.start import LOCAL_NAMES, START, start
from proxy.core.addresses import Network

# A network that is wider holds strangers, but for what is private anyway; those of the largest CDNs are not.
_WIDEST_PREFIX = {4: 8, 6: 16}
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")


@register(Tags.security, START, deploy=True)
def check_debug_is_private(**_: Any) -> list[CheckMessage]:
    """gateway.E002, or W016 where only the names of this machine are answered to."""
    if not settings.DEBUG or not start().is_for_others:
        return []
    text = f"DEBUG is on, and {start().host} is listened on: pages with settings and code are shown to others"
    hint = "Unset DEBUG. To develop, listen on 127.0.0.1 (GATEWAY_HOST, --host)."
    if set(settings.ALLOWED_HOSTS) <= LOCAL_NAMES:
        return [Warning(f"{text} who reach this port.", hint=hint, id="gateway.W016")]
    return [Error(f"{text}, by the names of ALLOWED_HOSTS.", hint=hint, id="gateway.E002")]


@register(deploy=True)
def check_clients_know_a_name(**_: Any) -> list[CheckMessage]:
    """gateway.W018."""
    is_for_others = start().is_for_others and not settings.DEBUG
    if not is_for_others or not set(settings.ALLOWED_HOSTS) <= LOCAL_NAMES:
        return []
    text = "ALLOWED_HOSTS has the names of this machine alone: clients that ask for any other are refused."
    hint = "Set it to the host names in your clients' URLs, such as gateway.example.com."
    return [Warning(text, hint=hint, id="gateway.W018")]


@register(Tags.security, deploy=True)
def check_hosts_are_named(**_: Any) -> list[CheckMessage]:
    """gateway.W017."""
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    text = (
        "ALLOWED_HOSTS holds *: a page at any name that somebody leads here counts as the gateway's own, "
        "whatever ALLOWED_ORIGINS says."
    )
    hint = "Name the hosts in your clients' URLs, such as gateway.example.com or .example.com."
    return [Warning(text, hint=hint, id="gateway.W017")]


@register(Tags.security, deploy=True)
def check_origins_are_named(**_: Any) -> list[CheckMessage]:
    """gateway.W003."""
    opened = ["*" if each.any else "null" for each in settings.ALLOWED_ORIGINS if each.origin is None]
    if not opened:
        return []
    text = (
        f"ALLOWED_ORIGINS holds {' and '.join(opened)}: "
        "a page of any site may open a socket from its visitors' browsers."
    )
    hint = "Name the sites, such as https://*.example.com. Clients that are no browsers need no entry."
    return [Warning(text, hint=hint, id="gateway.W003")]


@register(Tags.security, deploy=True)
def check_trusted_proxies_are_few(**_: Any) -> list[CheckMessage]:
    """gateway.W004."""
    wide = [str(network) for network in settings.TRUSTED_PROXIES if _is_wide(network)]
    if not wide:
        return []
    text = f"TRUSTED_PROXIES holds {', '.join(wide)}: each client of so many may claim to be any other."
    hint = "Name the addresses of the proxies in front of the gateway, and nothing else."
    return [Warning(text, hint=hint, id="gateway.W004")]


def _is_wide(network: Network) -> bool:
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_UNIQUE_LOCAL):
        return False
    return network.prefixlen < _WIDEST_PREFIX[network.version]


@register(Tags.security, deploy=True)
def check_metrics_are_guarded(**_: Any) -> list[CheckMessage]:
    """gateway.W007."""
    if settings.METRICS_TOKEN:
        return []
    text = "METRICS_TOKEN is unset: whoever reaches the gateway reads /metrics."
    hint = "Set it, or keep /metrics inside (as in deploy/proxies) and add it to SILENCED_SYSTEM_CHECKS."
    return [Warning(text, hint=hint, id="gateway.W007")]


@register(Tags.security, deploy=True)
def check_somebody_tells_of_tls(**_: Any) -> list[CheckMessage]:
    """gateway.W008."""
    if not settings.HTTPS_ONLY or settings.TRUSTED_PROXIES or settings.TRUSTS_UNIX_SOCKET:
        return []
    text = (
        "HTTPS_ONLY is on, and TRUSTED_PROXIES is empty: no request counts as HTTPS, HSTS is never sent, and "
        "all who come by the proxy that ends TLS count as one address, whose caps they share."
    )
    hint = "Name the proxy that ends TLS in TRUSTED_PROXIES; it must set X-Forwarded-Proto."
    return [Warning(text, hint=hint, id="gateway.W008")]


@register(Tags.security, deploy=True)
def check_cookies_need_tls(**_: Any) -> list[CheckMessage]:
    """gateway.W026, in place of what Django says of each setting that follows from the variable."""
    if settings.HTTPS_ONLY or settings.DEBUG:
        return []
    text = "HTTPS_ONLY is false: the cookies of staff who are logged in go over plain HTTP, too."
    hint = "Unset it once TLS ends in front of the gateway, and name that proxy in TRUSTED_PROXIES."
    return [Warning(text, hint=hint, id="gateway.W026")]


@register(deploy=True)
def check_one_address_is_not_all(**_: Any) -> list[CheckMessage]:
    """gateway.W020."""
    most = settings.MAX_CONNECTIONS
    greedy = {caps.name for caps in map(registry.caps_of, registry.routes()) if caps.per_address >= most}
    if not greedy:
        return []
    text = (
        f"MAX_CONNECTIONS is {most}, and one address may have as many to {', '.join(sorted(greedy))}: "
        "one client can keep all others out."
    )
    hint = "Lower MAX_CONNECTIONS_PER_IP, or the route's own of that name."
    return [Warning(text, hint=hint, id="gateway.W020")]


@register(deploy=True)
def check_sockets_are_served(**_: Any) -> list[CheckMessage]:
    """gateway.W023."""
    if settings.WEBSOCKET_ENABLED:
        return []
    text = "WEBSOCKET_ENABLED is false: every socket is refused with 503."
    return [Warning(text, hint="Unset it once clients may come back.", id="gateway.W023")]

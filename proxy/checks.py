"""System checks: what starts, but should not be left so. Ids are stable (SILENCED_SYSTEM_CHECKS).

`manage.py check` asks those that are not for deployments, `manage.py check --deploy` all of them.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register  # noqa: A004  Django's name

from proxy import registry
from proxy.bridges.bridge import leads
from proxy.core.addresses import parse_address
from proxy.core.routes import Route, Upstream
from proxy.core.topics import EVERYONE
from proxy.env import env

# RFC 7518, section 3.2: a key as long as the hash, or the hash is not what has to be guessed.
_LEAST_KEY_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}


@register(Tags.security)
def check_signing_key_length(**_: Any) -> list[CheckMessage]:
    """gateway.E001, or W001 with DEBUG: who holds one token can guess a short key offline."""
    least_bytes = _LEAST_KEY_BYTES.get(settings.JWT_ALGORITHM, 0)
    if len(settings.JWT_SIGNING_KEY.encode()) >= least_bytes:
        return []
    text = f"JWT_SIGNING_KEY is shorter than the {least_bytes} bytes that {settings.JWT_ALGORITHM} needs."
    hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(64))'"
    kind, identity = (Warning, "gateway.W001") if settings.DEBUG else (Error, "gateway.E001")
    return [kind(text, hint=hint, id=identity)]


@register
def check_paths_can_be_asked_for(**_: Any) -> list[CheckMessage]:
    """gateway.W011."""
    return [
        Warning(
            f"The path {path!r} of the route {route.name!r} begins with a slash: no client reaches it.",
            hint="Write it without: a pattern is what comes behind the first slash.",
            id="gateway.W011",
        )
        for route in registry.routes()
        for path in route.paths
        if path.startswith("/")
    ]


@register
def check_routes_lead_somewhere(**_: Any) -> list[CheckMessage]:
    """gateway.W012. Who leaves a `setting` unset that may be has no use for the route: I003 tells of that."""
    return [
        Warning(
            f"The route {route.name!r} has no service: each of its clients is refused with 503.",
            hint=f"Is the setting unset that names the members of {upstream.name!r}?",
            id="gateway.W012",
        )
        for route, upstream in _without_members()
        if not upstream.setting
    ]


def _without_members() -> list[tuple[Route, Upstream]]:
    """The routes whose pools have none, and to which staff can add none."""
    routes = [(route, route.upstream) for route in registry.routes()]
    return [
        (route, upstream)
        for route, upstream in routes
        if isinstance(upstream, Upstream) and not (upstream.members or upstream.editable)
    ]


@register
def check_packages_of_routes_are_apps(**_: Any) -> list[CheckMessage]:
    """gateway.W013."""
    modules = [name.split(".")[:-1] for name in settings.ROUTES]
    packages = dict.fromkeys(".".join(each[:end]) for each in modules for end in range(1, len(each) + 1))
    return [
        Warning(
            f"ROUTES leads into {package}, which has models, and EXTRA_APPS does not name it.",
            hint=f"Add {package} to EXTRA_APPS: else whatever uses its models fails, and it has no tables.",
            id="gateway.W013",
        )
        for package in packages
        if not apps.is_installed(package) and _has_models(package)
    ]


def _has_models(package: str) -> bool:
    try:
        return find_spec(f"{package}.models") is not None
    except ModuleNotFoundError:  # of a lone module, which has nothing inside; or there is none: others say so
        return False


@register
def check_bridges_lead_somewhere(**_: Any) -> list[CheckMessage]:
    """gateway.W014."""
    known = {EVERYONE, *(kind.name for kind in registry.topic_kinds())}  # which imports what declares bridges
    return [
        Warning(
            f"The bridge {bridge!r} leads to topics of the kind {kind!r}, which no route declares.",
            hint="Is the topic in the bridge's setting misspelt, or a route missing in ROUTES?",
            id="gateway.W014",
        )
        for bridge, led in leads().items()
        for kind in sorted(led.kinds)
        if kind not in known
    ]


@register
def check_bridges_come_from_somewhere(**_: Any) -> list[CheckMessage]:
    """gateway.W015."""
    registry.routes()  # which imports what declares bridges
    return [
        Warning(
            f"The bridge {bridge!r} comes from the gateway's Redis, and REDIS_URL is unset.",
            hint="Set REDIS_URL to the Redis that others publish in.",
            id="gateway.W015",
        )
        for bridge, led in leads().items()
        if led.needs_redis and not settings.REDIS_URL
    ]


@register(Tags.security, deploy=True)
def check_signing_key_is_its_own(**_: Any) -> list[CheckMessage]:
    """gateway.W002: who may issue tokens should not learn the key that signs staff's sessions."""
    if settings.JWT_SIGNING_KEY != settings.SECRET_KEY:
        return []
    text = "JWT_SIGNING_KEY is the same as SECRET_KEY."
    hint = "Set JWT_SIGNING_KEY to a key of its own, known to the gateway and to whoever issues the tokens."
    return [Warning(text, hint=hint, id="gateway.W002")]


@register(Tags.security, deploy=True)
def check_origins_are_named(**_: Any) -> list[CheckMessage]:
    """gateway.W003."""
    if not any(pattern.any for pattern in settings.ALLOWED_ORIGINS):
        return []
    text = "ALLOWED_ORIGINS holds *: a page of any site may open a socket from its visitors' browsers."
    hint = "Name the sites, such as https://*.example.com. Clients that are no browsers need no entry."
    return [Warning(text, hint=hint, id="gateway.W003")]


@register(Tags.security, deploy=True)
def check_trusted_proxies_are_few(**_: Any) -> list[CheckMessage]:
    """gateway.W004."""
    if not any(network.prefixlen == 0 for network in settings.TRUSTED_PROXIES):
        return []
    text = "TRUSTED_PROXIES holds every address there is, so that each client may claim to be any other."
    hint = "Name the addresses of the proxies in front of the gateway, and nothing else."
    return [Warning(text, hint=hint, id="gateway.W004")]


@register(Tags.security, deploy=True)
def check_jwks_comes_over_tls(**_: Any) -> list[CheckMessage]:
    """gateway.W005."""
    url = urlsplit(settings.JWT_JWKS_URL)
    address = parse_address(url.hostname or "")
    is_local = url.hostname == "localhost" or (address is not None and address.is_loopback)
    if url.scheme != "http" or is_local:
        return []
    text = "JWT_JWKS_URL is fetched without TLS: whoever is on the way can put their own key there."
    return [Warning(text, hint="Use an https:// address.", id="gateway.W005")]


@register(Tags.security, deploy=True)
def check_jwks_tokens_are_for_us(**_: Any) -> list[CheckMessage]:
    """gateway.W006."""
    if not settings.JWT_JWKS_URL or settings.JWT_AUDIENCE:
        return []
    text = (
        "JWT_AUDIENCE is unset: tokens with `aud` are refused, and all others of the issuer are accepted, "
        "whichever application they were made for."
    )
    hint = "Have the issuer put `aud` into tokens, and set JWT_AUDIENCE to it."
    return [Warning(text, hint=hint, id="gateway.W006")]


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
        "HTTPS_ONLY is on, and TRUSTED_PROXIES is empty: no request counts as HTTPS, and HSTS is never sent."
    )
    hint = "Name the proxy that ends TLS in TRUSTED_PROXIES; it must set X-Forwarded-Proto."
    return [Warning(text, hint=hint, id="gateway.W008")]


@register(deploy=True)
def check_channel_layer_is_shared(**_: Any) -> list[CheckMessage]:
    """gateway.I001."""
    if not settings.CHANNEL_LAYERS["default"]["BACKEND"].endswith("MemoryChannelLayer"):
        return []
    text = "REDIS_URL is unset: events and caps reach one process only."
    hint = "Fine for one process. For several workers or nodes, set REDIS_URL."
    return [Info(text, hint=hint, id="gateway.I001")]


@register(deploy=True)
def check_database_is_a_server(**_: Any) -> list[CheckMessage]:
    """gateway.I002."""
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return []
    text = "The record is kept in SQLite, which only processes of one machine can share."
    hint = "Fine for one machine. For several nodes, set DATABASE_URL to a PostgreSQL."
    return [Info(text, hint=hint, id="gateway.I002")]


@register(deploy=True)
def check_routes_are_configured(**_: Any) -> list[CheckMessage]:
    """gateway.I003."""
    return [
        Info(
            f"{upstream.setting} is unset: each client of the route {route.name!r} is refused with 503.",
            hint="Fine where nobody is to use it. Else set it to the service's URL.",
            id="gateway.I003",
        )
        for route, upstream in _without_members()
        if upstream.setting
    ]


@register(deploy=True)
def check_variables_are_spelt_right(**_: Any) -> list[CheckMessage]:
    """gateway.W010."""
    registry.routes()  # whose modules read some
    return [
        Warning(f"{name} is set, and nothing reads it.", hint=f"Is {meant} meant?", id="gateway.W010")
        for name, meant in env.misspelt().items()
    ]

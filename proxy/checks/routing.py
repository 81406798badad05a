"""Whether routes and bridges lead somewhere."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Info, Warning, register  # noqa: A004  Django's name
from django.urls.resolvers import RoutePattern

from proxy import registry
from proxy.bridges.bridge import leads
from proxy.core.captures import captured_by
from proxy.core.routes import Route, Upstream
from proxy.core.topics import EVERYONE


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


@register
def check_paths_are_not_hidden(**_: Any) -> list[CheckMessage]:
    """gateway.W025."""
    declared = [(route, path) for route in registry.routes() for path in route.paths]
    return [
        Warning(
            f"The path {path!r} of the route {route.name!r} is never reached: {before!r} of {of.name!r} "
            "takes it before.",
            hint="Name its route first in ROUTES: paths are tried in that order.",
            id="gateway.W025",
        )
        for at, (route, path) in enumerate(declared)
        if not captured_by(path)
        for of, before in declared[:at]
        if of is not route and RoutePattern(before, is_endpoint=True).match(path) is not None
    ]
